"""Intersection over union of boxes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike, NDArray

from seewhy.errors import InputError

Convention = Literal["half-open", "choe"]


def iou(
    boxes: ArrayLike, others: ArrayLike, *, convention: Convention = "half-open"
) -> Float64[NDArray[np.float64], "n m"]:
    """The area that two boxes share, over the area that either covers, for each pair.

    0 where neither has an area.

    Args:
        boxes: x0, y0, x1, y1, (n, 4).
        others: the same, (m, 4).
        convention: "half-open", where a box is x1 - x0 wide; or "choe", where it is one more, as
            in `seewhy.metrics.choe` and in the tools of ILSVRC and Pascal VOC.

    Raises:
        InputError: these are no boxes: not four numbers each, not finite, or the second corner
            lies above or left of the first.
    """
    more = 1.0 if convention == "choe" else 0.0
    first, second = checked_boxes(boxes)[:, None], checked_boxes(others)[None]
    starts = np.maximum(first[..., :2], second[..., :2])
    ends = np.minimum(first[..., 2:], second[..., 2:])
    shared = (ends - starts + more).clip(0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2] + more).prod(-1) for each in (first, second)]
    covered = areas[0] + areas[1] - shared
    ratio: Float64[NDArray[np.float64], "n m"]
    ratio = np.divide(shared, covered, out=np.zeros_like(shared), where=covered > 0)
    return ratio


def checked_boxes(values: ArrayLike) -> Float64[NDArray[np.float64], "n 4"]:
    """Boxes as an array (n, 4); none at all is (0, 4).

    Raises:
        InputError: they are none.
    """
    corners = np.asarray(values, dtype=np.float64)
    corners = corners if corners.size else corners.reshape(0, 4)
    if corners.ndim != 2 or corners.shape[1] != 4:
        got = f"shape {corners.shape}"
    elif not bool(np.isfinite(corners).all()):
        got = "NaN or infinite numbers"
    elif bool((corners[:, 2:] < corners[:, :2]).any()):
        got = f"{corners[(corners[:, 2:] < corners[:, :2]).any(1)][0].tolist()}"
    else:
        return corners
    fix = "pass corners, not width and height"
    expected = "x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, (n, 4)"
    raise InputError("boxes", expected=expected, got=got, fix=fix)
