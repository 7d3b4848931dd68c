"""What a repair of the last layer does, written out picture by picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def without_direction(
    weight: Array, bias: Array, pooled: Array, direction: Array, filter_: Array, mean: Array
) -> Array:
    """Logits (N, C) of features whose reading along one direction is what it is in the mean."""
    logits = []
    for features in pooled:
        reading = sum(f * x for f, x in zip(filter_, features, strict=True))
        usual = sum(f * x for f, x in zip(filter_, mean, strict=True))
        step = sum(f * d for f, d in zip(filter_, direction, strict=True))
        moved = features - direction * (reading - usual) / step
        logits.append([row @ moved + b for row, b in zip(weight, bias, strict=True)])
    return np.array(logits)
