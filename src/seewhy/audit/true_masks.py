"""Masks of objects beside pictures, taken as boxes that cover them exactly, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from seewhy import images
from seewhy.errors import DataError
from seewhy.wording import complaint

Mask = Bool[NDArray[np.bool_], "height width"]
Corners = Float64[NDArray[np.float64], "m 4"]


def mask_boxes(path: Path, picture: str) -> Corners:
    """The boxes (m, 4) that together are the object of a mask: whatever is not 0 in the file.

    Args:
        path: a picture as large as the one it belongs to: black is not the object. Of colours, any
            that is not black; of a palette, any entry but the first; transparency does not count.

        picture: the path of that one; its size is looked at, if it is a file here.

    Raises:
        DataError: it is no such picture, or of another size.
    """
    try:
        with PIL.Image.open(path) as opened:
            if opened.width * opened.height > images.MAX_PIXELS:
                raise ValueError(f"{opened.width} x {opened.height} pixels")
            values = np.asarray(opened.convert(_PLAIN.get(opened.mode, opened.mode)))
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as problem:
        raise DataError(
            f"mask {path}",
            expected="a picture, 0 where the object is not",
            got=complaint(problem),
            fix="write it anew",
        ) from problem
    mask: Mask = np.asarray(np.atleast_3d(values).any(2))
    _require_size(path, mask, picture)
    return covering(mask)


def _require_size(path: Path, mask: Mask, picture: str) -> None:
    """Compare with the picture, upright or not: cameras write that beside it."""
    try:
        with PIL.Image.open(picture) as opened:
            size = opened.size
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        return  # elsewhere, or damaged: the audit says so of it
    if mask.shape not in (size, size[::-1]):
        raise DataError(
            f"mask {path}",
            expected=f"{size[0]} x {size[1]} pixels, as the picture has",
            got=f"{mask.shape[1]} x {mask.shape[0]}",
            fix="make it as large as the picture",
        )


_PLAIN = {"RGBA": "RGB", "LA": "L", "PA": "P", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB"}


def covering(mask: Mask) -> Corners:
    """Boxes (m, 4) that do not overlap and are together what a mask holds, from top to bottom."""
    boxes = [(x0, y0, x1, y1) for (x0, x1), y0, y1 in _columns(mask)]
    return np.array(sorted(boxes, key=lambda box: (box[1], box[0])), np.float64).reshape(-1, 4)


def _columns(mask: Mask) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Runs of pixels that are the same in successive rows: where, the first and the end row."""
    begun: dict[tuple[int, int], int] = {}
    for y in range(len(mask) + 1):
        runs = set(_runs(mask[y])) if y < len(mask) else set()
        for run in [each for each in begun if each not in runs]:
            yield run, begun.pop(run), y
        for run in runs:
            begun.setdefault(run, y)


def _runs(row: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Where a row is true: first and end pixel of each piece."""
    edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0)).tolist()
    return zip(edges[::2], edges[1::2], strict=True)
