"""The maps of a hand-made model in plain loops: every cell's share of every logit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def cellwise(logits_of: Any, features: Array, classes: Array) -> Array:
    """Read maps off a head by asking it about one cell at a time.

    For a head that is affine in the mean of the features, the evidence of a cell is N times what
    the logit gains where that cell alone is not zero. No weight is looked at.

    Args:
        logits_of: gives logits (1, C) for features (1, K, h, w).
        features: (K, h, w).
        classes: those wanted, (k,).
    """
    rows, columns = features.shape[1:]
    nothing = logits_of(np.zeros_like(features)[None])[0]
    maps = np.zeros((len(classes), rows, columns))
    for row in range(rows):
        for column in range(columns):
            alone = np.zeros_like(features)
            alone[:, row, column] = features[:, row, column]
            gain = logits_of(alone[None])[0] - nothing
            maps[:, row, column] = gain[classes] * rows * columns
    return maps
