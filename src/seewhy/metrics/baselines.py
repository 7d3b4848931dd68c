"""Maps that know nothing of the model: what every method has to beat.

Functions as those in METHODS, `(model, images (B, C, H, W), classes (B,)) -> maps (B, H, W)`, and
BASELINES, the table. A picture's object is mostly in the middle, and has edges: a map may score
well by that alone, and so do these.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.methods.method import Method
from seewhy.metrics.faithfulness.fills import smoothed

GRID = 7  # cells on a side, as the last feature maps of most networks for 224 x 224
WIDTH = 1 / 4  # of the Gaussian in the middle, as a share of each side
SMOOTHING = 1 / 32  # of the edges, as a share of the shorter side

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def random_map(_model: nn.Module, images: Tensor, classes: Tensor, *, seed: int = 0) -> Tensor:
    """Random numbers on a grid of 7 x 7, brought to the size of the picture, (B, H, W).

    As smooth as the maps of the last layer, and the same again for the same picture and class,
    whatever pictures are beside it.

    Args:
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        seed: another one gives other maps.
    """
    cells = [_drawn(image, int(of), seed) for image, of in zip(images, classes, strict=True)]
    grid = torch.from_numpy(np.stack(cells)).to(images.device, torch.float32)
    size = images.shape[2:]
    return F.interpolate(grid[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def _drawn(image: Tensor, class_id: int, seed: int) -> np.ndarray:
    """Draw from a generator whose seed is the picture itself."""
    known = zlib.crc32(image.detach().float().cpu().contiguous().numpy().tobytes())
    return np.random.default_rng((seed, known, class_id)).standard_normal((GRID, GRID))


def centred_gaussian(_model: nn.Module, images: Tensor, _classes: Tensor) -> Tensor:
    """A Gaussian in the middle of each picture, (B, H, W), 1 at its peak.

    Its standard deviation is a quarter of each side.
    """
    height, width = (
        torch.exp(-((_places(length) / WIDTH) ** 2) / 2) for length in images.shape[2:]
    )
    return (height[:, None] * width).to(images.device, torch.float32).repeat(len(images), 1, 1)


def _places(length: int) -> Tensor:
    """Where the pixels of a side lie, from -1/2 to 1/2."""
    return (torch.arange(length) + 0.5) / length - 0.5


def edges(_model: nn.Module, images: Tensor, _classes: Tensor) -> Tensor:
    """How strong the edges are around each pixel, (B, H, W), in units of input a pixel.

    The magnitude of the Sobel gradient of the mean over the channels, smoothed by a Gaussian of
    1/32 of the shorter side.

    Source:
        An edge detector looks much like a saliency map: Adebayo et al., Sanity Checks for Saliency
        Maps, NeurIPS 2018, section 1.
    """
    grey = F.pad(images.detach().float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = grey.new_tensor(_SOBEL) / 8
    slopes = F.conv2d(grey, torch.stack([across, across.T])[:, None])
    magnitude = slopes.pow(2).sum(1, keepdim=True).sqrt()
    return smoothed(magnitude, SMOOTHING * min(images.shape[2:]))[:, 0]


BASELINES: Mapping[str, Method] = MappingProxyType(
    {
        "random": Method(
            random_map,
            summary="random numbers on a grid of 7 x 7",
            source="no model",
            passes="0",
            unit="arbitrary",
        ),
        "centre": Method(
            centred_gaussian,
            summary="a Gaussian in the middle",
            source="no model",
            passes="0",
            unit="arbitrary",
        ),
        "edges": Method(
            edges,
            summary="the magnitude of the Sobel gradient, smoothed",
            source="Sobel and Feldman, 1968; no model",
            passes="0",
            unit="units of input a pixel",
        ),
    }
)
