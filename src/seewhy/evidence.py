"""The algebra: evidence maps, and the certificate that they add up to the logit.

For feature maps `F (B, K, *S)` with N positions, and a row `r (K,)` and bias `b` for a class, the
evidence map is `M[s] = sum_k r[k] F[k, s]`, in logits, and `mean_s M[s] + b` is the class's logit
(Zhou et al., CVPR 2016, equation 2, with the mean in place of the sum).
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "#batch classes channel"]
Features = Float[Tensor, "batch channel *spatial"]
Maps = Float[Tensor, "batch classes *spatial"]
PerClass = Float[Tensor, "batch classes"]


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision in which maps are computed: float32 at least."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def without_autocast(device: str) -> AbstractContextManager[object]:
    """Keep autocast off the algebra; switching it off costs more than asking whether it is on."""
    is_on = torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if is_on else nullcontext()


def without_gradients() -> AbstractContextManager[object]:
    """No gradients within; where there are none, as in inference mode, asking is all it costs."""
    return torch.no_grad() if torch.is_grad_enabled() else nullcontext()


def pooled(
    features: Features, kind: Literal["mean", "sum"] = "mean"
) -> Float[Tensor, "batch channel"]:
    """The features averaged (or summed) over all positions, shape (B, K)."""
    flat = features.flatten(2)
    return flat.mean(2) if kind == "mean" else flat.sum(2)


def evidence_maps(rows: Rows, features: Features) -> Maps:
    """`M[b, c, s] = sum_k rows[b, c, k] F[b, k, s]`: raw, signed, in logits, shape (B, C', *S)."""
    flat = features.flatten(2)
    is_shared = rows.shape[0] != flat.shape[0]  # one row for the whole batch: matmul broadcasts it
    maps = torch.matmul(rows, flat) if is_shared else torch.bmm(rows, flat)
    return maps.view(*maps.shape[:2], *features.shape[2:])


def total_evidence(maps: Maps) -> PerClass:
    """The mean of each map: the part of the logit that lies in the picture, shape (B, C')."""
    return maps.mean(tuple(range(2, maps.ndim)))


def logit_scale(logits: Float[Tensor, "batch all_classes"]) -> Float[Tensor, "batch 1"]:
    """The scale of each picture's logits: their largest magnitude, or 1 where all are zero."""
    largest: Tensor = torch.linalg.vector_norm(logits, math.inf, 1, keepdim=True)
    return torch.threshold(largest, 0.0, 1.0)  # in one operation; NaN stays NaN


def certificate(
    maps: Maps, bias: PerClass, target: PerClass, scale: Float[Tensor, "batch 1"]
) -> PerClass:
    """The deviation of `mean(map) + bias` from what it should add up to, over the logits' scale.

    Args:
        maps: evidence maps in logits.
        bias: the rest of each logit, from the head's own parameters.
        target: the logits (margins, log-odds) that the model returned.
        scale: of the picture's logits, see `logit_scale`.
    """
    return (total_evidence(maps) + bias).sub_(target).abs_().div_(scale)


def softmax_without(
    logits: Float[Tensor, "batch all_classes"], classes: torch.Tensor
) -> Float[Tensor, "batch classes all_classes"]:
    """For each class asked for, the softmax `q` over all the others; q of the class itself is 0."""
    others = logits[:, None, :].expand(-1, classes.shape[1], -1)
    return others.scatter(2, classes[..., None], float("-inf")).softmax(2)


def entropy(q: Float[Tensor, "batch classes all_classes"]) -> PerClass:
    """The entropy of each distribution, in nats; `0 log 0` counts as 0."""
    per_class: Tensor = -torch.special.xlogy(q, q).sum(2)
    return per_class


def log_odds(logits: Float[Tensor, "batch all_classes"], classes: torch.Tensor) -> PerClass:
    """`logit[c] - logsumexp of the others`: the log-odds of each class against all others."""
    others = logits[:, None, :].expand(-1, classes.shape[1], -1)
    rest = others.scatter(2, classes[..., None], float("-inf")).logsumexp(2)
    return logits.gather(1, classes) - rest
