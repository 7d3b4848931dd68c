"""Maps, certificates and margins once more, in plain loops over numpy arrays of float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def positions(features: Array) -> list[tuple[int, ...]]:
    """Every position of a feature grid (K, *S)."""
    return list(itertools.product(*(range(extent) for extent in features.shape[1:])))


def evidence_map(weights: Array, features: Array) -> Array:
    """The map (*S) of one class with weights (K,), for the features (K, *S) of one picture."""
    result = np.zeros(features.shape[1:])
    for position in positions(features):
        for channel, weight in enumerate(weights):
            result[position] += weight * features[(channel, *position)]
    return result


def mean(map_: Array) -> float:
    """The mean over all positions."""
    values = [float(map_[position]) for position in positions(map_[None])]
    return math.fsum(values) / len(values)


def pool(features: Array) -> Array:
    """Global average pooling of one picture's features: (K,)."""
    return np.array([mean(channel) for channel in features])


def softmax_without(logits: Array, left_out: int) -> Array:
    """The softmax over all classes but one, and 0 for that one."""
    powers = [0.0 if c == left_out else math.exp(z) for c, z in enumerate(logits)]
    return np.array(powers) / sum(powers)


def log_odds(logits: Array, of: int) -> float:
    """log p / (1 - p) of one class under the softmax."""
    total = sum(math.exp(z) for z in logits)
    p = math.exp(logits[of]) / total
    return math.log(p / (1 - p))


def entropy(q: Array) -> float:
    """The entropy in nats."""
    return -sum(float(p) * math.log(p) for p in q if p > 0)


def frozen_layer_norm(features: Array, gain: Array, shift: Array, epsilon: float) -> Array:
    """Features (K, *S) through the LayerNorm of their mean, with only sigma frozen.

    Each position gives up its own mean over the channels, since the mean is linear:
    its mean over positions is the LayerNorm of the pooled features.
    """
    pooled = pool(features)
    sigma = math.sqrt(sum((p - pooled.mean()) ** 2 for p in pooled) / len(pooled) + epsilon)
    result = np.zeros_like(features)
    for position in positions(features):
        column = np.array([features[(k, *position)] for k in range(len(pooled))])
        for k in range(len(pooled)):
            result[(k, *position)] = gain[k] * (column[k] - column.mean()) / sigma + shift[k]
    return result


def frozen_l2(features: Array) -> Array:
    """Features over the Euclidean norm of their mean."""
    norm = math.sqrt(sum(p**2 for p in pool(features)))
    return features / norm


def frozen_rms(features: Array, gain: Array, epsilon: float) -> Array:
    """Features through the RMSNorm of their mean, with the root mean square frozen."""
    pooled = pool(features)
    rms = math.sqrt(sum(p**2 for p in pooled) / len(pooled) + epsilon)
    return np.stack([gain[k] * features[k] / rms for k in range(len(pooled))])


def batch_norm(
    features: Array, gain: Array, shift: Array, mean_: Array, variance: Array, epsilon: float
) -> Array:
    """Features through a batch norm in evaluation mode, position by position."""
    result = np.zeros_like(features)
    for k in range(features.shape[0]):
        result[k] = (features[k] - mean_[k]) / math.sqrt(variance[k] + epsilon) * gain[k] + shift[k]
    return result
