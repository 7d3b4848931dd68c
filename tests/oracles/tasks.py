"""What a task makes of the logits of average pooling and one linear layer, in plain loops."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tests.oracles.evidence import Array, evidence_map, mean


class Explained(NamedTuple):
    """Of one picture: logits, probabilities and biases (C,), maps (C, *S)."""

    logits: Array
    probabilities: Array
    bias: Array
    maps: Array


def explained(
    weight: NDArray[np.floating], bias: NDArray[np.floating], features: Array, task: str
) -> Explained:
    """Explain every class of one picture with features (K, *S)."""
    rows = [row.astype(float) for row in weight]
    offsets = [float(b) for b in bias]
    if task == "binary":
        rows, offsets = [-rows[0], rows[0]], [-offsets[0], offsets[0]]
    maps = [evidence_map(row, features.astype(float)) for row in rows]
    logits = [mean(map_) + b for map_, b in zip(maps, offsets, strict=True)]
    return Explained(
        np.array(logits),
        np.array([probability(logits, c, task) for c in range(len(logits))]),
        np.array(offsets),
        np.stack(maps),
    )


def probability(logits: list[float], of: int, task: str) -> float:
    """The probability of one class."""
    if task == "regression":
        return math.nan
    if task == "single-label":
        return 1 / sum(math.exp(z - logits[of]) for z in logits)
    return 1 / (1 + math.exp(-logits[of]))
