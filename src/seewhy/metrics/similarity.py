"""How alike two maps of a picture are, for many pictures at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from seewhy.errors import InputError

WINDOW = 7  # pixels on a side
_SMALL = (0.01**2, 0.03**2)  # keep quotients of small numbers still


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """The rank correlation of each picture's two maps, (B,), from -1 to 1.

    Equal values share the mean of their ranks. NaN where a map is the same everywhere, or is not
    finite.

    Args:
        first: maps (B, H, W).
        second: others of the same pictures.

    Raises:
        InputError: the maps are of different shapes.

    Source:
        Spearman, The Proof and Measurement of Association between Two Things, 1904.
    """
    _check(first, second)
    one, other = (_centred(_ranks(each.flatten(1))) for each in (first, second))
    found = (one * other).sum(1) / (one.square().sum(1) * other.square().sum(1)).sqrt()
    return torch.where(_finite(first) & _finite(second), found, torch.nan)


def absolute_spearman(first: Tensor, second: Tensor) -> Tensor:
    """The rank correlation of the maps' magnitudes, (B,): what speaks against counts as what does.

    Args:
        first: maps (B, H, W).
        second: others of the same pictures.

    Raises:
        InputError: the maps are of different shapes.

    Source:
        Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3 and figure 4.
    """
    return spearman(first.abs(), second.abs())


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """The structural similarity of the maps' magnitudes, each over its largest, (B,), up to 1.

    The mean over all windows of 7 x 7 that lie within the picture (of a smaller one: the largest
    of an odd side), with the covariances of a sample. NaN where a map is not finite.

    Args:
        first: maps (B, H, W).
        second: others of the same pictures.

    Raises:
        InputError: the maps are of different shapes.

    Source:
        Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, IEEE
        Transactions on Image Processing, 2004, equation 13; to compare maps with: Adebayo et al.,
        NeurIPS 2018, section 3.
    """
    _check(first, second)
    one, other = (_up_to_one(each) for each in (first, second))
    side = min(WINDOW, *(length - (length + 1) % 2 for length in first.shape[1:]))

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values[:, None], side, stride=1)[:, 0]

    unbiased = side**2 / max(1, side**2 - 1)
    m1, m2 = mean(one), mean(other)
    v1, v2 = (unbiased * (mean(x * x) - m * m) for x, m in ((one, m1), (other, m2)))
    shared = unbiased * (mean(one * other) - m1 * m2)
    above = (2 * m1 * m2 + _SMALL[0]) * (2 * shared + _SMALL[1])
    below = (m1 * m1 + m2 * m2 + _SMALL[0]) * (v1 + v2 + _SMALL[1])
    found = (above / below).mean((1, 2))
    return torch.where(_finite(first) & _finite(second), found, torch.nan)


MEASURES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"spearman": spearman, "absolute spearman": absolute_spearman, "ssim": ssim}
)


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 3:
        raise InputError(
            "maps",
            expected="two of one shape (B, H, W)",
            got=f"{tuple(first.shape)} and {tuple(second.shape)}",
            fix="pass maps of the same pictures",
        )


def _finite(maps: Tensor) -> Tensor:
    return torch.isfinite(maps).flatten(1).all(1)


def _ranks(values: Tensor) -> Tensor:
    """The rank of each value in its row, from 1, (B, N), float64."""
    ordered = values.sort(1).values.contiguous()
    below, up_to = (
        torch.searchsorted(ordered, values.contiguous(), right=right) for right in (False, True)
    )
    return (below + up_to + 1).double() / 2


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def _up_to_one(maps: Tensor) -> Tensor:
    size = maps.double().abs()
    return size / size.amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
