"""How fast do pictures come out explained? Every engine and precision, beside what people use.

    python -m benchmarks.engines                      # writes the table into docs/engines.md
    python -m benchmarks.engines --net MobileNetV2    # one network of it
    python -m benchmarks engines --quick              # prints only

Explained means: the map of the likeliest class at input resolution, in float32 tensors. Of seewhy's
maps each carries its certificate, which is part of the time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import seewhy
import seewhy.images
from benchmarks.data import photographs
from benchmarks.nets import NETS, SIZE, Net, in_faster_format, main, pictures
from benchmarks.page import PACKAGES, keep_rows, machine
from benchmarks.peers import CONTENDERS, require_same_maps
from benchmarks.timing import Ratio, Timings, race
from seewhy.engines import Engine, Precision, make_engine
from seewhy.heads import Head

BATCH = 16
GRAD_CAM, TORCHCAM = "pytorch-grad-cam GradCAM", "TorchCAM CAM"
PEERS = (GRAD_CAM, TORCHCAM)
WAYS: Mapping[Precision, tuple[str, ...]] = {
    "float32": ("torch", "compile", "onnx", "openvino", "mnn"),
    "bfloat16": ("torch", "compile", "openvino"),
    "int8": ("onnx", "openvino"),
}
DEVIATION: Mapping[Precision, float] = {"float32": 1e-5, "bfloat16": 2e-2, "int8": 1e-5}
# How many times as fast as Grad-CAM and as CAM the best engine is to be, by network.
GOALS: Mapping[Precision, Mapping[str, tuple[float, float]]] = {
    "float32": {
        "MobileNetV2": (6, 2),
        "EfficientNet-Lite0": (6, 2),
        "ResNet-18": (3, 1.2),
        "ResNet-50": (3, 1.2),
    },
    "bfloat16": {
        "MobileNetV2": (12, 4),
        "EfficientNet-Lite0": (8, 4),
        "ResNet-18": (6, 1.8),
        "ResNet-50": (6, 1.8),
    },
}
COLUMNS: Mapping[str, str] = {
    "network": "---",
    "engine": "---",
    "precision": "---",
    "pictures/s": "---:",
    "over Grad-CAM": "---:",
    "over CAM": "---:",
    "goals, met": "---",
    "adds up to": "---:",
    "logits off by": "---:",
    "top-1 kept": "---:",
}
Way = tuple[Precision, str]


@dataclass(frozen=True)
class Shown:
    """Pictures for one network: what is timed, what integers are calibrated on, what is decided.

    Attributes:
        batch: what is timed.
        calibration: what ranges are taken from.
        others: pictures that no range was taken from; None where decisions would mean nothing,
            for a network with random weights.
    """

    batch: Tensor
    calibration: Tensor
    others: Tensor | None = None


def shown(net: Net) -> Shown:
    """Photographs for the trained network, if there are any; noise for the others."""
    paths = photographs()
    if net.name != "EfficientNet-Lite0" or len(paths) < 4 * BATCH:
        return Shown(pictures(BATCH), pictures(4 * BATCH))
    model = seewhy.load_model("efficientnet-lite0")
    read = [torch.from_numpy(model.preprocess(seewhy.images.read(path))[0]) for path in paths]
    prepared = torch.stack(read)
    return Shown(prepared[:BATCH], calibration=prepared[::2], others=prepared[1::2])


@dataclass(frozen=True, eq=False)
class Contest:
    """One network, its head, and all engines made for it."""

    net: Net
    model: nn.Module
    head: Head
    shown: Shown
    engines: Mapping[Way, Engine]

    def explanation(self, way: Way, images: Tensor) -> seewhy.Explanation:
        """Its top-1 maps by one engine."""
        engine = self.engines[way]
        return seewhy.explain(self.model, images, head=self.head, engine=engine, strict=False)

    def maps(self, way: Way) -> Tensor:
        """The same at input resolution: what is timed."""
        explained = self.explanation(way, self.shown.batch)
        return explained.upsample((SIZE, SIZE))[:, 0]


def contest(net: Net, *, quick: bool) -> Contest:
    """Build a network and all engines for it that run here."""
    model, seen = net.build(), shown(net)
    head = seewhy.find_head(model, seen.batch[:2])
    made = {way: _engine(model, head, way, seen) for way in ways(quick=quick)}
    return Contest(net, model, head, seen, made)


def ways(*, quick: bool) -> list[Way]:
    """Every engine and precision that this processor has; a short look does without the compiler.

    Where it cannot multiply bfloat16, PyTorch would do it in float32 and round: slower, and no
    measure of anything.
    """
    return [
        (precision, name)
        for precision, names in WAYS.items()
        for name in names
        if not (quick and name == "compile")
        and not (precision == "bfloat16" and not has_bfloat16())
    ]


@functools.cache
def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _engine(model: nn.Module, head: Head, way: Way, seen: Shown) -> Engine:
    precision, name = way
    example = seen.calibration if precision == "int8" else seen.batch
    return make_engine(model, head, name, precision=precision, batch=BATCH, example=example)


def measure(net: Net, *, quick: bool, seconds: float) -> list[str]:
    """Race everyone on one network: a line of the table each, the peers first."""
    it = contest(net, quick=quick)
    places = {
        name: in_faster_format(functools.partial(CONTENDERS[name], net), it.model, it.shown.batch)
        for name in PEERS
    }
    signed = it.maps(("float32", "torch"))
    require_same_maps(signed, {name: place.contender() for name, place in places.items()})
    runs: dict[str, Callable[[], object]] = {n: place.contender for n, place in places.items()}
    runs |= {str(way): functools.partial(it.maps, way) for way in it.engines}
    timings = race(runs, seconds=seconds)
    lines = [_peer_row(net, name, places[name].layout, timings) for name in PEERS]
    for precision in dict.fromkeys(precision for precision, _ in it.engines):
        among = [way for way in it.engines if way[0] == precision]
        best = timings.fastest(*map(str, among))
        has_goals = precision in GOALS
        lines += [_row(it, way, timings, is_best=has_goals and str(way) == best) for way in among]
    return lines


def _peer_row(net: Net, name: str, layout: str, timings: Timings) -> str:
    cells = (net.name, name, f"float32, {layout}", f"{BATCH / timings.median(name):.1f}")
    return f"| {' | '.join(cells)} |{' |' * (len(COLUMNS) - len(cells))}"


def _row(it: Contest, way: Way, timings: Timings, *, is_best: bool) -> str:
    precision, name = way
    over = [timings.speed(str(way), over=peer) for peer in PEERS]
    result = it.explanation(way, it.shown.batch)
    deviation = float(result.certificate.max())
    cells = (
        it.net.name,
        f"**{name}**" if is_best else name,
        precision,
        f"{BATCH / timings.median(str(way)):.1f}",
        *(f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" for ratio in over),
        _met(it.net, precision, over, deviation) if is_best else "",
        f"{deviation:.0e}",
        f"{_off(it, way):.0e}",
        _kept(it, way),
    )
    return f"| {' | '.join(cells)} |"


def _met(net: Net, precision: Precision, over: Sequence[Ratio], deviation: float) -> str:
    """The goals, and whether they are reached with maps that add up."""
    goals = GOALS.get(precision, {}).get(net.name)
    if goals is None:
        return ""
    reached = all(ratio.value >= goal for ratio, goal in zip(over, goals, strict=True))
    is_met = reached and deviation <= DEVIATION[precision]
    return f"{goals[0]:g} and {goals[1]:g}: {'yes' if is_met else '**no**'}"


@torch.no_grad()
def _off(it: Contest, way: Way) -> float:
    """How far the logits are from float32's, over the largest of them."""
    expected = it.engines["float32", "torch"](it.shown.batch).logits
    got = it.engines[way](it.shown.batch).logits
    return float((got - expected).abs().max() / expected.abs().max())


def _kept(it: Contest, way: Way) -> str:
    """Of pictures that nothing was calibrated on, how many keep their most probable class."""
    others = it.shown.others
    if others is None or way[1] == "compile":  # which would be compiled for this number, too
        return ""
    expected = _decisions(it.engines["float32", "torch"], others)
    same = int((_decisions(it.engines[way], others) == expected).sum())
    return f"{same} of {len(others)}"


def _decisions(engine: Engine, images: Tensor) -> Tensor:
    return torch.cat([engine(part).logits.argmax(1) for part in images.split(BATCH)])


def rows(*, quick: bool, nets: Sequence[Net] = NETS) -> Iterator[str]:
    """The Markdown table, a network at a time; the page has each when it is whole."""
    about = [machine((*PACKAGES, "MNN")), *([] if has_bfloat16() else ["", NO_BFLOAT16]), "", *HEAD]
    yield from about
    for net in nets:
        found = measure(net, quick=quick, seconds=10.0 if quick else 60.0)
        yield from found
        if not quick:
            keep_rows("engines.md", "engines", about, found, [each.name for each in NETS])


HEAD = (f"| {' | '.join(COLUMNS)} |", f"| {' | '.join(COLUMNS.values())} |")
NO_BFLOAT16 = "No rows in bfloat16: this processor does not multiply it, which OpenVINO wants."

ABOUT = f"""\
## Engines

Pictures per second, explained: the map of the likeliest class at input resolution, batches of
{BATCH}, everyone in one race with as many threads. TorchCAM and pytorch-grad-cam run in the faster
of NCHW and channels_last and show the same map (checked). The fastest engine in float32 and
bfloat16 is in bold; its goals are how many times as fast it is to be. *adds up to* is the largest
certificate, *logits off by* the largest difference from float32 in PyTorch, over the largest logit;
*top-1 kept* counts photographs, none of which integers were calibrated on (the other networks have
random weights, so that what they decide means nothing).
"""

if __name__ == "__main__":
    main(rows)
