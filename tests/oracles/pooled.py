"""What pooled heads add up, position by position, written from the definitions with loops.

Features have shape (K, N), the row of a class (K,). Each function gives the map (N,) and what the
pooling itself adds to the bias. The map's mean and that and the head's bias are the logit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def maximum(features: Array, row: Array) -> tuple[Array, float]:
    """Global max pooling (Oquab et al. 2015); those that share a maximum share it equally."""
    channels, positions = features.shape
    found = np.zeros(positions)
    for k in range(channels):
        most = max(features[k])
        sharing = [s for s in range(positions) if features[k, s] == most]
        for s in sharing:
            found[s] += positions * row[k] * most / len(sharing)
    return found, 0.0


def generalised_mean(features: Array, row: Array, p: float, least: float) -> tuple[Array, float]:
    """GeM (Radenovic et al. 2018): the p-th root of the mean of the p-th powers, clamped below.

    A position that the clamp acts on contributes `least`, whatever its features: to the bias.
    """
    channels, positions = features.shape
    found, rest = np.zeros(positions), 0.0
    for k in range(channels):
        clamped = [max(value, least) for value in features[k]]
        mean = sum(value**p for value in clamped) / positions
        for s in range(positions):
            share = row[k] * clamped[s] ** p * mean ** (1 / p - 1)
            if features[k, s] >= least:
                found[s] += share
            else:
                rest += share / positions
    return found, rest


def log_sum_exp(features: Array, row: Array, *, mean: bool = False) -> tuple[Array, float]:
    """log sum exp(x) = sum of w x + entropy of w, with w the softmax (Pinheiro, Collobert 2015)."""
    channels, positions = features.shape
    found, rest = np.zeros(positions), 0.0
    for k in range(channels):
        total = sum(math.exp(value) for value in features[k])
        for s in range(positions):
            weight = math.exp(features[k, s]) / total
            found[s] += positions * row[k] * weight * features[k, s]
            rest -= row[k] * weight * math.log(weight)
        rest -= row[k] * math.log(positions) if mean else 0.0
    return found, rest


def average_and_maximum(features: Array, row: Array) -> tuple[Array, float]:
    """The sum of both poolings."""
    found, _ = maximum(features, row)
    for s in range(features.shape[1]):
        found[s] += sum(row[k] * features[k, s] for k in range(features.shape[0]))
    return found, 0.0


def attention(features: Array, row: Array, scores: Array) -> tuple[Array, float]:
    """Attention pooling (Ilse et al. 2018): a sum weighted by the softmax of scores (N,)."""
    positions = features.shape[1]
    total = sum(math.exp(score) for score in scores)
    found = np.zeros(positions)
    for s in range(positions):
        value = sum(row[k] * features[k, s] for k in range(features.shape[0]))
        found[s] = positions * math.exp(scores[s]) / total * value
    return found, 0.0


def by_position(features: Array, rows: Array) -> tuple[Array, float]:
    """Flattened features and one linear layer: every position has a row of its own, (K, N)."""
    channels, positions = features.shape
    found = np.zeros(positions)
    for s in range(positions):
        found[s] = positions * sum(rows[k, s] * features[k, s] for k in range(channels))
    return found, 0.0


def class_token(
    tokens: Array, key: Array, value: Array, row: Array, token: Array
) -> tuple[Array, float]:
    """A class token that attends once, scores `token . (key @ x)`, and is read: the patches' part.

    Args:
        tokens: of the patches, shape (N, K).
        key: matrix of the keys, (K, K).
        value: matrix of the values, (K, K).
        row: of the class, (K,).
        token: the class token, (K,).

    Returns:
        The map of the patches, and what the class token itself carries.
    """
    positions = len(tokens)
    every = [token, *tokens]
    scores = [float(token @ (key @ x)) / math.sqrt(len(token)) for x in every]
    total = sum(math.exp(score) for score in scores)
    shares = [
        math.exp(score) / total * float(row @ (value @ x))
        for score, x in zip(scores, every, strict=True)
    ]
    return positions * np.array(shares[1:]), shares[0] + float(row @ token)
