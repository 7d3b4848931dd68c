"""The methods that make a map from a layer's features, in plain loops, from their papers.

Features F and gradients G are arrays (K, h, w) of one picture; `score` is what the network makes of
features. The gradient is taken by differences: nothing here knows of autograd.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Score = Callable[[Array], float]


def gradient(score: Score, features: Array, step: float = 1e-4) -> Array:
    """How the score changes with each number, by central differences."""
    found = np.zeros_like(features)
    for place in np.ndindex(*features.shape):
        up, down = features.copy(), features.copy()
        up[place] += step
        down[place] -= step
        found[place] = (score(up) - score(down)) / (2 * step)
    return found


def weighted_sum(weights: list[float], features: Array) -> Array:
    """Equation 2 of most of the papers: sum_k w[k] F[k]."""
    _, height, width = features.shape
    found = np.zeros((height, width))
    for y, x in itertools.product(range(height), range(width)):
        found[y, x] = sum(w * channel[y, x] for w, channel in zip(weights, features, strict=True))
    return found


def grad_cam(features: Array, grads: Array) -> Array:
    """Selvaraju et al., equation 1: alpha_k = 1/Z sum_ij dy/dA_ij^k. Before the ReLU."""
    size = features.shape[1] * features.shape[2]
    return weighted_sum([sum(map(float, g.ravel())) / size for g in grads], features)


def hirescam(features: Array, grads: Array) -> Array:
    """Draelos and Carin: sum_k dy/dA^k times A^k, element by element."""
    count, height, width = features.shape
    found = np.zeros((height, width))
    for k, y, x in itertools.product(range(count), range(height), range(width)):
        found[y, x] += grads[k, y, x] * features[k, y, x]
    return found


def xgrad_cam(features: Array, grads: Array) -> Array:
    """Fu et al., equation 8: each gradient counts by the share of the channel that lies there."""
    weights = []
    for f, g in zip(features, grads, strict=True):
        total = float(f.sum())
        shares = [float(a) / total * float(b) for a, b in zip(f.ravel(), g.ravel(), strict=True)]
        weights.append(sum(shares))
    return weighted_sum(weights, features)


def layer_cam(features: Array, grads: Array) -> Array:
    """Jiang et al., equations 5 and 6: w_ij = relu(g_ij), then w_ij A_ij. Before the last ReLU."""
    count, height, width = features.shape
    found = np.zeros((height, width))
    for k, y, x in itertools.product(range(count), range(height), range(width)):
        found[y, x] += max(grads[k, y, x], 0.0) * features[k, y, x]
    return found


def grad_cam_plusplus(features: Array, grads: Array) -> Array:
    """Chattopadhyay et al., equations 19, 7 and 5, with the factor exp(S) left out."""
    weights = []
    for f, g in zip(features, grads, strict=True):
        total, weight = sum(map(float, f.ravel())), 0.0
        for slope in map(float, g.ravel()):
            denominator = 2 * slope**2 + total * slope**3
            alpha = slope**2 / denominator if denominator else 0.0
            weight += alpha * max(slope, 0.0)
        weights.append(weight)
    return weighted_sum(weights, features)


def ablation_cam(score: Score, features: Array) -> Array:
    """Desai and Ramaswamy: w_k = (y - y_k) / y, here over |y|. Before the ReLU."""
    whole, weights = score(features), []
    for k in range(len(features)):
        without = features.copy()
        without[k] = 0.0
        weights.append((whole - score(without)) / abs(whole))
    return weighted_sum(weights, features)


def score_cam(score: Score, picture: Array, features: Array) -> Array:
    """Wang et al., algorithm 1; here `score` is of a picture (C, H, W). Before the ReLU."""
    rises = []
    for channel in features:
        mask = enlarged(channel, picture.shape[1], picture.shape[2])
        low, high = mask.min(), mask.max()
        mask = (mask - low) / (high - low) if high > low else np.zeros_like(mask)
        rises.append(score(picture * mask) - score(np.zeros_like(picture)))
    powers = [math.exp(rise) for rise in rises]
    return weighted_sum([power / sum(powers) for power in powers], features)


def eigen_cam(features: Array, *, centred: bool = False) -> Array:
    """Muhammad and Yeasin: U S V' = O, then O v_1; from the full decomposition."""
    rows = features.reshape(len(features), -1).T
    rows = rows - rows.mean(0) if centred else rows
    found: Array = rows @ np.linalg.svd(rows, full_matrices=True)[2][0]
    found = found if found[np.abs(found).argmax()] >= 0 else -found
    return found.reshape(features.shape[1:])


def finer_score(logits: Array, of: int, references: int, strength: float) -> float:
    """Zhang et al.: the logit less a share of the mean of those nearest to it."""
    others = sorted((abs(logits[d] - logits[of]), d) for d in range(len(logits)) if d != of)
    nearest = [float(logits[d]) for _, d in others[:references]]
    return float(logits[of]) - strength * sum(nearest) / len(nearest)


def enlarged(values: Array, height: int, width: int) -> Array:
    """Bilinear interpolation with half-pixel centres; beyond the outer centres it is constant."""
    found = np.zeros((height, width))
    for y, x in itertools.product(range(height), range(width)):
        (top, low, down), (left, right, across) = (
            _between(at, length, count)
            for at, length, count in zip((y, x), (height, width), values.shape, strict=True)
        )
        above = values[top, left] * (1 - across) + values[top, right] * across
        below = values[low, left] * (1 - across) + values[low, right] * across
        found[y, x] = above * (1 - down) + below * down
    return found


def _between(at: int, length: int, count: int) -> tuple[int, int, float]:
    centre = min(max((at + 0.5) * count / length - 0.5, 0.0), count - 1.0)
    low = int(centre)
    return low, min(low + 1, count - 1), centre - low
