"""Fit the linear layer again on cached pooled features, in which the artefact decides nothing.

Source: deep feature reweighting (Kirichenko et al. 2023, "Last layer re-training is sufficient for
    robustness to spurious correlations"): a trained network has learned the right features beside
    the wrong one, and its last layer may be taught to weigh them otherwise.

What is fitted on decides. Without the group's pictures the layer learns nothing about the
artefact: nothing that it sees moves along the direction, so the weights along it stay. The group
has to be there, and in every class alike: that is what transplanting gives.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from seewhy.repair.project import Linear, Pooled

L2 = 3e-4  # per squared weight that differs from the old ones, once features are scaled
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
    search = torch.optim.LBFGS([weight, bias], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        each = F.cross_entropy(inputs @ weight.T + bias, labels, reduction="none")
        value = each @ weights.double() + l2 * (weight - old).square().sum()
        value.backward()
        return value

    search.step(loss)  # type: ignore[no-untyped-call, unused-ignore]
    fitted = weight.detach() / scale, bias.detach()
    return Linear(*(each.to(layer.weight.dtype) for each in fitted))


def rebiased(
    layer: Linear,
    pooled: Pooled,
    labels: Int[Tensor, " count"],
    weights: Float[Tensor, " count"],
) -> Linear:
    """The layer with the biases of the least weighted cross-entropy; weights stay as they are.

    Classes without an example keep their biases: they would fall without end.

    Args:
        layer: as it is, where the search begins.
        pooled: (N, K).
        labels: (N,).
        weights: (N,), what each counts; all together 1.
    """
    logits = layer(pooled).double()
    seen = F.one_hot(labels.unique(), len(layer.bias)).sum(0).double()
    shift = torch.zeros_like(seen, requires_grad=True)
    search = torch.optim.LBFGS([shift], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        each = F.cross_entropy(logits + shift * seen, labels, reduction="none")
        value = each @ weights.double()
        value.backward()
        return value

    search.step(loss)  # type: ignore[no-untyped-call, unused-ignore]
    return Linear(layer.weight, layer.bias + (shift.detach() * seen).to(layer.bias.dtype))
