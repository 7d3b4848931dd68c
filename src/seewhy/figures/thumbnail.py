"""A picture as the network saw it, in the size in which it is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL.Image import Image, Resampling

from seewhy.geometry import Geometry

if TYPE_CHECKING:
    from seewhy.geometry import Box, Size


def thumbnail(image: Image, geometry: Geometry, side: int) -> tuple[Image, Geometry]:
    """Cut out what the network saw of a picture, and fit it into a square.

    A tiny picture is enlarged, its pixels left square and crisp.

    Args:
        image: the upright original.
        geometry: how it became the network's input.
        side: of the square, in pixels.
    """
    x0, y0, x1, y1 = geometry.visible
    size = fitted((x1 - x0, y1 - y0), side)
    x, y = size[0] / (x1 - x0), size[1] / (y1 - y0)
    (scale_x, scale_y), (offset_x, offset_y) = geometry.scale, geometry.offset
    return _resized(image, geometry.visible, size), Geometry(
        original=size,
        prepared=geometry.prepared,
        scale=(scale_x / x, scale_y / y),
        offset=(offset_x + x0 * scale_x, offset_y + y0 * scale_y),
        visible=(0.0, 0.0, float(size[0]), float(size[1])),
    )


def fitted(size: tuple[float, float], side: int) -> Size:
    """The largest size of the same proportions within a square, of at least one pixel."""
    longer = max(size)
    return max(1, round(side * size[0] / longer)), max(1, round(side * size[1] / longer))


def _resized(image: Image, box: Box, size: Size) -> Image:
    longer = max(box[2] - box[0], box[3] - box[1])
    if 2 * longer > max(size):
        return image.resize(size, Resampling.LANCZOS, box, reducing_gap=3.0)
    factor = -int(-max(size) // longer)  # rounded up; then averaged down, to equal widths
    whole = tuple(max(1, round(factor * side)) for side in (box[2] - box[0], box[3] - box[1]))
    return image.resize((whole[0], whole[1]), Resampling.NEAREST, box).resize(size, Resampling.BOX)
