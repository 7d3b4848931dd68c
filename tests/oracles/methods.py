"""What is projected back through a net of two dense layers, and occlusion, in plain loops.

logit[c] = sum_j second[c][j] * relu(sum_i first[j][i] * x[i])
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

Vector = Sequence[float]
Matrix = Sequence[Vector]


def hidden(first: Matrix, x: Vector) -> list[float]:
    """What the ReLUs are given."""
    return [sum(w * v for w, v in zip(row, x, strict=True)) for row in first]


def projected(
    rule: Callable[[float, float], float], first: Matrix, second: Matrix, x: Vector, of: int
) -> list[float]:
    """What arrives at each input when logit `of` is projected back.

    `rule(came_in, comes_back)` is what a ReLU passes back.
    """
    passed = [
        rule(value, weight) for value, weight in zip(hidden(first, x), second[of], strict=True)
    ]
    return [sum(row[i] * p for row, p in zip(first, passed, strict=True)) for i in range(len(x))]


def gradient(came_in: float, comes_back: float) -> float:
    """An ordinary ReLU: what was cut off on the way forward is cut off on the way back."""
    return comes_back if came_in > 0 else 0.0


def deconvnet(_came_in: float, comes_back: float) -> float:
    """Zeiler and Fergus: a ReLU on what comes back."""
    return comes_back if comes_back > 0 else 0.0


def guided(came_in: float, comes_back: float) -> float:
    """Springenberg et al.: both."""
    return comes_back if came_in > 0 and comes_back > 0 else 0.0


def occlusion(
    score: Callable[[list[list[float]]], float], picture: Matrix, side: int, step: int, fill: float
) -> list[list[float]]:
    """The mean fall of a score over every square of `side` that covers a pixel."""
    height, width = len(picture), len(picture[0])
    falls: dict[tuple[int, int], list[float]] = {}
    for top, left in itertools.product(starts(height, side, step), starts(width, side, step)):
        inside = [
            (y, x)
            for y, x in itertools.product(range(height), range(width))
            if top <= y < top + side and left <= x < left + side
        ]
        covered = [list(row) for row in picture]
        for y, x in inside:
            covered[y][x] = fill
        for place in inside:
            falls.setdefault(place, []).append(score([list(r) for r in picture]) - score(covered))
    return [[sum(falls[y, x]) / len(falls[y, x]) for x in range(width)] for y in range(height)]


def starts(length: int, side: int, step: int) -> list[int]:
    """Where squares begin: every step, until one reaches the end."""
    found = [0]
    while found[-1] + side < length:
        found.append(found[-1] + step)
    return found
