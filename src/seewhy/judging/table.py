"""The numbers of a judgement as a table for people, in Markdown, with what they mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from seewhy.metrics.faithfulness.table import METRICS

if TYPE_CHECKING:
    from seewhy.judging.result import Faithfulness
    from seewhy.metrics.faithfulness.completeness import Completeness
    from seewhy.metrics.scores import Scores

BETTER = {True: "↑", False: "↓"}
NO_BETTER = "×"


def table(result: Faithfulness) -> str:
    """The table, and notes below it."""
    head = ["method", *map(_with_arrow, result.metrics)]
    rows = [head, *(_cells(result, method) for method in result.scores)]
    return "\n".join([*aligned(rows), "", *notes(result)])


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown whose columns are as wide as what is in them; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    for row in (rows[0], rule, *rows[1:]):
        first, *rest = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        yield f"| {' | '.join(cells)} |"


def _with_arrow(metric: str) -> str:
    return f"{metric} {BETTER[METRICS[metric].is_higher_better]}"


def _cells(result: Faithfulness, method: str) -> list[str]:
    is_baseline = method in result.baselines
    cells = [f"*{method}*" if is_baseline else method]
    for metric, scores in result.scores[method].items():
        mark = "" if is_baseline or result.beats(method, metric) else f" {NO_BETTER}"
        cells.append(with_interval(scores, percent=METRICS[metric].is_share) + mark)
    return cells


def with_interval(scores: Scores, *, percent: bool) -> str:
    """A mean with its interval: "0.31 (0.28 to 0.34)"; a dash where there is none."""
    if math.isnan(scores.mean):
        return "-"
    scale, digits, sign = (100, 0, " %") if percent else (1, 3, "")
    mean, low, high = (f"{scale * each:.{digits}f}" for each in (scores.mean, *scores.interval()))
    between = "" if scores.n < 2 else f" ({low} to {high})"
    return f"{mean}{sign}{between}"


def notes(result: Faithfulness) -> Iterator[str]:
    """What the numbers are, a line each."""
    settings = result.settings
    yield (
        f"{result.model}, {result.n} {result.what}, the predicted class of each. In brackets: 95 %"
        f" intervals over the pictures. {settings.steps} steps; area {settings.area:.0%}; seed"
        f" {settings.seed}."
    )
    for name in result.metrics:
        yield f"{_with_arrow(name)}: {METRICS[name].summary}."
    yield (
        f"{', '.join(f'*{name}*' for name in result.baselines)}: maps that know nothing of the"
        f" model. {NO_BETTER}: not better than each of them, on the same pictures, with 95 %"
        " confidence."
    )
    if result.completeness is not None:
        yield _adding_up(result.completeness)
    for method, reason in result.refused.items():
        yield f"without {method}: {reason}"


def _adding_up(found: Completeness) -> str:
    """How well the maps of `explain` add up: rounding where they are exact, else what is left."""
    exact = f"The maps of explain: {found.exact:.0%} of {found.n} exact"
    if found.exact == 1 or math.isnan(found.residual):
        return f"{exact}; the worst is off by {found.worst:.0e} of the logits' scale."
    return (
        f"{exact}; of a logit less its bias they leave {found.residual:.0%} over at the median,"
        f" {found.worst_residual:.0%} at worst."
    )
