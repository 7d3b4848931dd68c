"""Fit the linear layer again on cached pooled features, in which the artefact decides nothing.

Source: deep feature reweighting (Kirichenko et al. 2023, "Last layer re-training is sufficient for
    robustness to spurious correlations"): a trained network has learned the right features beside
    the wrong one, and its last layer may be taught to weigh them otherwise.

What is fitted on decides. Without the group's pictures the layer learns nothing about the
artefact: nothing that it sees moves along the direction, so the weights along it stay. The group
has to be there, and in every class alike: that is what transplanting gives.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from seewhy.repair.project import Linear, Pooled

L2 = 3e-4  # per squared weight that differs from the old ones, once features are scaled
GAINS = 0.01  # of the mean square of the gains' logarithms
ROUNDS = 100


def balanced(
    labels: Int[Tensor, " count"], groups: Int[Tensor, " count"], shares: Tensor
) -> Float[Tensor, " count"]:
    """What each example counts, (N,), all together 1: within a group every class the same.

    Args:
        labels: (N,), classes.
        groups: (N,), 0 to G - 1.
        shares: (G,), of the whole that each group gets; an empty one gets none.
    """
    cells = groups * (int(labels.max()) + 1) + labels
    _, cell, count = cells.unique(return_inverse=True, return_counts=True)
    of_cell = torch.empty_like(count).scatter_(0, cell, groups)  # the group of each cell
    classes = of_cell.bincount(minlength=len(shares))
    weights: Tensor = (shares[of_cell] / (classes[of_cell] * count))[cell]
    return weights / weights.sum()


def pooled_outside(
    features: Float[Tensor, "batch channel h w"], cells: Tensor
) -> Float[Tensor, "batch channel"]:
    """Features pooled (B, K) over what lies outside the cells (B, h, w); over all, if nothing."""
    kept = (~cells | cells.all(2).all(1)[:, None, None])[:, None].to(features.dtype)
    total: Tensor = (features * kept).sum((2, 3)) / kept.sum((2, 3))
    return total


def refitted(
    layer: Linear,
    pooled: Pooled,
    labels: Int[Tensor, " count"],
    weights: Float[Tensor, " count"],
    l2: float = L2,
) -> Linear:
    """The layer of the least weighted cross-entropy, held back to what it was by `l2`.

    Args:
        layer: as it is, where the search begins.
        pooled: (N, K).
        labels: (N,).
        weights: (N,), what each counts; all together 1.
        l2: of the squared differences of weights.
    """
    scale = pooled.std(0).clamp(min=1e-6).double()  # else LBFGS needs many more rounds
    old = layer.weight.double() * scale
    inputs = (pooled / scale).double()
    weight, bias = (each.clone().requires_grad_() for each in (old, layer.bias.double()))

    def loss() -> Tensor:
        each = F.cross_entropy(inputs @ weight.T + bias, labels, reduction="none")
        return each @ weights.double() + l2 * (weight - old).square().sum()

    _least(loss, weight, bias)
    fitted = weight.detach() / scale, bias.detach()
    return Linear(*(each.to(layer.weight.dtype) for each in fitted))


def calibrated(
    layer: Linear,
    pooled: Pooled,
    labels: Int[Tensor, " count"],
    weights: Float[Tensor, " count"],
    l2: float = GAINS,
) -> Linear:
    """The layer with a gain and a bias for each class, of the least weighted cross-entropy.

    Gains are positive and multiply a class's weights, so that its evidence grows or shrinks and
    lies where it lay. Classes without an example stay as they are: their biases would fall without
    end.

    Args:
        layer: as it is, where the search begins.
        pooled: (N, K).
        labels: (N,).
        weights: (N,), what each counts; all together 1.
        l2: of the mean square of the gains' logarithms: without it they would grow without end
            where every example is decided rightly.

    Source: vector scaling, Guo et al. 2017, "On calibration of modern neural networks", sec. 4.2.
    """
    mean = weights.double() @ pooled.double()
    old = layer.weight.double()
    evidence = (pooled.double() - mean) @ old.T  # about its mean, else biases follow the gains
    base = old @ mean + layer.bias.double()
    seen = F.one_hot(labels.unique(), len(base)).sum(0).double()
    log_gain, shift = (torch.zeros_like(base, requires_grad=True) for _ in range(2))

    def loss() -> Tensor:
        logits = evidence * (log_gain * seen).exp() + base + shift * seen
        each = F.cross_entropy(logits, labels, reduction="none")
        return each @ weights.double() + l2 * log_gain.square().mean()

    _least(loss, log_gain, shift)
    weight = old * (log_gain.detach() * seen).exp()[:, None]
    bias = base + shift.detach() * seen - weight @ mean
    return Linear(weight.to(layer.weight.dtype), bias.to(layer.bias.dtype))


def _least(loss: Callable[[], Tensor], *parameters: Tensor) -> None:
    """Move parameters to where the loss is the least."""
    search = torch.optim.LBFGS(parameters, max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call, unused-ignore]
        return value

    search.step(closure)  # type: ignore[no-untyped-call, unused-ignore]
