"""Random crops and flips, picture by picture: pad, cut out, mirror."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def viewed(
    picture: NDArray[np.uint8], *, down: int, right: int, mirrored: bool
) -> NDArray[np.uint8]:
    """Return a picture (height, width, 3) seen through a window that is moved, then mirrored."""
    height, width, _ = picture.shape
    pad = max(abs(down), abs(right))
    padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    window = padded[pad + down : pad + down + height, pad + right : pad + right + width]
    return window[:, ::-1] if mirrored else window
