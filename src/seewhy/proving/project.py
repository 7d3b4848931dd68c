"""Project: what sets a group apart is taken out of the pooled features; exact for linear heads."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy.proving.trial import Effect, Trial

Pooled = Float[Tensor, "batch channel"]


def projected(
    group: Pooled,
    others: Pooled,
    weight: Float[Tensor, "classes channel"],
    bias: Float[Tensor, " classes"],
    class_id: int,
) -> Trial:
    """What becomes of the group's pictures, and of the class's others, without its direction.

    With v the unit vector from the others' mean m to the group's, features z become
    `z - v (v . (z - m))`: along v all pictures are then like the mean of the others.

    Args:
        group: (n, K), pooled features of the group.
        others: (m, K), of the class's other pictures.
        weight: of the head.
        bias: of the head.
        class_id: the class.
    """
    centre = others.mean(0)
    apart = group.mean(0) - centre
    unit = apart / apart.norm().clamp_min(torch.finfo(apart.dtype).tiny)

    def effect(pooled: Pooled) -> Effect:
        taken = (pooled - centre) @ unit
        logits = pooled @ weight.T + bias
        after = logits - taken[:, None] * (weight @ unit)
        return effect_of(logits, after, class_id)

    return Trial("project", effect(group), effect(others), is_paired=False)


def effect_of(before: Tensor, after: Tensor, class_id: int) -> Effect:
    """What a change of logits (B, C) means for a class."""
    change = (after - before)[:, class_id]
    was, now = (logits.argmax(1) == class_id for logits in (before, after))
    return Effect(change.double().numpy(), (was != now).numpy())
