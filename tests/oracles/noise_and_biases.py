"""SmoothGrad and its kin, and FullGrad, in plain loops.

The network of the second part has two dense layers with biases:
logit[c] = sum_j second[c][j] * relu(first[j] . x + inner[j]) + outer[c]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Vector = Sequence[float]


def noisy_gradients(
    gradient: Callable[[Array], Array], picture: Array, noise: Array, share: float
) -> tuple[Array, Array, Array]:
    """The mean, the mean square and the variance over noisy copies, each (C, H, W)."""
    spread = share * (picture.max() - picture.min())
    every = [gradient(picture + spread * each) for each in noise]
    mean = sum(every) / len(every)
    square = sum(each**2 for each in every) / len(every)
    variance = sum((each - mean) ** 2 for each in every) / len(every)
    return np.asarray(mean), np.asarray(square), np.asarray(variance)


def full_gradient(
    first: Sequence[Vector],
    inner: Vector,
    second: Sequence[Vector],
    outer: Vector,
    x: Vector,
    of: int,
) -> tuple[list[float], list[float], list[float]]:
    """What each input, each inner bias and each outer bias adds to logit `of`."""
    is_on = [
        sum(w * v for w, v in zip(row, x, strict=True)) + bias > 0
        for row, bias in zip(first, inner, strict=True)
    ]
    of_inputs = [
        x[i] * sum(second[of][j] * first[j][i] for j in range(len(first)) if is_on[j])
        for i in range(len(x))
    ]
    of_inner = [second[of][j] * inner[j] if is_on[j] else 0.0 for j in range(len(first))]
    of_outer = [outer[c] if c == of else 0.0 for c in range(len(outer))]
    return of_inputs, of_inner, of_outer


def rescaled(values: Array) -> Array:
    """Magnitudes from 0 to 1, as the psi of Srinivas and Fleuret has them before upsampling."""
    size = np.abs(values)
    low, high = size.min(), size.max()
    return (size - low) / (high - low) if high > low else np.zeros_like(size)
