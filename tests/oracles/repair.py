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


def least_squares(
    before: Array, after: Array, plain: Array, share: float, ridge: float
) -> tuple[Array, Array]:
    """The affine map `z + D z + c` (D, c) that undoes an artefact, row by row of stacked equations.

    Each picture is an equation `D z + c = -d` for what it has added, d; the ridge is one equation
    `D e = 0` for each axis e, in which c has no part.
    """
    size = plain.shape[1]
    weights = [(1 - share) / len(plain)] * len(plain) + [share / len(after)] * len(after)
    seen = np.concatenate([plain, after])
    added = np.concatenate([np.zeros_like(plain), after - before])
    rows = [np.sqrt(w) * np.append(z, 1.0) for w, z in zip(weights, seen, strict=True)]
    wanted = [-np.sqrt(w) * d for w, d in zip(weights, added, strict=True)]
    mean = sum(w * z for w, z in zip(weights, seen, strict=True))
    variance = sum(w * (z - mean) ** 2 for w, z in zip(weights, seen, strict=True)).mean()
    for axis in np.eye(size):
        rows.append(np.sqrt(ridge * variance) * np.append(axis, 0.0))
        wanted.append(np.zeros(size))
    solved = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    return solved[:size].T, solved[size]
