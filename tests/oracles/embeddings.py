"""Similarities of embeddings and the evidence for them, in plain loops, from the formula.

For one picture with features `F (K, *S)` and a head `e = P mean_s F[s] + p`, the similarity to a
vector `v` is a sum over the positions: `sum_s sum_d v[d] (P F[s])[d] / N`, and what `p` adds; over
both lengths if it is a cosine (Stylianou et al., 2019, section 3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from tests.oracles.evidence import Array, pool, positions


class Alike(NamedTuple):
    """The similarity of one picture to a vector, with its map (*S) and its bias."""

    similarity: float
    map: Array
    bias: float


def embedding(matrix: Array, offset: Array, features: Array) -> Array:
    """The embedding (D,) of one picture."""
    pooled = pool(features)
    return np.array(
        [
            sum(float(matrix[d, k]) * pooled[k] for k in range(len(pooled))) + float(offset[d])
            for d in range(len(matrix))
        ]
    )


def length(vector: Array) -> float:
    """The Euclidean length."""
    return math.sqrt(math.fsum(float(x) ** 2 for x in vector))


def alike(matrix: Array, offset: Array, features: Array, other: Array, *, cosine: bool) -> Alike:
    """How alike the embedding of a picture is to another embedding."""
    own = embedding(matrix, offset, features)
    over = length(own) * length(other) if cosine else 1.0
    total = math.fsum(float(x) * float(y) for x, y in zip(own, other, strict=True)) / over
    map_ = np.zeros(features.shape[1:])
    for position in positions(features):
        for d in range(len(matrix)):
            there = sum(
                float(matrix[d, k]) * features[(k, *position)] for k in range(len(features))
            )
            map_[position] += float(other[d]) * there / over
    bias = math.fsum(float(v) * float(p) for v, p in zip(other, offset, strict=True)) / over
    return Alike(total, map_, bias)
