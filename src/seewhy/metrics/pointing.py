"""Whether a map's maximum, and its evidence, lie in the true boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64
from numpy.typing import ArrayLike, NDArray

from seewhy.errors import InputError
from seewhy.geometry import Size
from seewhy.localize import Boxes, Map, Mask, checked_map, peak
from seewhy.metrics.boxes import SIZE, paired
from seewhy.metrics.estimate import Estimate
from seewhy.render import upsample

TOLERANCE = 15.0  # pixels; the paper's
Maps = Sequence[Map] | Float[NDArray[np.floating], "n height width"]


def pointing_hits(
    maps: Maps,
    truths: Sequence[ArrayLike],
    *,
    frame: Size | Sequence[Size],
    size: Size = SIZE,
    tolerance: float = 0.0,
) -> Bool[NDArray[np.bool_], " n"]:
    """Whether the centre of each map's strongest cell lies in a true box, or close to it.

    A map without positive evidence points nowhere, and misses.

    Args:
        maps: see `box_overlaps`.
        truths: see `box_overlaps`.
        frame: see `box_overlaps`.
        size: see `box_overlaps`.
        tolerance: how far from the box it may lie, in pixels of `size`: 0, or 15
            as in the paper.

    Raises:
        InputError: as `box_overlaps`; or the tolerance is below 0.

    Source:
        Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, section 4.1
        (there the mean is taken over classes, here over pictures).
    """
    if not tolerance >= 0:
        fix = "pass 0, or 15 as in the paper"
        raise InputError("tolerance", expected="pixels from 0", got=str(tolerance), fix=fix)
    truth = paired(len(maps), truths, frame, size)
    points = [peak(map_, size=size) for map_ in maps]
    return np.array(
        [_hits(point, boxes, tolerance) for point, (boxes, _) in zip(points, truth, strict=True)]
    )


def pointing_game(
    maps: Maps,
    truths: Sequence[ArrayLike],
    *,
    frame: Size | Sequence[Size],
    size: Size = SIZE,
    tolerance: float = 0.0,
    seed: int = 0,
) -> Estimate:
    """The pointing game: how often the strongest cell lies in a true box; see `pointing_hits`."""
    hits = pointing_hits(maps, truths, frame=frame, size=size, tolerance=tolerance)
    return Estimate.of_mean(hits, seed=seed)


def energy_in_boxes(
    maps: Maps,
    truths: Sequence[ArrayLike],
    *,
    frame: Size | Sequence[Size],
    size: Size = SIZE,
) -> Float64[NDArray[np.float64], " n"]:
    """The share of each map's positive evidence that lies in the true boxes, taken together.

    `sum of max(map, 0) over pixels with their centre in a box / sum of max(map, 0)`; 0 where
    nothing is positive. A map that is the same everywhere gets the boxes' share of the picture.

    Args:
        maps: see `box_overlaps`.
        truths: see `box_overlaps`.
        frame: see `box_overlaps`.
        size: see `box_overlaps`.

    Raises:
        InputError: as `box_overlaps`.

    Source:
        Wang et al., Score-CAM, CVPR Workshops 2020, section 4.3 (energy-based pointing game).
    """
    shares = []
    for map_, (boxes, _) in zip(maps, paired(len(maps), truths, frame, size), strict=True):
        positive = np.maximum(upsample(checked_map(map_), size).astype(np.float64), 0)
        total = float(positive.sum())
        shares.append(float(positive[inside(boxes, size)].sum()) / total if total else 0.0)
    return np.array(shares)


def energy_pointing_game(
    maps: Maps,
    truths: Sequence[ArrayLike],
    *,
    frame: Size | Sequence[Size],
    size: Size = SIZE,
    seed: int = 0,
) -> Estimate:
    """The energy-based pointing game: the mean of `energy_in_boxes`."""
    return Estimate.of_mean(energy_in_boxes(maps, truths, frame=frame, size=size), seed=seed)


def inside(boxes: Boxes, size: Size) -> Mask:
    """The pixels whose centres lie in a box.

    Args:
        boxes: half-open, (n, 4).
        size: (width, height) of the mask.
    """
    x, y = (np.arange(side) + 0.5 for side in size)
    left, top, right, bottom = boxes.T[:, :, None]
    columns, rows = (x >= left) & (x < right), (y >= top) & (y < bottom)
    covered: Mask = (rows[:, :, None] & columns[:, None, :]).any(0)
    return covered


def _hits(point: tuple[float, float] | None, boxes: Boxes, tolerance: float) -> bool:
    if point is None:
        return False
    beyond = np.maximum(boxes[:, :2] - point, point - boxes[:, 2:]).clip(0)
    return bool((np.hypot(*beyond.T) <= tolerance).any())
