"""What it costs to ask whether maps are faithful: the same question, put by others too.

python -m benchmarks.faithfulness                   # all; writes into docs/faithfulness.md
python -m benchmarks.faithfulness peers             # some of it: peers, engines, hundred
python -m benchmarks faithfulness --quick           # one picture for four; prints only

Quantus is raced where it is installed; it is no dependency of the benchmarks, for it wants pandas.
Everyone runs the same network in float32; beside them stand deletion in bfloat16, and on OpenVINO,
which runs the network exported from PyTorch, with how far the probabilities are then off.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.engines import has_bfloat16
from benchmarks.nets import NETS, SIZE, pictures
from benchmarks.page import keep, machine
from benchmarks.timing import Contender, race
from seewhy.metrics.baselines import random_map
from seewhy.metrics.faithfulness import Asked, deletion, road
from seewhy.metrics.faithfulness.asked import Askable

FEATURES = 3136  # values of 224 x 224 x 3 at a step of Quantus: 48 steps
STEPS = 3 * SIZE**2 // FEATURES
AT_ONCE = 8  # pictures in a pass: ours, and a batch of Quantus
ROUNDS, MANY = 3, 100
PERCENT = tuple(range(10, 100, 10))
PACKAGES = ("seewhy", "pytorch-grad-cam", "Quantus")


@dataclass(frozen=True)
class Work:
    """What everyone is given.

    Attributes:
        model: ResNet-18 with random weights, whose speed is that of trained ones.
        images: noise (B, 3, 224, 224).
        classes: the predicted ones.
        maps: smooth random numbers, (B, 224, 224), 0 to 1.
    """

    model: nn.Module
    images: Tensor
    classes: Tensor
    maps: Tensor

    @classmethod
    def of(cls, count: int) -> Work:
        """For so many pictures."""
        model, images = NETS[0].build(), pictures(count)
        with torch.no_grad():
            classes = model(images).argmax(1)
        maps = random_map(model, images, classes)
        low, high = (each((1, 2), keepdim=True) for each in (maps.amin, maps.amax))
        return cls(model, images, classes, (maps - low) / (high - low))


def bare(work: Work, passes: int) -> Contender:
    """So many forward passes of all pictures, and nothing else."""

    @torch.no_grad()
    def run() -> None:
        for _ in range(passes):
            work.model(work.images)

    return run


def our_deletion(work: Work, model: Askable | None = None) -> Contender:
    """`deletion`: 48 steps, grey."""
    asked = work.model if model is None else model
    return functools.partial(deletion, asked, work.images, work.classes, work.maps, steps=STEPS)


def less_precise(work: Work) -> Asked:
    """PyTorch in bfloat16."""
    return Asked(work.model, precision="bfloat16")


def on_openvino(work: Work, precision: str) -> Asked:
    """The network on OpenVINO, on as many threads as PyTorch has."""
    import openvino

    example = work.images.repeat(-(-AT_ONCE // len(work.images)), 1, 1, 1)[:AT_ONCE]
    threads = torch.get_num_threads()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    converted = openvino.convert_model(work.model, example_input=example)
    compiled = openvino.Core().compile_model(converted, "CPU", settings)
    return Asked(lambda batch: torch.from_numpy(compiled([batch.numpy()])[0].copy()))


def our_road(work: Work) -> Contender:
    """`road`: nine shares, both orders."""
    shares = [each / 100 for each in PERCENT]
    return functools.partial(road, work.model, work.images, work.classes, work.maps, shares=shares)


def grad_cam_road(work: Work) -> Contender:
    """ROADCombined: the same nine shares, both orders."""
    from pytorch_grad_cam.metrics.road import ROADCombined
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    metric = ROADCombined(percentiles=list(PERCENT))
    targets = [ClassifierOutputSoftmaxTarget(int(each)) for each in work.classes]
    return lambda: metric(work.images, work.maps.numpy(), targets, work.model)


def quantus_flipping(work: Work) -> Contender:
    """PixelFlipping: 48 steps, grey (0 in prepared pixels)."""
    import quantus

    metric = quantus.PixelFlipping(
        features_in_step=FEATURES, perturb_baseline=0.0, normalise=False, disable_warnings=True
    )
    return functools.partial(
        metric,
        model=work.model,
        x_batch=work.images.numpy(),
        y_batch=work.classes.numpy(),
        a_batch=work.maps[:, None].numpy(),
        device="cpu",
        batch_size=AT_ONCE,
    )


@dataclass(frozen=True)
class Question:
    """The same question in everyone's words.

    Attributes:
        name: for people.
        passes: how many forward passes of a picture it takes by construction.
        asked: by package.
    """

    name: str
    passes: int
    asked: Mapping[str, Callable[[Work], Contender]]


QUESTIONS = (
    Question(
        f"deletion, {STEPS} steps", STEPS, {"seewhy": our_deletion, "Quantus": quantus_flipping}
    ),
    Question(
        f"ROAD, {len(PERCENT)} shares, both orders",
        2 * len(PERCENT),
        {"seewhy": our_road, "pytorch-grad-cam": grad_cam_road},
    ),
)
BARE = "forward passes alone"


def measure(question: Question, work: Work, rounds: int) -> str:
    """Everyone's seconds for a picture: a line of the table."""
    contenders = {BARE: bare(work, question.passes)}
    for name, ask in question.asked.items():
        if name != "Quantus" or util.find_spec("quantus"):
            contenders[name] = ask(work)
    timings = race(contenders, seconds=0.0, rounds=rounds, warm_up=1)
    each = {name: timings.median(name) / len(work.images) for name in contenders}
    cells = [_cell(each, name) for name in PACKAGES]
    return f"| {question.name} | {each[BARE]:.2f} | {' | '.join(cells)} |"


WAYS: Mapping[str, Callable[[Work], Asked]] = {
    "PyTorch, bfloat16": less_precise,
    "OpenVINO, float32": functools.partial(on_openvino, precision="f32"),
    "OpenVINO, bfloat16": functools.partial(on_openvino, precision="bf16"),
}
PLAIN = "PyTorch, float32"


def ways(work: Work, rounds: int) -> Iterator[str]:
    """Deletion by whatever runs the network: seconds for a picture, and how far off."""
    yield f"| deletion, {STEPS} steps, by | seconds | times as fast | probabilities off by |"
    yield "| --- | ---: | ---: | ---: |"
    models: dict[str, Askable] = {PLAIN: work.model}
    models |= {name: way(work) for name, way in WAYS.items() if _can(name)}
    contenders = {name: our_deletion(work, model) for name, model in models.items()}
    if util.find_spec("quantus"):
        contenders["Quantus"] = quantus_flipping(work)
    timings = race(contenders, seconds=0.0, rounds=rounds, warm_up=1)
    curves = {name: contenders[name]() for name in models}
    for name in contenders:
        speed = timings.speed(name, PLAIN).value
        each = timings.median(name) / len(work.images)
        yield f"| {name} | {each:.2f} | {speed:.1f} | {_off(curves, name)} |"


def _can(name: str) -> bool:
    if "bfloat16" in name and not has_bfloat16():
        return False
    return "OpenVINO" not in name or util.find_spec("openvino") is not None


def _off(curves: Mapping[str, Any], name: str) -> str:
    if name not in curves or name == PLAIN:
        return ""
    return f"{np.abs(curves[name].probabilities - curves[PLAIN].probabilities).max():.0e}"


def _cell(seconds: Mapping[str, float], name: str) -> str:
    if name not in seconds:
        return ""
    ratio = "" if name == "seewhy" else f" ({seconds[name] / seconds['seewhy']:.1f} x)"
    return f"{seconds[name]:.2f}{ratio}"


def peers(*, quick: bool) -> Iterator[str]:
    """What seewhy takes, and what others take."""
    yield f"| question | {BARE} | {' | '.join(PACKAGES)} |"
    yield f"| --- | {' | '.join(['---:'] * (1 + len(PACKAGES)))} |"
    for question in QUESTIONS:
        yield measure(question, Work.of(1 if quick else 4), rounds=1 if quick else ROUNDS)


def engines(*, quick: bool) -> Iterator[str]:
    """What deletion takes by whatever may run the network."""
    yield from ways(Work.of(1 if quick else 4), rounds=1 if quick else ROUNDS)


def hundred(*, quick: bool) -> Iterator[str]:
    """How long deletion takes for many pictures, one run."""
    count = 4 if quick else MANY
    run = our_deletion(Work.of(count))
    begin = time.perf_counter()
    run()
    seconds = time.perf_counter() - begin
    yield f"Deletion of {count} pictures, {STEPS} steps, float32 in PyTorch: {seconds:.0f} s."


TABLES: Mapping[str, Callable[..., Iterator[str]]] = {
    "peers": peers,
    "engines": engines,
    "hundred": hundred,
}


def rows(*, quick: bool, tables: Sequence[str] = tuple(TABLES)) -> Iterator[str]:
    """The tables, line by line as the results come in; the page has each when it is whole."""
    for name in tables:
        lines = []
        for line in TABLES[name](quick=quick):
            lines.append(line)
            yield line
        yield ""
        if not quick:
            about = [] if name == "hundred" else [machine(), ""]
            keep("faithfulness.md", name, [*about, *lines])


def main() -> None:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faithfulness")
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="all, if none")
    parser.add_argument("--quick", action="store_true", help="a short look, prints only")
    options = parser.parse_args()
    for line in rows(quick=options.quick, tables=options.tables or tuple(TABLES)):
        print(line, flush=True)


ABOUT = f"""\
## Is the evidence real? What asking costs

Seconds for each picture of 224 x 224, ResNet-18: {STEPS} steps of deletion, and ROAD at
{len(PERCENT)} shares of the pixels in both orders. In brackets: how many times as long as seewhy
takes. The forward passes that the question needs by construction stand beside it. Quantus removes
single channels of pixels, which costs the same; where it is not installed, its column is empty. Its
ROAD (0.6.0) fails on pictures of three channels, and pytorch-grad-cam has no curve of deletion.
The second table is deletion again, by what else may run the network (`precision=` and `answer=` of
`seewhy.faithfulness`). The probabilities of a network with random weights lie close together: on a
trained one they are further off.
"""

if __name__ == "__main__":
    main()
