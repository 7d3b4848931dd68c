"""How well maps find objects, as a table for people, with what the numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from seewhy.judging.table import aligned

if TYPE_CHECKING:
    from seewhy.judging.localisation import Localisation, Measures
    from seewhy.metrics.estimate import Estimate

ROWS: dict[str, Callable[[Measures], Estimate | None]] = {
    "MaxBoxAccV2 ↑": lambda m: m.max_box_acc_v2.accuracy,
    "MaxBoxAcc ↑": lambda m: m.max_box_acc.accuracy,
    "GT-known ↑": lambda m: m.gt_known,
    "top-1 error ↓": lambda m: m.top1_error,
    "top-5 error ↓": lambda m: m.top5_error,
    "pointing ↑": lambda m: m.pointing,
    "energy in boxes ↑": lambda m: m.energy,
}
_CHOSEN = ("GT-known ↑", "top-1 error ↓", "top-5 error ↓")


def found_table(result: Localisation) -> str:
    """The table in Markdown, and notes below it."""
    own, centre = result.whole
    count = len(result.pictures)
    head = ["", f"{own}, all {count:,}", f"{own}, other half", f"{centre}, other half"]
    rows = [head, *(_cells(result, row) for row in ROWS)]
    return "\n".join([*aligned(rows), "", *_notes(result)])


def _cells(result: Localisation, row: str) -> list[str]:
    own, centre = result.whole
    whole = "-" if row in _CHOSEN else _text(ROWS[row](result.whole[own]))
    return [row, whole, *(_text(ROWS[row](result.other[name])) for name in (own, centre))]


def _text(estimate: Estimate | None) -> str:
    return "-" if estimate is None else str(estimate)


def _notes(result: Localisation) -> Iterator[str]:
    own, _ = result.whole
    width, height = result.size
    measures = result.whole[own].max_box_acc_v2
    rows = zip(measures.ious, measures.each, strict=True)
    each = ", ".join(f"{100 * share:.1f} % at IoU {iou:g}" for iou, share in rows)
    yield f"{result.how} of {result.model} at {width} x {height}; {result.data}."
    if result.work is not None:
        yield f"A map costs {result.work:.2f} passes at the model's own size, in multiply-adds."
    yield f"MaxBoxAccV2 on all pictures: {each}."
    yield (
        f"GT-known and errors: boxes above {result.threshold[own]:.0%} of the maximum, chosen on"
        f" one half of the pictures (seed {result.split_seed}), reported on the other."
    )
    yield "In brackets: 95 % bootstrap intervals. The centre is a Gaussian in the middle."
    if result.how.method == "refined":
        yield "The refined map shows where the object is, not the evidence."
    if result.skipped:
        yield f"Left out: {len(result.skipped):,}."
