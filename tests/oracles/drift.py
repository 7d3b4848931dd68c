"""The drift of evidence, cell by cell and in plain Python: as `seewhy.gate.diff`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Grid = Sequence[Sequence[float]]


def drift(first: Grid, second: Grid) -> float:
    """Half the L1 distance of two maps' positive parts, each divided by its sum; grids alike."""
    p, q = (
        [max(Fraction(v), Fraction(0)) for row in grid for v in row] for grid in (first, second)
    )
    if sum(p) == 0 or sum(q) == 0:
        return float(sum(p) != sum(q))
    return float(sum(abs(a / sum(p) - b / sum(q)) for a, b in zip(p, q, strict=True)) / 2)


def halved(grid: Grid) -> list[list[float]]:
    """Each two by two cells as one, their sum."""
    return [
        [
            grid[2 * y][2 * x]
            + grid[2 * y][2 * x + 1]
            + grid[2 * y + 1][2 * x]
            + grid[2 * y + 1][2 * x + 1]
            for x in range(len(grid[0]) // 2)
        ]
        for y in range(len(grid) // 2)
    ]
