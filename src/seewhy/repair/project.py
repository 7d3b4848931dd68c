"""Take a direction out of the pooled features, folded into the linear layer: no training, exact.

With pooled features `z (K,)`, logits `W z + b`, directions `V (K, r)` and filters `A (K, r)` with
`A^T V = 1`, the repaired layer sees `z - V A^T (z - m)` in place of `z`: what the filters read is
as in the mean `m` of pictures without the artefact, whatever the picture. This is affine, so that
`W' = W - (W V) A^T` and `b' = b + (W V) A^T m` do it.

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


def of_changes(before: Pooled, after: Pooled, covariance: Tensor, rank: int = 1) -> Directions:
    """The directions into which a transplant moves features, (K, rank).

    The first is the mean change; the others are those of what remains of the changes that vary
    the most, beside how much features vary anyway.

    Args:
        before: (N, K), of pictures as they are.
        after: (N, K), of the same with the artefact put in.
        covariance: (K, K), of features without it.
        rank: how many, 1 or more.
    """
    change = (after - before).double()
    mean = change.mean(0)
    if rank == 1:
        return mean[:, None].to(before.dtype)
    root = torch.linalg.cholesky(_ridged(covariance))
    white = torch.linalg.solve_triangular(root, change.T, upper=False)
    first = white.mean(1, keepdim=True)
    first = first / first.norm()
    rest = white - first @ (first.T @ white)
    others = torch.linalg.svd(rest @ rest.T)[0][:, : rank - 1]
    directions: Tensor = root @ torch.cat([first, others], 1)
    return directions.to(before.dtype)


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
