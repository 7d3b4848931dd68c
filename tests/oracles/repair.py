"""What a repair of the last layer does, derived in another way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]


def restoring(
    ridge: float, weight: Array, bias: Array, seen: Array, wanted: Array, counts: Array
) -> tuple[Array, Array]:
    """The layer whose logits of what is seen are those of what was wanted, as nearly as can be.

    Plain least squares of logits, one equation for each picture, one more for each weight, which
    asks that it be what it was.
    """
    channels = seen.shape[1]
    mean = sum(count * row for count, row in zip(counts, wanted, strict=True))
    spread = sum(
        count * float((row - mean) @ (row - mean))
        for count, row in zip(counts, wanted, strict=True)
    )
    force = np.sqrt(ridge * spread / channels)
    root = np.sqrt(counts)[:, None]
    equations = np.vstack(
        [
            np.hstack([root * seen, root]),
            np.hstack([force * np.eye(channels), np.zeros((channels, 1))]),
        ]
    )
    answers = np.vstack([root * (wanted @ weight.T + bias), force * weight.T])
    found = np.linalg.lstsq(equations, answers, rcond=None)[0]
    return found[:-1].T, found[-1]


def calibrating(
    l2: float, weight: Array, bias: Array, pooled: Array, labels: NDArray[np.int64], counts: Array
) -> tuple[Array, Array]:
    """Weights and biases with a gain and a bias for each class, looked for without gradients.

    Written down picture by picture; the search takes differences of the loss.
    """
    classes = len(bias)

    def layer(numbers: Array) -> tuple[Array, Array]:
        return weight * np.exp(numbers[:classes])[:, None], numbers[classes:]

    def loss(numbers: Array) -> float:
        rows, biases = layer(numbers)
        total = l2 * sum(numbers[c] ** 2 for c in range(classes)) / classes
        for features, label, count in zip(pooled, labels, counts, strict=True):
            logits = rows @ features + biases
            total += count * (np.log(np.exp(logits).sum()) - logits[label])
        return float(total)

    begun = np.concatenate([np.zeros(classes), bias])
    return layer(minimize(loss, begun, method="BFGS", options={"gtol": 1e-6}).x)


def without_directions(weight: Array, bias: Array, pooled: Array, directions: Array) -> Array:
    """Logits (N, C) of features moved along the directions to where they are the most usual.

    The most usual is where the distance to the mean, measured by the features' own covariance
    (Mahalanobis), is the least.
    """
    mean = pooled.mean(0)
    white = np.linalg.inv(np.linalg.cholesky(np.cov(pooled.T)))
    logits = []
    for features in pooled:
        steps = np.linalg.lstsq(white @ directions, white @ (features - mean), rcond=None)[0]
        moved = features - directions @ steps
        logits.append([row @ moved + b for row, b in zip(weight, bias, strict=True)])
    return np.array(logits)
