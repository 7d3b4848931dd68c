"""All methods beside those of peers, on one network and the same pictures: docs/judgement.md.

python -m benchmarks judgement                  # what is missing; goes on where it was stopped
python -m benchmarks.judgement "seewhy: cam"    # this row again, and what is missing
python -m benchmarks.judgement --effort short --out short.md    # fewer pictures

Rows that were measured are kept in `.benchmarks/judgement.json`. One on fewer pictures than asked
for is measured again.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn

import seewhy
from benchmarks import judgement_page
from benchmarks.data import DATA
from benchmarks.judged import NOBODY, Entry, Price, entries
from seewhy.datasets.boxed import Boxed, load_boxes
from seewhy.errors import ModelError
from seewhy.files import write_whole
from seewhy.judging.finding import Finder, How
from seewhy.judging.localisation import all_findings, findings_of, halves
from seewhy.methods.passes import at_once
from seewhy.metrics.box_accuracy import max_box_acc, max_box_acc_v2
from seewhy.metrics.estimate import Estimate
from seewhy.metrics.faithfulness.removal import deletion, insertion
from seewhy.models import Classifier

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "judgement.md"
CACHE = ROOT / ".benchmarks" / "judgement.json"
BOXES = DATA / "ilsvrc-val-boxes" / "dev.parquet"
MODEL = "efficientnet-lite0"
SEED = 0  # of the halves, and of the order of the pictures
TIMED = 9  # batches of a row that a bare pass is timed beside


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        pictures: to find objects in; by the method's price.
        judged: of these, at most so many for faithfulness.
        steps: of deletion and insertion.
    """

    pictures: Mapping[Price, int]
    judged: int
    steps: int


EFFORTS = {
    "full": Effort({"cheap": 325, "dear": 16, "dearest": 6}, judged=32, steps=10),
    "short": Effort({"cheap": 40, "dear": 2, "dearest": 1}, judged=10, steps=10),
    "quick": Effort({"cheap": 8, "dear": 2, "dearest": 1}, judged=4, steps=4),
}
AT_ONCE: Mapping[Price, int] = {"cheap": 8, "dear": 4, "dearest": 1}  # pictures in memory


@dataclass(frozen=True, eq=False)
class Subjects:
    """The pictures, in the order in which they are taken.

    Attributes:
        finder: of the model and the data.
        kept: which items of the data they are, (n,).
        pictures: as they were read.
        images: prepared, (n, C, H, W).
        labels: the true classes, which all maps are of, (n,).
        is_right: whether the model predicts them, (n,).
        logits: of the true classes, (n,).
        bias: of the head for these, (n,).
        empty: the logits of these classes for a picture of the mean colour, (n,).
        cells: of the feature grid.
    """

    finder: Finder
    kept: list[int]
    pictures: list[Image]
    images: Tensor
    labels: Tensor
    is_right: Tensor
    logits: Tensor
    bias: Tensor
    empty: Tensor
    cells: int

    @property
    def network(self) -> nn.Module:
        """The one that is asked."""
        return self.finder.model.module

    @classmethod
    def of(cls, model: Classifier, data: Boxed, count: int) -> Subjects:
        """The first of the half that nothing was chosen on, in an order drawn once."""
        finder = Finder(model, data, How())
        half = halves(len(data), SEED)[1]
        chosen = np.random.default_rng(SEED).permutation(half)[:count].tolist()
        kept, pictures = finder.read(chosen)
        images, labels = finder.inputs(pictures), torch.from_numpy(finder.labels(kept))
        network = finder.model.module
        size = at_once(images)
        parts = [
            seewhy.explain(network, some, of[:, None])
            for some, of in zip(images.split(size), labels.split(size), strict=True)
        ]
        with torch.no_grad():
            empty = network(torch.zeros_like(images[:1]))[0, labels]
        return cls(
            finder=finder,
            kept=kept,
            pictures=pictures,
            images=images,
            labels=labels,
            is_right=torch.cat([each.logits.argmax(1) for each in parts]) == labels,
            logits=torch.cat([each.target[:, 0] for each in parts]),
            bias=torch.cat([each.bias[:, 0] for each in parts]),
            empty=empty,
            cells=parts[0].maps[0, 0].numel(),
        )


@dataclass(frozen=True)
class Row:
    """What came out for one method.

    Attributes:
        n: pictures that objects were looked for in.
        timed: batches that the cost is the median of.
        passes: seconds of the maps over those of a bare forward pass of the same pictures.
        box_acc: MaxBoxAcc and its interval.
        box_acc_v2: MaxBoxAccV2, likewise.
        pointing: the pointing game, likewise.
        steps: of deletion and insertion.
        deletion: the area for each picture that the model is right about.
        insertion: likewise.
        left: the median share of the logit, less what lies nowhere in the picture, that the
            map's numbers leave over; None where they are not in logits.
    """

    n: int
    timed: int
    passes: float
    box_acc: tuple[float, float, float]
    box_acc_v2: tuple[float, float, float]
    pointing: tuple[float, float, float]
    steps: int
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    left: float | None


def row_of(entry: Entry, subjects: Subjects, effort: Effort) -> Row:
    """Make a method's maps, and measure all of it.

    Raises:
        ModelError: it cannot be used on this network.
    """
    count = min(effort.pictures[entry.price], len(subjects.kept))
    maps, ratios = _maps(entry, subjects, count)
    findings = all_findings(
        [
            findings_of([map_.numpy()], subjects.finder, [kept], [picture])
            for map_, kept, picture in zip(maps, subjects.kept, subjects.pictures, strict=False)
        ]
    )
    right = subjects.is_right[:count].nonzero()[: effort.judged, 0]
    of_right = maps[right]
    removed, brought = _curves(subjects, right, of_right, effort.steps)
    return Row(
        n=count,
        timed=len(ratios),
        passes=statistics.median(ratios),
        box_acc=_interval(max_box_acc(findings.largest).accuracy),
        box_acc_v2=_interval(max_box_acc_v2(findings.best).accuracy),
        pointing=_interval(Estimate.of_mean(findings.pointing)),
        steps=effort.steps,
        deletion=tuple(removed.tolist()),
        insertion=tuple(brought.tolist()),
        left=_left(entry, subjects, right, of_right),
    )


def _maps(entry: Entry, subjects: Subjects, count: int) -> tuple[Tensor, list[float]]:
    """The maps (count, h, w), and what they cost, in bare passes; both take turns."""
    make = entry.make(copy.deepcopy(subjects.network))
    size = AT_ONCE[entry.price]
    batches = zip(
        subjects.images[:count].split(size), subjects.labels[:count].split(size), strict=True
    )
    maps, ratios = [], []
    for number, batch in enumerate(batches):
        bare = _timed(_bare, subjects.network, batch[0])[1] if number < TIMED else None
        made, taken = _timed(make, *batch)
        maps.append(made.float())
        if bare is not None:
            ratios.append(taken / bare)
    return torch.cat(maps), ratios


@torch.no_grad()
def _bare(network: nn.Module, images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits


def _timed(run: Callable[..., Tensor], *given: Any) -> tuple[Tensor, float]:
    """What it gives, and the seconds of the processor, not of the clock, which others share."""
    start = time.process_time()
    made = run(*given)
    return made, time.process_time() - start


def _curves(
    subjects: Subjects, which: Tensor, maps: Tensor, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The areas of deletion and insertion for each picture; none where there is no picture."""
    if not len(which):
        return np.empty(0), np.empty(0)
    given = subjects.network, subjects.images[which], subjects.labels[which], maps
    removed, brought = deletion(*given, steps=steps), insertion(*given, steps=steps)
    return removed.area.values, brought.area.values


def _left(entry: Entry, subjects: Subjects, which: Tensor, maps: Tensor) -> float | None:
    if entry.sums is None or not len(which):
        return None
    nowhere = subjects.empty if entry.sums == "pixels" else subjects.bias
    whole = (subjects.logits - nowhere)[which].double()
    pixels = subjects.images.shape[2] * subjects.images.shape[3]
    factor = {"mean": 1, "cells": subjects.cells, "pixels": pixels}[entry.sums]
    found = factor * maps.double().mean((1, 2))
    return float(((whole - found) / whole).abs().median())


def _interval(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


@dataclass
class Cache:
    """Rows and refusals that were measured, in a file.

    Attributes:
        path: of the file.
        rows: by the key of the entry.
        refused: why some entries cannot be used, likewise.
    """

    path: Path
    rows: dict[str, Row]
    refused: dict[str, str]

    @classmethod
    def at(cls, path: Path) -> Cache:
        """What the file holds; nothing if there is none."""
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        rows = {key: _row(values) for key, values in held.get("rows", {}).items()}
        return cls(path, rows, held.get("refused", {}))

    def save(self) -> None:
        """Write the file whole."""
        rows = {key: dataclasses.asdict(row) for key, row in self.rows.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"rows": rows, "refused": self.refused}, indent=1)
        write_whole(self.path, [text.encode()])

    def forget(self, key: str) -> None:
        """So that it is measured again."""
        self.rows.pop(key, None)
        self.refused.pop(key, None)

    def lacks(self, entry: Entry, subjects: Subjects, effort: Effort) -> bool:
        """Whether an entry is to be measured with this effort."""
        if entry.key in self.refused:
            return False
        row = self.rows.get(entry.key)
        n = min(effort.pictures[entry.price], len(subjects.kept))
        judged = min(effort.judged, int(subjects.is_right[:n].sum()))
        if row is None or row.steps != effort.steps:
            return True
        return row.n < n or len(row.deletion) < judged


def _row(values: Mapping[str, Any]) -> Row:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Row(**fields)


def measure(
    everyone: Sequence[Entry], subjects: Subjects, effort: Effort, cache: Cache
) -> Iterator[Entry]:
    """Fill the cache: what all are compared with, then the cheap; yields each that was measured."""
    order: Sequence[Price] = ("cheap", "dear", "dearest")
    for entry in sorted(everyone, key=lambda each: (order.index(each.price), each.whose != NOBODY)):
        if not cache.lacks(entry, subjects, effort):
            continue
        try:
            cache.rows[entry.key] = row_of(entry, subjects, effort)
        except ModelError as problem:
            cache.refused[entry.key] = str(problem)
        cache.save()
        yield entry


def main() -> None:
    """Measure what is missing, and write the page after each row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judgement")
    parser.add_argument("again", nargs="*", help='rows to measure again, such as "seewhy: cam"')
    parser.add_argument("--effort", choices=EFFORTS, default="full", help="on how many pictures")
    parser.add_argument("--data", type=Path, default=BOXES, help="pictures with true boxes")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where rows are kept")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    options = parser.parse_args()
    register_torchvision_schemas()  # before a peer imports torchvision
    warnings.simplefilter("ignore")  # theirs
    effort, everyone = EFFORTS[options.effort], list(entries())
    data = load_boxes(options.data)
    subjects = Subjects.of(seewhy.load_model(MODEL), data, max(effort.pictures.values()))
    cache = Cache.at(options.cache)
    for key in options.again:
        cache.forget(key)
    for entry in measure(everyone, subjects, effort, cache):
        print(entry.key, time.strftime("%H:%M:%S"), file=sys.stderr, flush=True)
        _write(options.out, everyone, cache)
    _write(options.out, everyone, cache)


def _write(path: Path, everyone: Sequence[Entry], cache: Cache) -> None:
    text = "\n".join(judgement_page.page(everyone, cache.rows, cache.refused))
    write_whole(path, [text.encode()])


if __name__ == "__main__":
    main()
