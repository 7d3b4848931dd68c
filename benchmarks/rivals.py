"""What else people do about wrong reasons, on the same networks.

The linear layer fitted anew; and finders that look at the place of the evidence only, or nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.repair.head import balanced, refitted
from seewhy.repair.project import Linear

UPWEIGHT = 20.0  # of mistakes, in JTT's paper 4 to 100
Rows = NDArray[np.int64]


def oracle_head(layer: Linear, pooled: Tensor, labels: Tensor, carries: Tensor) -> Linear:
    """Deep feature reweighting with the true groups: each class with and without counts the same.

    Source: Kirichenko et al. 2023. No other method of this benchmark is told who carries what.
    """
    shares = torch.tensor([0.5, 0.5])
    return refitted(layer, pooled, labels, balanced(labels, carries.long(), shares))


def jtt_head(layer: Linear, pooled: Tensor, labels: Tensor) -> Linear:
    """Just train twice (Liu et al. 2021), then on the linear layer alone: mistakes weigh more."""
    wrong = layer(pooled).argmax(1) != labels
    weights = 1 + (UPWEIGHT - 1) * wrong.float()
    return refitted(layer, pooled, labels, weights / weights.sum())


def clarc_layer(layer: Linear, group: Tensor, rest: Tensor, mean: Tensor) -> Linear:
    """Projective class artefact compensation, from a group and the rest of its class alone.

    The direction between their means is projected out at right angles.

    Source: Anders et al. 2022 (P-ClArC).

    Args:
        layer: as it is.
        group: (M, K), pooled features of what was found.
        rest: (R, K), of the class's other pictures.
        mean: (K,), of pictures without the artefact, which is what is seen instead.
    """
    direction = group.mean(0) - rest.mean(0)
    direction = direction / direction.norm()
    seen = layer.weight @ direction
    weight = layer.weight - seen[:, None] * direction
    return Linear(weight, layer.bias + seen * (direction @ mean))


@dataclass(frozen=True)
class Found:
    """How well rows that were flagged agree with those that carry something.

    Attributes:
        precision: of the flagged, the share that carries; NaN where none was flagged.
        recall: of those that carry, the share that was flagged.
    """

    precision: float
    recall: float


def found(flagged: Rows, carrying: Rows) -> Found:
    """Precision and recall of rows."""
    both = len(np.intersect1d(flagged, carrying))
    precision = both / len(flagged) if len(flagged) else float("nan")
    return Found(precision, both / len(carrying) if len(carrying) else float("nan"))


def by_border(border: NDArray[np.float64], rows: Rows, carrying: Rows) -> Found:
    """The share of the evidence in a strip along the edges as the finder, in one class.

    Its threshold is the one with the best F1 by the truth: better than anybody could choose it.

    Args:
        border: of each of the rows.
        rows: that were predicted as the class.
        carrying: the truth.
    """
    order = rows[np.argsort(-np.nan_to_num(border, nan=-1), kind="stable")]
    hits = np.cumsum(np.isin(order, carrying))
    scores = 2 * hits / (np.arange(1, len(order) + 1) + len(carrying))
    return found(order[: int(scores.argmax()) + 1], carrying)


def at_random(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """As many rows of the class, drawn at random, as a finder had in its group."""
    return np.sort(rng.permutation(rows)[:count])
