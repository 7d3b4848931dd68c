"""Interventions and their tests, pixel by pixel and case by case."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray


def peak_box(plane: NDArray[np.floating], level: float) -> tuple[int, int, int, int]:
    """The box of all cells reached from the highest over cells at least `level` as high."""
    height, width = plane.shape
    start = divmod(int(plane.argmax()), width)
    reached, edge = {start}, [start]
    while edge:
        y, x = edge.pop()
        for at in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= at[0] < height and 0 <= at[1] < width
            if inside and at not in reached and plane[at] >= level * plane.max():
                reached.add(at)
                edge.append(at)
    ys, xs = zip(*reached, strict=True)
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def painted(picture: NDArray[np.uint8], box: Sequence[int]) -> NDArray[np.uint8]:
    """Each pixel of the box from the four beside it, by inverse distance."""
    x0, y0, x1, y1 = box
    height, width, _ = picture.shape
    made = picture.copy()
    for y in range(y0, y1):
        for x in range(x0, x1):
            beside = [(y, x0 - 1), (y, x1), (y0 - 1, x), (y1, x)]
            seen = [(b, a) for b, a in beside if 0 <= b < height and 0 <= a < width]
            weights = [1 / (abs(b - y) + abs(a - x)) for b, a in seen]
            colours = [weight * picture[at] for at, weight in zip(seen, weights, strict=True)]
            made[y, x] = np.rint(sum(colours) / sum(weights))
    return made


def without(features: Any, centre: Any, towards: Any) -> Any:
    """Features moved along a direction until they lie as far along it as the centre."""
    return features - towards * ((features - centre) @ towards) / (towards @ towards)


def discriminant(group: Any, others: Any, shrinkage: float) -> Any:
    """The direction that maximises the spread between two groups over that within them."""
    first, second = group.mean(0), others.mean(0)
    within = np.zeros((len(first), len(first)))
    for z, mean in [*((z, first) for z in group), *((z, second) for z in others)]:
        within += np.outer(z - mean, z - mean) / (len(group) + len(others))
    shrunk = within + shrinkage * np.trace(within) / len(first) * np.eye(len(first))
    values, vectors = np.linalg.eig(
        np.linalg.inv(shrunk) @ np.outer(first - second, first - second)
    )
    return np.real(vectors[:, np.argmax(np.real(values))])


def sign_test(won: int, lost: int) -> float:
    """How likely a fair coin wins that often or more often."""
    count = won + lost
    ways: int = sum(comb(count, k) for k in range(won, count + 1))
    return float(ways / 2**count)


def holm(values: Sequence[float]) -> list[float]:
    """The smallest times their number, the next times one less, none below the one before."""
    made = [0.0] * len(values)
    before = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        before = max(before, min(1.0, values[place] * (len(values) - rank)))
        made[place] = before
    return made
