"""What does a head change? Trained nets side by side: accuracy, size, speed, where evidence lies.

    seewhy train vgg-cifar --data PATH --epochs 3 --out runs/vgg-cifar        # and so on
    python -m benchmarks.heads runs/* --data PATH                             # writes docs/heads.md

The nets are those of runs of `seewhy train`, and are scored here on the test part of the data.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import seewhy
from benchmarks.cost import bare
from benchmarks.timing import race
from seewhy.datasets import Dataset, load_dataset
from seewhy.metrics.concentration import share_of_top
from seewhy.models import Classifier, load_model
from seewhy.models.cost import cost, short
from seewhy.training import evaluate
from seewhy.training.augment import normalise

PAGE = Path(__file__).parents[1] / "docs" / "heads.md"
BATCH, SHOWN = 128, 2000


@dataclass(frozen=True)
class Row:
    """One net of the table."""

    net: str
    epochs: int
    accuracy: float
    parameters: str
    multiply_adds: str
    speed: float
    head: str
    grid: str
    top: float | None

    def __str__(self) -> str:
        cells = (
            self.net,
            self.epochs,
            f"{self.accuracy:.2%}",
            self.parameters,
            self.multiply_adds,
            f"{self.speed:,.0f}",
            self.head,
            self.grid,
            "" if self.top is None else f"{self.top:.0%}",
        )
        return f"| {' | '.join(map(str, cells))} |"


def rows(runs: Sequence[Path], data: Dataset, *, seconds: float) -> Iterator[Row]:
    """Score every run, race them all against each other, and look at their maps."""
    nets = {run: load_model(str(run)) for run in runs}
    pictures = torch.from_numpy(data.test.batch(np.arange(BATCH), (32, 32)).images)
    contenders = {}
    for run, net in nets.items():
        inputs = normalise(pictures, net.preprocess.mean, net.preprocess.std)
        contenders[str(run)] = bare(net.module, inputs)
    timings = race(contenders, seconds=seconds)
    for run, net in nets.items():
        card = json.loads((run / "model.json").read_text(encoding="utf-8"))
        size = cost(net.module, net.example(1))
        head, grid, top = maps(net, data)
        yield Row(
            net=card["net"] + (" + to_gap" if card["gap"] else ""),
            epochs=card["trained"]["recipe"]["epochs"],
            accuracy=evaluate(net, data).accuracy,
            parameters=short(size.parameters),
            multiply_adds=short(size.multiply_adds),
            speed=BATCH / timings.median(str(run)),
            head=head,
            grid=grid,
            top=top,
        )


def maps(net: Classifier, data: Dataset) -> tuple[str, str, float | None]:
    """The kind of a net's head, its grid, and how concentrated its maps are."""
    try:
        head = seewhy.find_head(net.module, net.example())
    except seewhy.HeadNotFound:
        return "refused", "", None
    shares = [
        share_of_top(map_)
        for start in range(0, SHOWN, BATCH)
        for map_ in _maps(net, data, range(start, min(start + BATCH, SHOWN)))
    ]
    grid = " x ".join(map(str, head.grid))
    return head.kind, grid, statistics.fmean(share for share in shares if share == share)


def _maps(net: Classifier, data: Dataset, places: range) -> Iterator[np.ndarray]:
    pixels = data.test.batch(np.asarray(places), net.preprocess)
    inputs = normalise(torch.from_numpy(pixels.images), net.preprocess.mean, net.preprocess.std)
    yield from seewhy.explain(net.module, inputs).maps[:, 0].numpy()


ABOUT = """\
# One trunk, two heads

Nets trained alike (`seewhy train NET --data PATH --epochs N --seed 0`) and scored on the test part
of the data. Images per second are those of a forward pass of 128 pictures in float32, channels
last, all nets taking turns in one run. *In the top 20 %* is the share of the positive evidence for
the predicted class that the strongest fifth of the cells holds (an even map has 20 %), over the
first 2,000 test pictures; cells are those of the feature grid, so that only grids of one size
compare. Nets whose dense layers mix positions have no exact map.

The data are the JPEG copy of CIFAR-10 of [cifar10.md](cifar10.md). Made by

    for net in alexnet-cifar alexnet-cifar-gap vgg-cifar vgg-cifar-gap nin resnet20; do
        seewhy train $net --data PATH --epochs 3 --seed 0 --out runs/$net
    done
    python -m benchmarks.heads runs/* --data PATH

Three epochs are few: they compare two heads on one trunk, and do not show what a net can do. A
ResNet-20 has 89.5 % after a hundred. Network in Network, without BatchNorm, has hardly begun to
learn at 52 % (its paper has 91.2 %): its row is of a net that is not trained out, and says nothing
against class maps as a head.
"""


def main() -> None:
    """Print the table, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heads", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that seewhy train made")
    parser.add_argument("--data", required=True, type=Path, help="what they were trained on")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to race them")
    options = parser.parse_args()
    data = load_dataset(options.data)
    columns = "net|epochs|accuracy|parameters|multiply-adds|images/s|head|grid|in the top 20 %"
    page = [*ABOUT.splitlines(), "", f"| {' | '.join(columns.split('|'))} |"]
    page.append("| --- | ---: | ---: | ---: | ---: | ---: | --- | --- | ---: |")
    emit = functools.partial(print, flush=True)
    emit("\n".join(page))
    for row in rows(options.runs, data, seconds=options.seconds):
        emit(row)
        page.append(str(row))
    PAGE.write_text("\n".join([*page, ""]), encoding="utf-8")
    print(f"wrote docs/{PAGE.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
