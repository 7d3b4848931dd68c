"""The grid pointing game and rank correlation, in plain loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

Matrix = Sequence[Sequence[float]]


def share_in_cell(map_: Matrix, cell: tuple[int, int], cells: tuple[int, int]) -> float:
    """Positive evidence within the cell, over all of it."""
    height, width = len(map_) // cells[0], len(map_[0]) // cells[1]
    inside = everywhere = 0.0
    for y, row in enumerate(map_):
        for x, value in enumerate(row):
            if value > 0:
                everywhere += value
                inside += value * ((y // height, x // width) == cell)
    return inside / everywhere if everywhere else 0.0


def rank(values: Sequence[float], of: float) -> float:
    """1 + how many are smaller + half of the others that are equal."""
    smaller = sum(value < of for value in values)
    equal = sum(value == of for value in values)
    return 1 + smaller + (equal - 1) / 2


def class_difference(first: Matrix, second: Matrix) -> float:
    """1 - Spearman's rank correlation."""
    columns = []
    for each in (first, second):
        flat = [value for row in each for value in row]
        ranks = [rank(flat, value) for value in flat]
        mean = sum(ranks) / len(ranks)
        columns.append([value - mean for value in ranks])
    one, other = columns
    above = sum(a * b for a, b in zip(one, other, strict=True))
    below = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return 1 - above / below
