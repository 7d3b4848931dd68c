"""Remove: the evidence of a group's pictures is painted over, beside as much painted elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seewhy.audit.prepare import Frames
from seewhy.proving.regions import Boxes


def painted_over(frames: Frames, boxes: Boxes) -> Frames:
    """Pictures with a box of each filled smoothly from its surroundings.

    A pixel in the box becomes the mean of the four pixels that lie just outside it, in its row
    and its column, by their inverse distance; those beyond the picture's edge do not count.

    Args:
        frames: (B, H, W, channels), 8 bits; left as they are.
        boxes: (B, 4), none of them the whole picture.
    """
    painted = frames.copy()
    for picture, box in zip(painted, boxes.tolist(), strict=True):
        x0, y0, x1, y1 = box
        picture[y0:y1, x0:x1] = _filling(picture, x0, y0, x1, y1)
    return painted


def _filling(
    picture: NDArray[np.uint8], x0: int, y0: int, x1: int, y1: int
) -> NDArray[np.floating]:
    height, width, channels = picture.shape
    x, y = np.arange(x0, x1), np.arange(y0, y1)
    total = np.zeros((len(y), len(x), channels))
    weights = np.zeros((len(y), len(x), 1))
    if x0 > 0:
        _add(total, weights, picture[y0:y1, x0 - 1, None], (x - x0 + 1)[None, :, None])
    if x1 < width:
        _add(total, weights, picture[y0:y1, x1, None], (x1 - x)[None, :, None])
    if y0 > 0:
        _add(total, weights, picture[None, y0 - 1, x0:x1], (y - y0 + 1)[:, None, None])
    if y1 < height:
        _add(total, weights, picture[None, y1, x0:x1], (y1 - y)[:, None, None])
    return np.rint(total / weights)


def _add(
    total: NDArray[np.floating],
    weights: NDArray[np.floating],
    edge: NDArray[np.uint8],
    distance: NDArray[np.integer],
) -> None:
    total += edge / distance
    weights += 1 / distance
