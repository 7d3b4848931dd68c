"""SGD with Nesterov momentum, smoothed cross-entropy and moving averages, number by number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def nesterov(
    weight: NDArray[np.float64],
    gradients: Sequence[NDArray[np.float64]],
    lrs: Sequence[float],
    *,
    momentum: float,
    decay: float,
) -> NDArray[np.float64]:
    """Return a weight after one step for each gradient (Sutskever et al. 2013, as in PyTorch)."""
    velocity = np.zeros_like(weight)
    for gradient, lr in zip(gradients, lrs, strict=True):
        slope = gradient + decay * weight
        velocity = momentum * velocity + slope
        weight = weight - lr * (slope + momentum * velocity)
    return weight


def smoothed_cross_entropy(
    logits: Sequence[Sequence[float]], labels: Sequence[int], smoothing: float
) -> float:
    """Return the mean cross-entropy to targets of which a share is spread over all classes."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        scale = math.log(sum(math.exp(each) for each in row))
        for place, logit in enumerate(row):
            target = smoothing / len(row) + (1 - smoothing) * (place == label)
            total -= target * (logit - scale)
    return total / len(labels)


def mixed_cross_entropy(
    logits: Sequence[Sequence[float]],
    labels: Sequence[int],
    others: Sequence[int],
    shares: Sequence[float],
    smoothing: float,
) -> float:
    """Return CutMix's loss: each picture's two losses, by how much of it has which label."""
    total = 0.0
    for row, label, other, share in zip(logits, labels, others, shares, strict=True):
        own, strange = (smoothed_cross_entropy([row], [each], smoothing) for each in (label, other))
        total += share * own + (1 - share) * strange
    return total / len(labels)


def moving_average(values: Sequence[float], first: float, decay: float) -> float:
    """Return the exponential moving average that begins with `first`."""
    average = first
    for value in values:
        average = decay * average + (1 - decay) * value
    return average
