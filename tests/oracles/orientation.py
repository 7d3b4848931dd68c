"""EXIF orientation from the standard's own words, pixel by pixel.

EXIF 2.32, tag 0x0112: the value says which side of the scene the stored row 0 and column 0 show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# value: (the 0th row shows the scene's ..., the 0th column shows the scene's ...)
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def upright(stored: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The scene (H, W, 3) that a camera stored in this orientation."""
    first_row, first_column = SIDES[orientation]
    rows, columns, _ = stored.shape
    turned = first_row in ("left", "right")
    height, width = (columns, rows) if turned else (rows, columns)
    scene = np.zeros((height, width, 3), dtype=np.uint8)
    for row in range(rows):
        for column in range(columns):
            y, x = (column, row) if turned else (row, column)
            y = height - 1 - y if "bottom" in (first_row, first_column) else y
            x = width - 1 - x if "right" in (first_row, first_column) else x
            scene[y, x] = stored[row, column]
    return scene
