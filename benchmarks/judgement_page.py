"""The page docs/judgement.md: the table of all methods, and how to read it."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.judged import NOBODY, Entry
from seewhy.judging.table import NO_BETTER, aligned, with_interval
from seewhy.metrics.scores import Scores

if TYPE_CHECKING:
    from benchmarks.judgement import Row

PACKAGES = ("torch", "grad-cam", "torchcam", "captum")
HEAD = (
    "method",
    "of",
    "kind",
    "cost",
    "MaxBoxAcc ↑",
    "MaxBoxAccV2 ↑",
    "pointing ↑",
    "n",
    "deletion ↓",
    "insertion ↑",
    "n",
    "left over",
)


def page(
    everyone: Sequence[Entry], rows: Mapping[str, Row], refused: Mapping[str, str]
) -> Iterator[str]:
    """All of it, line by line."""
    yield from ABOUT.splitlines()
    yield ""
    yield from table(everyone, rows)
    yield ""
    yield from _refused(everyone, refused)
    yield from _missing(everyone, {**rows, **refused})
    yield from _shorter(everyone, rows)
    yield from READING.splitlines()
    yield ""
    yield f"Measured with {_versions()}, one thread of a CPU."
    yield ""


def table(everyone: Sequence[Entry], rows: Mapping[str, Row]) -> Iterator[str]:
    """The table in Markdown, of what was measured so far."""
    known = [entry for entry in everyone if entry.key in rows]
    yield from aligned([HEAD, *(_cells(entry, rows) for entry in known)])


def _cells(entry: Entry, rows: Mapping[str, Row]) -> list[str]:
    row = rows[entry.key]
    name = f"*{entry.name}*" if entry.whose == NOBODY else entry.name
    found = (_percent(each) for each in (row.box_acc, row.box_acc_v2, row.pointing))
    curves = (_area(entry, rows, metric) for metric in ("deletion", "insertion"))
    n, judged = str(row.n), str(len(row.deletion))
    return [
        name,
        entry.whose,
        entry.kind,
        _cost(row),
        *found,
        n,
        *curves,
        judged,
        _left(row),
    ]


def _cost(row: Row) -> str:
    return f"{row.passes:.2f}" if row.passes < 10 else f"{row.passes:,.0f}"


def _percent(estimate: tuple[float, float, float]) -> str:
    value, low, high = (100 * each for each in estimate)
    return f"{value:.1f}" if math.isnan(low) else f"{value:.1f} ({low:.0f} to {high:.0f})"


def _area(entry: Entry, rows: Mapping[str, Row], metric: str) -> str:
    """The mean, with a mark where it is not better than maps that know nothing."""
    values = np.array(getattr(rows[entry.key], metric))
    mark = "" if entry.whose == NOBODY or _beats(values, rows, metric) else f" {NO_BETTER}"
    return with_interval(Scores(values), percent=False) + mark


def _beats(values: np.ndarray, rows: Mapping[str, Row], metric: str) -> bool:
    """Whether they are better than each of those, on the same pictures, with 95 % confidence."""
    sign = -1 if metric == "deletion" else 1
    others = [getattr(row, metric) for key, row in rows.items() if key.startswith(NOBODY)]
    return all(_is_positive(sign * _difference(values, np.array(other))) for other in others)


def _difference(values: np.ndarray, other: np.ndarray) -> np.ndarray:
    """On the pictures that both have: all take the same first ones."""
    count = min(len(values), len(other))
    found: np.ndarray = values[:count] - other[:count]
    return found


def _is_positive(differences: np.ndarray) -> bool:
    return Scores(differences).interval()[0] > 0


def _left(row: Row) -> str:
    if row.left is None:
        return "-"
    is_nothing = row.left < 5e-5
    return "0 %" if is_nothing else f"{100 * row.left:,.{0 if row.left >= 0.1 else 1}f} %"


def _refused(everyone: Sequence[Entry], refused: Mapping[str, str]) -> Iterator[str]:
    names = [f"`{entry.name}`" for entry in everyone if entry.key in refused]
    if names:
        verb = (
            "are for transformers, and refuse"
            if len(names) > 1
            else "is for transformers, and refuses"
        )
        yield f"{', '.join(names)} {verb} this network."
        yield ""


def _missing(everyone: Sequence[Entry], known: Mapping[str, object]) -> Iterator[str]:
    names = [f"{entry.name} ({entry.whose})" for entry in everyone if entry.key not in known]
    if names:
        yield f"Not measured yet: {', '.join(names)}."
        yield ""


def _shorter(everyone: Sequence[Entry], rows: Mapping[str, Row]) -> Iterator[str]:
    """That some rows wait for the full run: not all cheap methods saw the same pictures."""
    known = [entry for entry in everyone if entry.key in rows]
    counts = {rows[entry.key].n for entry in known if entry.price == "cheap"}
    if len(counts) > 1:
        fewer = ", ".join(map(str, sorted(counts)[:-1]))
        yield f"Rows of {fewer} pictures are those of a shorter run (`--effort short`)."
        yield ""


def _versions() -> str:
    return ", ".join([f"Python {platform.python_version()}", *map(_version, PACKAGES)])


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"no {package}"


ABOUT = """\
# All methods, side by side

One network, the same pictures, every method that seewhy has, and those of other packages where
they run. What is promised, and what does it cost? Does the map find the object? Is the evidence
real? Do the numbers add up? Made by `python -m benchmarks judgement`, which goes on where it was
stopped, and takes one to three hours on one core.

EfficientNet-Lite0 at 224 x 224, maps of the true class. The pictures are those of the half of 650
ILSVRC validation pictures that no setting was chosen on ([localisation](localisation.md)), in an
order drawn once: every row takes the first *n*. Methods that need dozens of passes take fewer.
Compare rows of the same *n*.
"""

READING = """\
## How to read it

- **kind**: what the package promises. *exact*: with the head's bias the map adds up to the logit,
  and this is checked for every picture ([kinds](kinds.md)); with several views, to the mean of
  their logits. *in logits*: its numbers are, but nothing checks them. *first-order*: a tangent.
  *none*: nothing; a refined map says of itself that it is a picture of the object, and no evidence.
  Peers do not say.
- **cost**: in bare forward passes of the same batch, in CPU time; bare pass and maps take turns,
  the median over at most nine batches (of eight pictures; of four, or of one, where a picture
  takes hundreds of passes). Reading and preparing pictures is not in it. A refined map's 1.07
  passes of [localisation](localisation.md) are multiply-adds; it takes more time than these.
- **MaxBoxAcc, MaxBoxAccV2, pointing**, in per cent: do boxes around the map find the object, and is
  its strongest place in it? Compare with *centre*, which always points to the middle. In
  brackets: 95 % bootstrap intervals over the pictures. A row of a few pictures is a look, no more.
- **deletion, insertion**: the area under the class's probability as the best pixels turn grey, or
  come into a blur, in ten steps ([faithfulness](faithfulness.md)), on the first pictures that the
  network is right about. ×: not better than each of the three maps that know
  nothing, on the same pictures, with 95 % confidence.
- **left over**: of the logit, less what lies nowhere in the picture, the share that the map's
  numbers do not account for; the median over the same pictures. What lies nowhere is the head's
  bias, or, for methods that look at pixels, the logit of a picture of the mean colour. The numbers
  are the map's mean, or its sum over the grid's cells or the pixels, as their unit wants. A dash:
  they are not in logits.

## Other packages

Maps of pytorch-grad-cam and TorchCAM are cut off at zero and stretched to reach from 0 to 1 before
anyone sees them. Boxes at a share of the maximum and the order of the strongest pixels outlive
that, so they can stand in this table. What the numbers were in logits does not: they cannot add up.
Deletion and insertion feel the cut as well: where all is zero, pixels go in an order drawn by lot.

Captum's `GuidedBackprop` and `Deconvolution` change how gradients pass modules of the class `ReLU`,
and no others. This network has `ReLU6`: both return the plain gradient, and say nothing. Their
rows repeat that of `Saliency`. seewhy's rules take hold of the operation, whatever module it is in.

pytorch-grad-cam's `FullGrad` resizes the gradients of every channel of every layer on its own.
"""
