"""What a pixel that is taken away is replaced by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from seewhy.errors import InputError
from seewhy.wording import near_or

BLUR = 10 / 224  # the standard deviation, as a share of the shorter side
REACH = 3  # standard deviations that the kernel reaches to each side


def mean_colour(images: Tensor) -> Tensor:
    """0 in prepared pixels: the mean colour, where preparation subtracts it. As Petsiuk et al."""
    return torch.zeros_like(images)


def blurred(images: Tensor) -> Tensor:
    """The pictures under a Gaussian of 10 pixels at 224, and as much of other sizes.

    Beyond the edge the picture is mirrored.

    Args:
        images: (B, C, H, W).

    Source:
        Fong and Vedaldi, Interpretable Explanations of Black Boxes by Meaningful Perturbation,
        ICCV 2017, section 4.1. Petsiuk et al. blur, too, and give no width.
    """
    return smoothed(images, BLUR * min(images.shape[2:]))


def smoothed(images: Tensor, sigma: float) -> Tensor:
    """Pictures (B, C, H, W) under a Gaussian of `sigma` pixels, mirrored beyond the edge."""
    for axis in (2, 3):
        reach = min(math.ceil(REACH * sigma), images.shape[axis] - 1)
        places = torch.arange(-reach, reach + 1, dtype=torch.float64)
        weights = torch.exp(-((places / sigma) ** 2) / 2)
        kernel = (weights / weights.sum()).to(images)
        margin = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        padded = F.pad(images, margin, mode="reflect").flatten(0, 1)[:, None]
        across = kernel.view((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        images = F.conv2d(padded, across).view(images.shape)
    return images


FILLS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"mean": mean_colour, "blur": blurred}
)


def filled(images: Tensor, fill: str) -> Tensor:
    """The pictures (B, C, H, W) with every pixel replaced.

    Args:
        images: prepared pictures.
        fill: a name in FILLS: "mean" or "blur".

    Raises:
        InputError: there is no such fill.
    """
    if fill not in FILLS:
        raise InputError(
            "fill",
            expected=f"one of {', '.join(FILLS)}",
            got=repr(fill),
            fix=near_or(fill, FILLS, "choose from that list"),
        )
    return FILLS[fill](images.detach())
