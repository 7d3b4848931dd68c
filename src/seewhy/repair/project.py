"""Take the artefact out of the pooled features, folded into the linear layer: exact, no training.

Of pictures that were given the artefact it is known what their pooled features were without it.
So there is a best affine map from what is seen to what would be: with features `x (K,)`, wanted
`y (K,)`, and `y = x` for pictures as they are,

    T, t = argmin E |T x + t - y|^2 = Cov(y, x) Cov(x)^-1, E y - T E x,

the linear least squares estimate (Wiener filter) of what features were before the artefact was
added to them. It is affine, so that `W' = W T` and `b' = W t + b` do it in a linear layer.

An artefact that moves features far, along few directions `V (K, r)`, makes it a projection:
`T = 1 - V (V^T S^-1 V)^-1 V^T S^-1` with the covariance `S` of features without the artefact. That
is projective class artefact compensation (Anders et al. 2022, "Finding and removing Clever Hans"),
whitened as in LEACE (Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form").
Where it moves them less, or in many directions, each direction is kept as far as what it tells of
the picture outweighs what it tells of the artefact; no number of directions has to be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

RIDGE = 0.01  # of the mean variance: what pictures hardly show is left as it is

Pooled = Float[Tensor, "count channel"]
Weight = Float[Tensor, "classes channel"]
Bias = Float[Tensor, " classes"]


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


def restored(
    layer: Linear,
    seen: Pooled,
    wanted: Pooled,
    weights: Float[Tensor, " count"],
    ridge: float = RIDGE,
) -> Linear:
    """The layer that takes features for what they should have been.

    Args:
        layer: as it is.
        seen: (N, K), of pictures with the artefact, and of others.
        wanted: (N, K), of the same pictures without it.
        weights: (N,), what each counts; all together 1.
        ridge: of the squares of `T - 1`, beside the mean variance of what is seen.
    """
    inputs, outputs = seen.double(), wanted.double()
    counts = weights.double()[:, None]
    mean_in, mean_out = (counts * inputs).sum(0), (counts * outputs).sum(0)
    centred = inputs - mean_in
    covariance = centred.T @ (counts * centred)
    penalty = ridge * covariance.diagonal().mean() * torch.eye(len(covariance)).double()
    shared = centred.T @ (counts * (outputs - mean_out))
    transform = torch.linalg.solve(covariance + penalty, shared + penalty).T
    weight, bias = layer.weight.double(), layer.bias.double()
    shift = mean_out - transform @ mean_in
    dtype = layer.weight.dtype
    return Linear((weight @ transform).to(dtype), (bias + weight @ shift).to(dtype))
