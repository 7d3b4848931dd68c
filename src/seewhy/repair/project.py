"""Take the artefact out of the pooled features, folded into the linear layer: exact, no training.

Of pictures that were given the artefact it is known what their pooled features were without it.
So there is a best affine map from what is seen to what would be: with features `x (K,)`, wanted
`y (K,)`, and `y = x` for pictures as they are,

    T, t = argmin E |T x + t - y|^2 = Cov(y, x) Cov(x)^-1, E y - T E x,

the linear least squares estimate (Wiener filter) of what features were before the artefact was
added to them. It is affine, so that `W' = W T` and `b' = W t + b` do it in a linear layer.

What is read along a direction is scaled by the share that the picture, not the artefact, has in
it; no number of directions has to be chosen. An artefact that moves features far, whatever the
picture, along few directions `V (K, r)`, makes `T` the projection `1 - V (V^T S^-1 V)^-1 V^T S^-1`
with the covariance `S` of features without it: projective class artefact compensation, as whitened
in LEACE.

Source: Anders et al. 2022, "Finding and removing Clever Hans" (P-ClArC); Belrose et al. 2023,
    "LEACE: Perfect linear concept erasure in closed form"; the estimate is Wiener's (1949) for
    finitely many numbers, e.g. Kay 1993, "Fundamentals of statistical signal processing", ch. 12.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.errors import ModelError

LEAST = 1e-12  # variance of features: where none moves, T is 1

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
    ridge: float | None = None,
) -> Linear:
    """The layer that takes features for what they should have been.

    Args:
        layer: as it is.
        seen: (N, K), of pictures with the artefact, and of others.
        wanted: (N, K), of the same pictures without it.
        weights: (N,), what each counts; all together 1.
        ridge: of the squares of `T - 1`, beside the mean variance of `wanted`: what pictures hardly
            show is left as it is. None: channels for each picture, by Kish's effective number
            `1 / sum(weights^2)`, so that a few pictures do not decide about many channels.

    Raises:
        ModelError: features are not finite.
    """
    _require_finite(seen)
    inputs, outputs = seen.double(), wanted.double()
    counts = weights.double()[:, None]
    if ridge is None:
        ridge = inputs.shape[1] * float(counts.square().sum())
    mean_in, mean_out = (counts * inputs).sum(0), (counts * outputs).sum(0)
    centred_in, centred_out = inputs - mean_in, outputs - mean_out
    variance = (counts * centred_out.square()).sum(0).mean().clamp(min=LEAST)
    penalty = ridge * variance * torch.eye(inputs.shape[1], dtype=torch.float64)
    covariance, shared = (centred_in.T @ (counts * each) for each in (centred_in, centred_out))
    transform = torch.linalg.solve(covariance + penalty, shared + penalty).T
    weight, bias = layer.weight.double(), layer.bias.double()
    shift = mean_out - transform @ mean_in
    dtype = layer.weight.dtype
    return Linear((weight @ transform).to(dtype), (bias + weight @ shift).to(dtype))


def _require_finite(pooled: Pooled) -> None:
    if not torch.isfinite(pooled).all():
        raise ModelError(
            "repair",
            expected="finite features",
            got="a NaN or an infinity in the last features",
            fix="look at the audit's failed pictures, or repair a network in float32",
        )
