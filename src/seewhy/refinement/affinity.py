"""How alike positions are to the network, and how a map spreads among those that are alike.

For features `f (n, K)` of n positions, `c[i, j] = max(0, cos(f[i] - mean, f[j] - mean))`. Position
i takes the mean of the map over all positions j, weighed by `c[i, j] ** power`: one step of a
random walk, or the Nadaraya-Watson estimate of the map from the features.

The power is found for each picture. With weights `p[i, j]` that add up to 1 over j, the effective
number of positions that i looks at is `1 / sum_j p[i, j] ** 2`; the power is such that this is, on
average, a given share of all n. So no number depends on the network, or on the size of the grid.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Features = Float[Tensor, "batch channel height width"]
Affinity = Float[Tensor, "batch position position"]
Weights = Float[Tensor, "batch #position position"]
Maps = Float[Tensor, "batch classes height width"]

LOWEST, HIGHEST = 0.5, 64.0  # powers: from nearly everywhere to nearly nowhere but itself
_HALVINGS = 12  # of the logarithm of that range: the power to a tenth of a per cent
_SAMPLE = 128  # positions that the power is judged by
_ALIKE = 1e-30  # the least likeness: what is less counts as none


def likeness(features: Features) -> Affinity:
    """The clipped cosine of the centred features of every two positions, (B, n, n), n = H W.

    Of positions whose features are the picture's mean it is 0, but 1 with themselves: a position
    is always like itself.
    """
    flat = features.flatten(2).float()
    flat = flat - flat.mean(2, keepdim=True)
    units = flat / torch.linalg.vector_norm(flat, dim=1, keepdim=True).clamp_min(1e-12)
    alike = torch.bmm(units.mT, units).clamp_(0, 1)
    alike.diagonal(dim1=1, dim2=2).fill_(1)
    return alike


def power_for(alike: Affinity, share: float) -> Float[Tensor, " batch"]:
    """The power at which positions look at this share of the picture, on average, (B,).

    Found by bisection, on evenly spaced positions where there are many; `LOWEST` or `HIGHEST`
    where no power between them does it.

    Args:
        alike: see `likeness`.
        share: of all positions.
    """
    count = alike.shape[1]
    logs = alike[:, :: max(1, count // _SAMPLE)].clamp_min(_ALIKE).log_()
    low = torch.full((len(alike),), LOWEST, device=alike.device).log_()
    high = torch.full_like(low, HIGHEST).log_()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_wide = _effective(logs, middle.exp()) > share * count
        low, high = torch.where(is_wide, middle, low), torch.where(is_wide, high, middle)
    return ((low + high) / 2).exp()


def _effective(logs: Weights, power: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """How many positions are looked at, on average."""
    weights = (logs * power[:, None, None]).exp_()
    per_position: Tensor = weights.sum(2).square() / weights.square().sum(2)
    return per_position.mean(1)


def spread(maps: Maps, alike: Affinity, power: Float[Tensor, " batch"]) -> Maps:
    """One step: each position takes the weighed mean of the map over all positions.

    Args:
        maps: on the grid that `alike` is of.
        alike: see `likeness`.
        power: see `power_for`.
    """
    weights = alike.clamp_min(_ALIKE).pow(power[:, None, None])
    flat = maps.flatten(2)
    moved = torch.bmm(flat, weights.mT) / weights.sum(2)[:, None]
    return moved.view_as(maps)
