"""Put maps of several views together: interleaved, and brought to a common grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Maps = Float[Tensor, "batch classes height width"]
Order = Sequence[tuple[int, int]]


def interleaved(maps: Float[Tensor, "views classes height width"], order: Order) -> Maps:
    """One map of each picture from those of its views.

    Args:
        maps: of all views, those of the last split most significant: shape (views * B, k, H, W).
        order: the axis, 0 or 1, and the factor of each split, the first one first. The first lies
            nearest to the picture: its views are neighbours on the finer grid.
    """
    for axis, factor in reversed(order):
        views = maps.unflatten(0, (factor, -1))
        maps = views.movedim(0, 3 + axis).flatten(2 + axis, 3 + axis)
    return maps


def resampled(maps: Maps, size: tuple[int, int]) -> Maps:
    """The maps on another grid over the same picture, each with the mean that it had.

    A finer or coarser cell has the mean of what it covers, cells cut in parts by their areas.
    """
    if tuple(maps.shape[2:]) == size:
        return maps
    rows, columns = (_shares(maps.shape[2 + axis], size[axis]).to(maps) for axis in (0, 1))
    return rows @ maps @ columns.T


def _shares(cells: int, wanted: int) -> Float[Tensor, "wanted cells"]:
    """How much of each wanted cell lies in each cell; rows add up to 1, columns to their ratio."""
    starts = torch.arange(cells, dtype=torch.float64) * (wanted / cells)
    places = torch.arange(wanted, dtype=torch.float64)[:, None]
    ends = torch.minimum(starts + wanted / cells, places + 1)
    return (ends - torch.maximum(starts, places)).clamp(min=0)
