"""What findings are measured by, a picture and a pair at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray


def rank_biserial(inside: Sequence[float], outside: Sequence[float]) -> float:
    pairs = [(a > b) - (a < b) for a in inside for b in outside]
    return sum(pairs) / len(pairs)


def jaccard(one: Collection[int], other: Collection[int]) -> float:
    both = [each for each in one if each in other]
    either = [*one, *(each for each in other if each not in one)]
    return len(both) / len(either)


def fisher(points: NDArray[np.floating], members: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Fisher's linear discriminant from its definition, of unit length."""
    inside, outside = points[members], points[~members]
    within = np.zeros((points.shape[1], points.shape[1]))
    for part in (inside, outside):
        for point in part:
            apart = point - part.mean(0)
            within += np.outer(apart, apart)
    direction: NDArray[np.floating] = np.linalg.solve(within, inside.mean(0) - outside.mean(0))
    return direction / np.linalg.norm(direction)
