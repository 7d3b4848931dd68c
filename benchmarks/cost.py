"""What do maps cost? The speed with top-5 maps, over the bare forward pass in the same engine.

python -m benchmarks cost            # every network, batch and engine
python -m benchmarks cost --quick    # a shorter look, nothing compiled
python -m benchmarks.cost --net MobileNetV2 --batch 1 --way attach --seconds 60    # one row, longer
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import seewhy
from benchmarks.nets import NETS, Net, in_faster_format, pictures
from benchmarks.timing import Contender, Ratio, race

BATCHES = (1, 16)
GOAL = 0.97
MAPS = "maps"


@dataclass(frozen=True)
class Cost:
    """One network's speed, bare and with top-5 maps, in images per second."""

    net: str
    batch: int
    engine: str
    layout: str
    bare: float
    maps: float
    speed: Ratio

    def row(self) -> str:
        """The result as a line of the Markdown table."""
        met = "yes" if self.speed.value >= GOAL else "**no**"
        cells = (self.net, self.batch, self.engine, self.layout, f"{self.bare:.1f}")
        return f"| {' | '.join(map(str, cells))} | {self.maps:.1f} | {self.speed} | {met} |"


def explained(model: nn.Module, images: Tensor) -> dict[str, Contender]:
    """`explain`, which checks all that it returns, with the head already found."""
    head = seewhy.find_head(model, images[:2])
    maps = functools.partial(seewhy.explain, model, images, classes="top5", head=head)
    return {**bare_passes(model, images), MAPS: torch.inference_mode()(maps)}


def attached(model: nn.Module, images: Tensor) -> dict[str, Contender]:
    """The attached module: the same maps, unchecked."""
    module = seewhy.attach(model, images[:2], classes="top5")
    return {**bare_passes(model, images), MAPS: torch.inference_mode()(lambda: module(images))}


def bare_passes(model: nn.Module, images: Tensor) -> dict[str, Contender]:
    """The model called by itself, in both of PyTorch's ways to do without gradients."""
    return {
        "no_grad": bare(model, images),
        "inference_mode": torch.inference_mode()(lambda: model(images)),
    }


def compiled(model: nn.Module, images: Tensor) -> dict[str, Contender]:
    """The attached module and the model, both compiled for just this input."""
    torch.compiler.reset()
    each = {"no_grad": model, MAPS: seewhy.attach(model, images[:2], classes="top5")}
    return {
        name: bare(torch.compile(module, fullgraph=True, dynamic=False), images)
        for name, module in each.items()
    }


def bare(model: Callable[[Tensor], object], images: Tensor) -> Contender:
    """The model, called without gradients."""
    return torch.no_grad()(lambda: model(images))


ENGINES: Mapping[str, Callable[[nn.Module, Tensor], dict[str, Contender]]] = {
    "explain": explained,
    "attach": attached,
    "attach, compiled": compiled,
}


def measure(net: Net, batch: int, engine: str, seconds: float) -> Cost:
    """Race the bare pass against the pass with maps; the fastest bare pass counts."""
    place = in_faster_format(bare, net.build(), pictures(batch))
    contenders = ENGINES[engine](place.model, place.images)
    timings = race(contenders, seconds=seconds)
    base = timings.fastest(*contenders.keys() - {MAPS})
    return Cost(
        net=net.name,
        batch=batch,
        engine=engine,
        layout=place.layout,
        bare=batch / timings.median(base),
        maps=batch / timings.median(MAPS),
        speed=timings.speed(MAPS, over=base),
    )


def rows(*, quick: bool) -> Iterator[str]:
    """The Markdown table, line by line as the results come in."""
    yield "| network | batch | way | format | bare, images/s | with top-5 maps | ratio | met |"
    yield "| --- | ---: | --- | --- | ---: | ---: | ---: | --- |"
    for engine in ("explain", "attach") if quick else tuple(ENGINES):
        for net in NETS:
            for batch in BATCHES:
                yield measure(net, batch, engine, seconds=3.0 if quick else 20.0).row()


ABOUT = f"""\
## What maps cost

Images per second with the maps of the five likeliest classes, over the bare forward pass in the
same engine (goal: a ratio of {GOAL} or more). *explain* is `seewhy.explain(model, batch,
classes="top5", head=head)`, the certificate of every map included, and *attach* is
`seewhy.attach(model)(batch)`, both under `inference_mode`, against `model(batch)` under `no_grad`
or `inference_mode`, whichever is faster; *attach, compiled* is
`torch.compile(seewhy.attach(model))` against `torch.compile(model)`. The memory format is the one
in which the bare pass is faster.
"""


def main() -> None:
    """Print the rows that are asked for, each timed for so long."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost")
    parser.add_argument("--net", choices=[net.name for net in NETS], help="all, if none")
    parser.add_argument("--batch", type=int, choices=BATCHES, help="both, if none")
    parser.add_argument("--way", choices=ENGINES, help="all, if none")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each row")
    options = parser.parse_args()
    for way in [options.way] if options.way else ENGINES:
        for net in [each for each in NETS if options.net in (None, each.name)]:
            for batch in [options.batch] if options.batch else BATCHES:
                print(measure(net, batch, way, options.seconds).row(), flush=True)


if __name__ == "__main__":
    main()
