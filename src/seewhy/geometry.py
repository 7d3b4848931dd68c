"""Geometry: the invertible record of what preprocessing did to a picture.

Coordinates are those of pixel *edges*: a picture of width w spans 0 to w, and the centre of its
first pixel lies at 0.5. Resizing, cropping, padding and flipping are then one affine map per axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seewhy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float64
    from numpy.typing import ArrayLike, NDArray

Size = tuple[int, int]  # width, height, as in Pillow
Pair = tuple[float, float]  # x, y
Box = tuple[float, float, float, float]  # x0, y0, x1, y1, half-open


@dataclass(frozen=True)
class Geometry:
    """How the upright picture became the network's input, and the way back.

    Attributes:
        original: size of the upright picture (after EXIF orientation).
        prepared: size of the network's input.
        scale: prepared = original * scale + offset, for x and y; negative where flipped.
        offset: see `scale`, in prepared pixels.
        visible: the box of the picture, in original pixels, that the network saw.
    """

    original: Size
    prepared: Size
    scale: Pair
    offset: Pair
    visible: Box

    def __post_init__(self) -> None:
        if min(*self.original, *self.prepared) < 1 or 0 in self.scale:
            raise InputError(
                "geometry",
                expected="sizes of at least 1 x 1 and a scale other than 0",
                got=f"original {self.original}, prepared {self.prepared}, scale {self.scale}",
                fix="check the size or the box that was asked for",
            )

    @classmethod
    def identity(cls, size: Size) -> Geometry:
        """A picture of this size that nothing has been done to."""
        return cls(size, size, (1.0, 1.0), (0.0, 0.0), (0.0, 0.0, float(size[0]), float(size[1])))

    def resize(self, size: Size) -> Geometry:
        """Then stretch what there is to `size`."""
        x, y = size[0] / self.prepared[0], size[1] / self.prepared[1]
        scale = self.scale[0] * x, self.scale[1] * y
        offset = self.offset[0] * x, self.offset[1] * y
        return Geometry(self.original, size, scale, offset, self.visible)

    def crop(self, box: tuple[int, int, int, int]) -> Geometry:
        """Then keep a box, in pixels of the input so far; where it reaches beyond, it pads."""
        x0, y0, x1, y1 = box
        offset = self.offset[0] - x0, self.offset[1] - y0
        kept = self.boxes_to_original(box).reshape(2, 2)
        visible = tuple(kept.clip(self.visible[:2], self.visible[2:]).ravel().tolist())
        return Geometry(self.original, (x1 - x0, y1 - y0), self.scale, offset, visible)

    def pad(self, left: int, top: int, right: int, bottom: int) -> Geometry:
        """Then add a border."""
        width, height = self.prepared
        return self.crop((-left, -top, width + right, height + bottom))

    def flip(self, *, horizontal: bool = True, vertical: bool = False) -> Geometry:
        """Then mirror: left to right, upside down, or both."""
        scale, offset = list(self.scale), list(self.offset)
        for axis, flipped in enumerate((horizontal, vertical)):
            if flipped:
                scale[axis], offset[axis] = -scale[axis], self.prepared[axis] - offset[axis]
        return Geometry(
            self.original, self.prepared, (scale[0], scale[1]), (offset[0], offset[1]), self.visible
        )

    def seen_from(self, size: Size) -> Geometry:
        """The same, for a copy of the original picture that was resized to `size`."""
        x, y = size[0] / self.original[0], size[1] / self.original[1]
        x0, y0, x1, y1 = self.visible
        scale, visible = (self.scale[0] / x, self.scale[1] / y), (x0 * x, y0 * y, x1 * x, y1 * y)
        return Geometry(size, self.prepared, scale, self.offset, visible)

    def to_prepared(self, points: ArrayLike) -> Float64[NDArray[np.float64], "*n 2"]:
        """Points (x, y) of the original picture, as points of the network's input."""
        return np.asarray(points, dtype=np.float64) * self.scale + self.offset

    def to_original(self, points: ArrayLike) -> Float64[NDArray[np.float64], "*n 2"]:
        """Points (x, y) of the network's input, as points of the original picture."""
        return (np.asarray(points, dtype=np.float64) - self.offset) / self.scale

    def boxes_to_prepared(self, boxes: ArrayLike) -> Float64[NDArray[np.float64], "*n 4"]:
        """Boxes of the original picture, as boxes of the network's input; not clipped to it."""
        return _ordered(self.to_prepared(_corners(boxes)))

    def boxes_to_original(self, boxes: ArrayLike) -> Float64[NDArray[np.float64], "*n 4"]:
        """Boxes of the network's input, as boxes of the original picture; not clipped to it."""
        return _ordered(self.to_original(_corners(boxes)))

    def to_json(self) -> dict[str, list[float]]:
        """A plain dict of lists, which `from_json` reads back exactly."""
        return {name: list(getattr(self, name)) for name in _FIELDS}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Geometry:
        """Read what `to_json` wrote.

        Raises:
            InputError: a field is missing or is no list of that many numbers.
        """
        try:
            fields = {name: _numbers(data[name], kind, n) for name, (kind, n) in _FIELDS.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "geometry",
                expected=f"a dict of {', '.join(_FIELDS)}",
                got=f"{data!r:.200}",
                fix="pass what Geometry.to_json() returned",
            ) from error
        return cls(**fields)


_FIELDS: dict[str, tuple[type, int]] = {
    "original": (int, 2),
    "prepared": (int, 2),
    "scale": (float, 2),
    "offset": (float, 2),
    "visible": (float, 4),
}


def _numbers(values: Any, kind: type, count: int) -> Any:
    numbers = tuple(kind(value) for value in values)
    if len(numbers) != count:
        raise ValueError(values)
    return numbers


def _corners(boxes: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64)
    return array.reshape(*array.shape[:-1], 2, 2)


def _ordered(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners (..., 2, 2) as boxes (..., 4), the smaller one first: a flip swaps them."""
    return np.sort(corners, axis=-2).reshape(*corners.shape[:-2], 4)
