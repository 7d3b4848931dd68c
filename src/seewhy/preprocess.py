"""Preprocess: a picture as the network wants it, and the Geometry of what was done to it.

Mode "crop" gives bit for bit what torchvision's Resize, CenterCrop, ToTensor and Normalize give on
a Pillow picture; "squash" and "pad" what timm's `crop_mode` "squash" and "border" give.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import PIL.Image
from PIL.Image import Image, Resampling

from seewhy.errors import InputError
from seewhy.geometry import Geometry, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float32
    from numpy.typing import NDArray

Mode = Literal["crop", "squash", "pad"]
Interpolation = Literal["bilinear", "bicubic", "nearest", "lanczos"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Above this many pixels only the part that the crop keeps is computed: the shorter side of a
# picture 20,000 pixels wide and 1 high, brought to 256, would make it a gigapixel.
_WHOLE = 2**24


@dataclass(frozen=True)
class Preprocess:
    """How to make a picture the network's input.

    Attributes:
        size: (width, height) of the input.
        crop: share of each side of the resized picture that the centre crop keeps (timm's
            `crop_pct`), in every mode; 1.0 keeps all of it.
        mode: "crop" brings the shorter side to `size / crop`, "squash" stretches both sides to it,
            "pad" brings the longer side to it and pads with the mean colour; then comes the centre
            crop.
        interpolation: how pixels are resampled.
        mean: subtracted from each channel, of values between 0 and 1; one value for a network that
            takes greyscale pictures, else three.
        std: each channel is divided by it then.

    Raises:
        InputError: on construction, when a value makes no sense.
    """

    size: Size = (224, 224)
    crop: float = 0.875
    mode: Mode = "crop"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        _check("size", self.size, "(width, height) above 0", _is_size(self.size))
        _check("crop", self.crop, "a share above 0, at most 1", 0 < self.crop <= 1)
        for name in ("mode", "interpolation"):
            value, choices = getattr(self, name), get_args(_CHOICES[name])
            _check(name, value, " or ".join(map(repr, choices)), value in choices)
        _check("mean", self.mean, "1 or 3 finite numbers", _are_channels(self.mean))
        matches = _are_channels(self.std) and len(self.std) == len(self.mean) and min(self.std) > 0
        _check("std", self.std, f"{len(self.mean)} finite numbers above 0", matches)

    def __call__(
        self, image: Image
    ) -> tuple[Float32[NDArray[np.float32], "channel height width"], Geometry]:
        """Prepare an upright picture.

        Args:
            image: what `images.read` returned (or another RGB or L picture).

        Returns:
            The network's input, (channels, height, width), and how it lies on the picture.
        """
        framed, geometry = self.frame(image)
        return self._normalise(framed), geometry

    def frame(self, image: Image) -> tuple[Image, Geometry]:
        """Bring an upright picture to `size`, still in 8 bits: all but the normalising."""
        coloured = image.convert("L" if len(self.mean) == 1 else "RGB")
        resized, box = self._plan(image.size)
        return self._resize(coloured, resized, box), resized.crop(box)

    def geometry(self, size: Size) -> Geometry:
        """How a picture of this size (width, height) lies on the input."""
        resized, box = self._plan(size)
        return resized.crop(box)

    def _plan(self, size: Size) -> tuple[Geometry, tuple[int, int, int, int]]:
        """The picture brought to its size before the crop, and the box that the crop keeps."""
        resized = _RESIZED_SIZE[self.mode](size, self.resized)
        return Geometry.identity(size).resize(resized), _centre_box(resized, self.size)

    @property
    def resized(self) -> Size:
        """The (width, height) that pictures are brought to before the crop, as `mode` says."""
        return math.floor(self.size[0] / self.crop), math.floor(self.size[1] / self.crop)

    def _resize(self, image: Image, geometry: Geometry, box: tuple[int, int, int, int]) -> Image:
        resample = Resampling[self.interpolation.upper()]
        if math.prod(geometry.prepared) > _WHOLE:
            return resize_part(image, geometry, box, resample)
        fill = tuple(round(255 * mean) for mean in self.mean)
        canvas = PIL.Image.new(image.mode, self.size, fill)
        canvas.paste(image.resize(geometry.prepared, resample), (-box[0], -box[1]))
        return canvas

    def _normalise(self, image: Image) -> NDArray[np.float32]:
        pixels = np.asarray(image, dtype=np.float32).reshape(image.height, image.width, -1)
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        values = (pixels / np.float32(255) - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1))


def crop_share(kept: int, of: int) -> float:
    """The `crop` with which a side of `of` pixels is cropped to exactly `kept`.

    `kept / of` alone may miss by one pixel: 20 / (20 / 29) is 28.999999999999996.
    """
    share = kept / of
    return share if math.floor(kept / share) == of else math.nextafter(share, 0)


def resize_part(
    image: Image, geometry: Geometry, box: tuple[int, int, int, int], resample: Resampling
) -> Image:
    """`image.resize(geometry.prepared).crop(box)`, without ever holding the whole.

    Grey levels may differ a little: Pillow may do rows first for one and columns first for the
    other, and rounds in between.
    """
    x0, y0, x1, y1 = geometry.boxes_to_original(box)
    inside = max(x0, 0.0), max(y0, 0.0), min(x1, image.width), min(y1, image.height)
    return image.resize((box[2] - box[0], box[3] - box[1]), resample, box=inside)


def _shorter_side(image: Size, target: Size) -> Size:
    (width, height), (wide, high) = image, target
    if wide == high:  # torchvision rounds down ...
        short, longer = min(image), int(wide * max(image) / min(image))
        return (wide, longer) if width == short else (longer, wide)
    ratio = min(width / wide, height / high)  # ... and timm to the nearest
    return round(width / ratio), round(height / ratio)


def _longer_side(image: Size, target: Size) -> Size:
    ratio = max(image[0] / target[0], image[1] / target[1])
    return max(1, round(image[0] / ratio)), max(1, round(image[1] / ratio))


_RESIZED_SIZE = {
    "crop": _shorter_side,
    "squash": lambda _image, target: target,
    "pad": _longer_side,
}

_CHOICES = {"mode": Mode, "interpolation": Interpolation}


def _centre_box(size: Size, kept: Size) -> tuple[int, int, int, int]:
    x, y = (_centre_start(*sides) for sides in zip(size, kept, strict=True))
    return x, y, x + kept[0], y + kept[1]


def _centre_start(side: int, kept: int) -> int:
    return round((side - kept) / 2) if side >= kept else -((kept - side) // 2)


def _is_size(size: Sequence[object]) -> bool:
    return len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)


def _are_channels(values: tuple[float, ...]) -> bool:
    return len(values) in (1, 3) and all(map(math.isfinite, values))


def _check(name: str, value: object, expected: str, holds: bool) -> None:
    if not holds:
        raise InputError(
            f"preprocess: {name}", expected=expected, got=f"{value!r}", fix=f"pass another {name}"
        )
