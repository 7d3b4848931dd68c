"""Spreading a map among like positions, naively: one pair of positions at a time."""

from __future__ import annotations

import math
from typing import Any

Vector = list[float]


def cosine(first: Vector, second: Vector) -> float:
    product = sum(a * b for a, b in zip(first, second, strict=True))
    norms = math.sqrt(sum(a * a for a in first)) * math.sqrt(sum(b * b for b in second))
    return product / norms if norms > 1e-9 else 0.0


def likeness(vectors: list[Vector]) -> list[Vector]:
    """max(0, cos) of every two positions, after the mean over positions is taken from each."""
    width = len(vectors[0])
    means = [sum(vector[k] for vector in vectors) / len(vectors) for k in range(width)]
    centred = [[vector[k] - means[k] for k in range(width)] for vector in vectors]
    return [
        [1.0 if i == j else max(0.0, cosine(a, b)) for j, b in enumerate(centred)]
        for i, a in enumerate(centred)
    ]


def spread(values: Vector, alike: list[Vector], power: float) -> Vector:
    """Of each position, the mean of all values, weighed by its likeness to their positions."""
    moved = []
    for row in alike:
        weights = [each**power if each > 0 else 0.0 for each in row]
        weighed = sum(weight * value for weight, value in zip(weights, values, strict=True))
        moved.append(weighed / sum(weights))
    return moved


def effective_share(alike: list[Vector], power: float) -> float:
    """The share of all positions that a position looks at, on average: 1 / sum of p squared."""
    counts = []
    for row in alike:
        weights = [each**power if each > 0 else 0.0 for each in row]
        total = sum(weights)
        counts.append(1 / sum((weight / total) ** 2 for weight in weights))
    return sum(counts) / len(counts) / len(alike)


def positions(features: Any) -> list[Vector]:
    """(K, h, w) as one vector for each position, row by row."""
    return [
        [float(features[k][y][x]) for k in range(len(features))]
        for y in range(len(features[0]))
        for x in range(len(features[0][0]))
    ]
