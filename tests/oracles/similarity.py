"""Structural similarity and rank correlation in plain loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.localisation import class_difference

Plane = Sequence[Sequence[float]]


def spearman(first: Plane, second: Plane) -> float:
    return 1 - class_difference(first, second)


def up_to_one(plane: Plane) -> list[list[float]]:
    peak = max(abs(value) for row in plane for value in row)
    return [[abs(value) / peak if peak else 0.0 for value in row] for row in plane]


def ssim(first: Plane, second: Plane, side: int) -> float:
    """The mean over all windows that lie within: means, sample variances, sample covariance."""
    one, other = up_to_one(first), up_to_one(second)
    found = []
    for top in range(len(one) - side + 1):
        for left in range(len(one[0]) - side + 1):
            places = [(top + dy, left + dx) for dy in range(side) for dx in range(side)]
            a, b = ([plane[y][x] for y, x in places] for plane in (one, other))
            found.append(of_window(a, b))
    return math.fsum(found) / len(found)


def of_window(a: list[float], b: list[float]) -> float:
    n = len(a)
    ma, mb = sum(a) / n, sum(b) / n
    va = sum((x - ma) ** 2 for x in a) / (n - 1)
    vb = sum((x - mb) ** 2 for x in b) / (n - 1)
    both = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True)) / (n - 1)
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * ma * mb + c1) * (2 * both + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
