"""Where the evidence of a picture lies, as a box of input pixels; and places to compare it with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from seewhy.geometry import Size

LEVELS = (0.5, 0.6, 0.7)  # of a map's maximum: what belongs to its peak; the first that will do
SHRINKAGE = 0.1  # of the mean variance
TOP = 0.95  # of a map's maximum: its very peak, flat or between two pixels
TRIES = 32  # places that are drawn to find one elsewhere

Boxes = Int64[NDArray[np.int64], "batch 4"]
"""x0, y0, x1, y1 in input pixels, half-open."""
Maps = Float32[NDArray[np.float32], "batch height width"]


def located(
    features: Float[Tensor, "batch channel height width"],
    direction: Float[Tensor, " channel"],
    size: Size,
) -> Maps:
    """Where in the picture a direction of the features lies: `sum_k u_k F[k, s]`.

    Args:
        features: (B, K, h, w).
        direction: u, (K,): a class's weights, or what sets a group apart.
        size: (width, height) of the input, which the maps are brought to.
    """
    maps = torch.einsum("bkhw,k->bhw", features, direction)[:, None]
    width, height = size
    fine = F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)
    found: Maps = fine[:, 0].numpy()
    return found


def discriminant(
    group: Float[Tensor, "n channel"], others: Float[Tensor, "m channel"]
) -> Float[Tensor, " channel"]:
    """Fisher's linear discriminant of pooled features: what tells a group from others the best.

    It is the difference of the means, divided by what varies within both (the covariance, plus a
    tenth of the mean variance, without which few pictures of many channels would decide it). The
    difference alone is led astray by what varies much anyway: of a watermark it found a box that
    overlapped the true one by 0.27 (IoU), where this finds 0.43.
    """
    apart = group.mean(0) - others.mean(0)
    within = torch.cat([group - group.mean(0), others - others.mean(0)])
    covariance = within.T @ within / len(within)
    shrunk = SHRINKAGE * covariance.diagonal().mean().clamp_min(1e-12)
    found: Tensor = torch.linalg.solve(covariance + shrunk * torch.eye(len(apart)), apart)
    return found


def peak_boxes(maps: Maps, largest: float = 1.0) -> Boxes:
    """The box around all that hangs together with a map's peak and is half as high, at least.

    Where that is too large, what is 60 %, else 70 % as high is taken. A map without any positive
    value has no peak: its box is the whole input.

    Args:
        maps: (B, H, W), in input pixels.
        largest: share of the input that a box should have at most.
    """
    return np.array([_peak_box(each, largest) for each in maps], dtype=np.int64).reshape(-1, 4)


def boxes_at_peaks(maps: Maps, like: Boxes) -> Boxes:
    """Boxes as large as given ones, centred at the maps' own peaks, inside the input."""
    height, width = maps.shape[1:]
    tops = np.array([_part_box(each, TOP) for each in maps], dtype=np.int64).reshape(-1, 4)
    sides = like[:, 2:] - like[:, :2]
    corners = (tops[:, :2] + tops[:, 2:] - sides) // 2
    return _placed(np.clip(corners, 0, np.array([width, height]) - sides), sides)


def boxes_elsewhere(boxes: Boxes, size: Size, rng: np.random.Generator) -> Boxes:
    """Boxes as large as given ones, elsewhere in the input: where they overlap the least.

    Args:
        boxes: (B, 4).
        size: (width, height) of the input.
        rng: places are drawn from it.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    free = (np.array(size) - sides)[:, None]
    corners = rng.integers(0, free + 1, (len(boxes), TRIES, 2))
    overlaps = _overlaps(corners, boxes[:, None, :2], sides[:, None])
    best = overlaps.argmin(1)
    return _placed(corners[np.arange(len(boxes)), best], sides)


def shares(boxes: Boxes, size: Size) -> NDArray[np.float64]:
    """The share of the input that each box covers, (B,)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    covered: NDArray[np.float64] = sides.prod(1) / float(np.prod(size))
    return covered


def _peak_box(plane: NDArray[np.float32], largest: float) -> tuple[int, int, int, int]:
    height, width = plane.shape
    box = 0, 0, width, height
    for level in LEVELS if plane.max() > 0 else ():
        box = _part_box(plane, level)
        if (box[2] - box[0]) * (box[3] - box[1]) <= largest * plane.size:
            break
    return box


def _part_box(plane: NDArray[np.float32], level: float) -> tuple[int, int, int, int]:
    """Around what hangs together with the peak and is at least `level` times as high."""
    parts, _ = ndimage.label(plane >= level * plane.max())
    part = (parts == parts.flat[plane.argmax()]).astype(np.int8)
    ((rows, columns),) = ndimage.find_objects(part)
    return columns.start, rows.start, columns.stop, rows.stop


def _overlaps(corners: Any, others: Any, sides: Any) -> Any:
    """How many pixels boxes of equal sides share."""
    shared = np.maximum(sides - np.abs(corners - others), 0)
    return shared.prod(-1)


def _placed(corners: Any, sides: Any) -> Boxes:
    return np.concatenate([corners, corners + sides], 1).astype(np.int64)
