"""Faithfulness in plain loops: one picture, one pixel, one question to the model after the other.

A picture is `picture[channel][row][column]`; `score(picture)` is the class's probability or logit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

Plane = list[list[float]]
Picture = list[Plane]
Place = tuple[int, int]
Score = Callable[[Picture], float]


def in_order(map_: Sequence[Sequence[float]]) -> list[Place]:
    """Places from the strongest to the weakest; ties as they stand, so that there must be none."""
    values = {(y, x): v for y, row in enumerate(map_) for x, v in enumerate(row)}
    assert len(set(values.values())) == len(values)
    return sorted(values, key=lambda place: -values[place])


def copy(picture: Picture) -> Picture:
    return [[list(row) for row in plane] for plane in picture]


def put(into: Picture, place: Place, other: Picture) -> None:
    y, x = place
    for plane, source in zip(into, other, strict=True):
        plane[y][x] = source[y][x]


def changed_one_by_one(
    score: Score, start: Picture, end: Picture, order: Sequence[Place]
) -> list[float]:
    """The score of `start`, then after each pixel of `end` that comes in: N + 1 numbers."""
    now = copy(start)
    found = [score(now)]
    for place in order:
        put(now, place, end)
        found.append(score(now))
    return found


def trapezoids(shares: Sequence[float], heights: Sequence[float]) -> float:
    total = 0.0
    for k in range(1, len(shares)):
        total += (shares[k] - shares[k - 1]) * (heights[k] + heights[k - 1]) / 2
    return total


def at_steps(one_by_one: Sequence[float], steps: int) -> tuple[list[float], list[float]]:
    """The shares k / K, and the scores after k N / K pixels, to the nearest, halves up."""
    pixels = len(one_by_one) - 1
    counts = [math.floor(Fraction(k * pixels, steps) + Fraction(1, 2)) for k in range(steps + 1)]
    return [k / steps for k in range(steps + 1)], [one_by_one[count] for count in counts]


def imputed(picture: Picture, missing: Sequence[Sequence[bool]]) -> Picture:
    """Solve for the missing pixels densely: one equation for each, written down by hand."""
    height, width = len(missing), len(missing[0])
    unknown = [(y, x) for y in range(height) for x in range(width) if missing[y][x]]
    left = np.zeros((len(unknown), len(unknown)))
    right = np.zeros((len(unknown), len(picture)))
    for row, (y, x) in enumerate(unknown):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                near = (y + dy, x + dx)
                if near == (y, x) or not (0 <= near[0] < height and 0 <= near[1] < width):
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                left[row, row] += weight
                if near in unknown:
                    left[row, unknown.index(near)] -= weight
                else:
                    for channel, plane in enumerate(picture):
                        right[row, channel] += weight * plane[near[0]][near[1]]
    solution = np.linalg.solve(left, right)
    whole = copy(picture)
    for row, (y, x) in enumerate(unknown):
        for channel, plane in enumerate(whole):
            plane[y][x] = float(solution[row, channel])
    return whole


def gaussian(plane: Plane, sigma: float, reach: int) -> Plane:
    """Blurred with weights exp(-d^2 / 2 sigma^2), d up to `reach`, mirrored without the edge."""
    height, width = len(plane), len(plane[0])
    blurred = [[0.0] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            total = weights = 0.0
            for dy in range(-min(reach, height - 1), min(reach, height - 1) + 1):
                for dx in range(-min(reach, width - 1), min(reach, width - 1) + 1):
                    weight = math.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma))
                    total += weight * plane[mirrored(y + dy, height)][mirrored(x + dx, width)]
                    weights += weight
            blurred[y][x] = total / weights
    return blurred


def mirrored(place: int, length: int) -> int:
    if place < 0:
        return -place
    return 2 * (length - 1) - place if place >= length else place


def seen_through(picture: Picture, map_: Sequence[Sequence[float]]) -> Picture:
    """Each pixel times max(map, 0) / max(map)."""
    peak = max(max(row) for row in map_)
    return [
        [
            [value * max(map_[y][x], 0) / peak if peak > 0 else 0.0 for x, value in enumerate(row)]
            for y, row in enumerate(plane)
        ]
        for plane in picture
    ]


def drop(whole: float, seen: float) -> float:
    return (whole - seen) / whole if seen < whole else 0.0


def said_and_lost(
    score: Score,
    picture: Picture,
    empty: Picture,
    map_: Sequence[Sequence[float]],
    squares: Sequence[Sequence[Place]],
) -> list[tuple[float, float]]:
    """For each square: the sum of the map over it, and what the score loses when it is hidden."""
    pairs = []
    for square in squares:
        now = copy(picture)
        for place in square:
            put(now, place, empty)
        pairs.append((sum(map_[y][x] for y, x in square), score(picture) - score(now)))
    return pairs


def infidelity(pairs: Sequence[tuple[float, float]], factor: float = 1.0) -> float:
    return sum((factor * said - lost) ** 2 for said, lost in pairs) / len(pairs)
