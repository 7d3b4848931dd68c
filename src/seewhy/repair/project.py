"""Take an artefact out of the pooled features, folded into the linear layer: no training, exact.

An affine map `z -> z + D (z - m)` before the layer `W z + b` is a layer again, `W' = W + W D` and
`b' = b - W D m`. Two such maps are here:

- `erased`: with directions `V (K, r)` and filters `A (K, r)`, `A^T V = 1`, it is `D = -V A^T`:
  what the filters read is as in the mean `m`, whatever the picture.
- `undone`: of all affine maps the one that brings pictures with the artefact the nearest to the
  same without it, and leaves others where they are (least squares, a Wiener filter). Where the
  artefact moves features far and pictures hardly vary, it takes out all, as a projection does;
  where they vary, as much as pays. So no number of directions has to be chosen: letters in other
  places, of other pictures, move features along many, each a little.

Source: projective class artefact compensation (Anders et al. 2022, "Finding and removing Clever
    Hans"), the mean kept as in their P-ClArC. That filters are whitened, `A ~ S^-1 V` with the
    covariance `S` of the features, so that as little as can be is changed of everything else, is
    LEACE (Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form") for the
    concept "carries the artefact"; and with it `V` is the pattern that belongs to the filter `A`
    (Haufe et al. 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

RIDGE = 0.01  # of the mean variance, added to each: features that hardly vary are not blown up

Pooled = Float[Tensor, "count channel"]
Weight = Float[Tensor, "classes channel"]
Bias = Float[Tensor, " classes"]
Directions = Float[Tensor, "channel rank"]


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer: `logits = weight @ pooled + bias`.

    Attributes:
        weight: (C, K).
        bias: (C,).
    """

    weight: Weight
    bias: Bias

    def __call__(self, pooled: Pooled) -> Float[Tensor, "count classes"]:
        """The logits of pooled features."""
        return pooled @ self.weight.T + self.bias


def difference_of_means(group: Pooled, rest: Pooled) -> Directions:
    """(K, 1): from the mean of one set of pooled features to that of another."""
    return (group.mean(0) - rest.mean(0))[:, None]


def undone(
    layer: Linear, before: Pooled, after: Pooled, plain: Pooled, share: float = 0.5
) -> Linear:
    """The layer behind the affine map that best undoes what an artefact does to the features.

    With `z` what is seen, `d` what the artefact has added (0 where there is none), it is the least
    of `E |d + D (z - m)|^2`, plus `RIDGE` times the mean variance times `|D|^2`: where nothing
    speaks for a change, there is none. `m` is the mean of what is seen, and what the artefact adds
    in the mean is taken off.

    Args:
        layer: as it is.
        before: (N, K), of pictures as they are.
        after: (N, K), of the same with the artefact put in.
        plain: (M, K), of pictures without it.
        share: that pictures with the artefact count for; the others count for the rest.
    """
    seen, added = torch.cat([plain, after]).double(), (after - before).double()
    weights = torch.cat([_even(plain, 1 - share), _even(after, share)])
    mean = weights @ seen
    apart = seen - mean
    usual = weights[len(plain) :] @ added
    covariance = apart.T @ (weights[:, None] * apart)
    common = apart[len(plain) :].T @ (weights[len(plain) :, None] * added)
    change = -torch.linalg.solve(_ridged(covariance), common).T
    weight = layer.weight.double()
    moved = weight @ change
    bias = layer.bias - moved @ mean - weight @ usual
    dtype = layer.weight.dtype
    return Linear((weight + moved).to(dtype), bias.to(dtype))


def _even(pooled: Pooled, share: float) -> Float[Tensor, " count"]:
    return torch.full((len(pooled),), share / len(pooled), dtype=torch.float64)


def erased(
    layer: Linear, directions: Directions, mean: Tensor, covariance: Tensor | None = None
) -> Linear:
    """The layer that does not see these directions.

    Args:
        layer: as it is.
        directions: (K, r), of the artefact.
        mean: (K,), of pooled features without the artefact, which is what is seen instead.
        covariance: (K, K), of these: features are changed as little as it allows, measured by it.
            None: in plain geometry, along the directions and at right angles to the rest.
    """
    wide = directions.double()
    filters = wide if covariance is None else torch.linalg.solve(_ridged(covariance), wide)
    filters = torch.linalg.solve(filters.T @ wide, filters.T)  # (r, K): filters @ wide is 1
    seen = layer.weight.double() @ wide
    weight = layer.weight - seen @ filters
    bias = layer.bias + seen @ (filters @ mean.double())
    return Linear(weight.to(layer.weight.dtype), bias.to(layer.bias.dtype))


def _ridged(covariance: Tensor) -> Tensor:
    matrix = covariance.double()
    variance = matrix.diagonal().mean()
    return matrix + RIDGE * variance * torch.eye(len(matrix), dtype=matrix.dtype)
