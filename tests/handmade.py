"""Explained pictures made by hand, so that what a page or a sheet shows of them is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import skimage.data
from PIL import Image

from seewhy.geometry import Geometry
from seewhy.results import ClassEvidence, PictureEvidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = 7


def hill(
    row: int, column: int, *, height: float = 40.0, ground: float = -2.0
) -> NDArray[np.float32]:
    """A smooth map, 7 x 7, that is largest in one cell (smallest, where `height` is negative)."""
    y, x = np.mgrid[:GRID, :GRID]
    distance = (y - row) ** 2 + (x - column) ** 2
    values: NDArray[np.float32] = (height * np.exp(-distance / 4.0) + ground).astype(np.float32)
    return values


def class_evidence(
    id_: int,
    name: str,
    values: NDArray[np.float32],
    *,
    probability: float = 0.5,
    bias: float = 0.25,
    certificate: float = 2e-6,
) -> ClassEvidence:
    evidence = float(values.mean())
    return ClassEvidence(
        id_, name, probability, evidence + bias, evidence, bias, certificate, values
    )


def centre_crop(size: tuple[int, int], side: int = 224) -> Geometry:
    """Shorter side to 256, then the middle: what most ImageNet networks are given."""
    scale = 256 / min(size)
    width, height = (round(length * scale) for length in size)
    left, top = (width - side) // 2, (height - side) // 2
    resized = Geometry.identity(size).resize((width, height))
    return resized.crop((left, top, left + side, top + side))


def cat(
    path: str = "photos/chelsea.png",
    *,
    names: tuple[str, str, str] = ("Egyptian cat", "tabby", "lynx"),
    against: str | None = None,
) -> PictureEvidence:
    """Chelsea, with one class that is strongest in cell (1, 5), one in (4, 2), and one nowhere."""
    image = Image.fromarray(skimage.data.chelsea())  # type: ignore[no-untyped-call]
    classes = (
        class_evidence(285, names[0], hill(1, 5), probability=0.621, bias=-0.21),
        class_evidence(281, names[1], hill(4, 2, height=30.0), probability=0.182, certificate=3e-6),
        class_evidence(287, names[2], hill(3, 3, height=-9.0, ground=-1.0), probability=0.0004),
    )
    return PictureEvidence(path, image, centre_crop(image.size), classes, against)
