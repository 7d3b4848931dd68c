"""The numbers of a comparison as a table for people, in Markdown, with what they mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from seewhy.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seewhy.comparison.result import Comparison, Mean, Score

HEADS = ("method", "cost", "by construction", "classes differ", "right cell")
CHANCE = 0.25  # of four cells


def table(comparison: Comparison) -> str:
    """The table, and notes below it."""
    rows = [HEADS, *(_cells(score) for score in comparison.scores)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = [_line(row, widths) for row in rows]
    rule = [f"{'-' * (width - (place > 0))}{':' * (place > 0)}" for place, width in _places(widths)]
    return "\n".join([lines[0], _line(rule, widths), *lines[1:], "", *notes(comparison)])


def _cells(score: Score) -> tuple[str, ...]:
    return (
        score.method,
        cost(score.cost.passes),
        METHODS[score.method].passes if score.method in METHODS else "",
        with_error(score.difference),
        with_error(score.pointing, percent=True),
    )


def _line(cells: tuple[str, ...] | list[str], widths: list[int]) -> str:
    padded = [
        cell.rjust(width) if place else cell.ljust(width)
        for (place, width), cell in zip(_places(widths), cells, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def _places(widths: list[int]) -> list[tuple[int, int]]:
    return list(enumerate(widths))


def cost(passes: float) -> str:
    """A cost in forward passes: two digits, or whole where it is large."""
    return f"{passes:.2f}" if passes < 10 else f"{passes:.0f}"


def with_error(mean: Mean | None, *, percent: bool = False) -> str:
    """A mean with its standard error, or a dash where there is none."""
    if mean is None or math.isnan(mean.value):
        return "-"
    scale, digits, sign = (100, 1, " %") if percent else (1, 2, "")
    value = f"{scale * mean.value:.{digits}f}"
    error = "" if math.isnan(mean.error) else f" ± {scale * mean.error:.{digits}f}"
    return f"{value}{error}{sign}"


def notes(comparison: Comparison) -> Iterator[str]:
    """What the numbers are, a line each."""
    first = comparison.scores[0] if comparison.scores else None
    yield (
        f"{comparison.model}, {comparison.what}. cost: measured, in forward passes of one picture"
        f" ({1000 * comparison.forward_seconds:.3g} ms); by construction: F forward, B backward."
    )
    if first is not None:
        yield (
            "classes differ: 1 - rank correlation of the maps for the two most probable classes,"
            f" mean over {first.difference.n} pictures; 0: one map for both. Noise differs, too."
        )
    if first is not None and first.pointing is not None:
        yield (
            f"right cell: share of positive evidence in the right quarter of {first.pointing.n}"
            f" mosaics of four classes; chance is {CHANCE:.0%}. ± is the standard error."
        )
    if comparison.note:
        yield comparison.note
    for method, reason in comparison.refused.items():
        yield f"without {method}: {reason}"
