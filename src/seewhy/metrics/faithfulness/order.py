"""In which order a map takes its pixels: from the most evidence to the least."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seewhy.errors import InputError


def ranks(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The place of each pixel in the order of evidence, (B, H, W), int32: 0 for the strongest.

    Signed maps are ordered by their signed values: what speaks against the class comes last. Equal
    values are ordered by a draw of all pixels of this picture size, always the same one. So a map
    that is the same everywhere orders its pixels at random, rather than from the upper left.

    Args:
        maps: (B, h, w), brought to the size of the picture first, see `at_size`.
        size: of the picture, (H, W).

    Raises:
        InputError: see `at_size`.
    """
    values = at_size(maps, size).flatten(1)
    rng = np.random.default_rng(size)
    drawn = torch.from_numpy(rng.permutation(values.shape[1])).to(values.device)
    order = drawn[values[:, drawn].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(values.shape[1], dtype=torch.int32, device=values.device)
    found = torch.empty_like(order, dtype=torch.int32).scatter_(1, order, places.expand_as(order))
    return found.view(-1, *size)


def at_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, H, W) at the size of the picture, float32: bilinear with half-pixel centres.

    Args:
        maps: (B, h, w).
        size: (H, W).

    Raises:
        InputError: they are no maps, larger than the picture, or not finite.
    """
    is_map = maps.ndim == 3 and maps.is_floating_point() and 0 not in maps.shape
    if not is_map or maps.shape[1] > size[0] or maps.shape[2] > size[1]:
        raise InputError(
            "maps",
            expected=f"floating point, (B, h, w), no larger than the pictures, {size[0]} x"
            f" {size[1]}",
            got=f"{str(maps.dtype).removeprefix('torch.')} of shape {tuple(maps.shape)}",
            fix="pass one map for each picture",
        )
    if not bool(torch.isfinite(maps).all()):
        raise InputError(
            "maps",
            expected="finite numbers",
            got="NaN or infinite ones",
            fix="check the method, and the model's weights",
        )
    if maps.shape[1:] == size:
        return maps.detach().float()
    exact = maps.detach().double()[:, None]  # so that what is even stays so when it is rounded
    return F.interpolate(exact, size, mode="bilinear", align_corners=False)[:, 0].float()
