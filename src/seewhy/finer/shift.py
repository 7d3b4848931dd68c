"""A finer grid for any network: shift the picture by parts of a cell, and interleave the maps.

The views' cells lie between each other. Shifts are symmetric about none, so that the r x r finer
cells that share the place of one usual cell lie in its r x r parts, and none of the views is the
undisturbed one. What a shift brings in at the border repeats the picture's last row or column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import heads
from seewhy.errors import InputError
from seewhy.heads import Head, Seen

Pictures = Float[Tensor, "batch channel height width"]


def shifts(cell: float, resolution: int) -> list[int]:
    """By how many pixels each view looks further to the right (or below), the least first.

    View t of r looks at `(t + 1/2) / r` of each cell and not at its middle: for cells of S pixels,
    `(t + 1/2) S / r - S / 2` pixels from there, rounded to whole ones.

    Args:
        cell: the side S of a cell of the feature grid.
        resolution: r.

    Raises:
        InputError: a cell has fewer than r pixels.
    """
    if cell < resolution:
        raise InputError(
            "resolution",
            expected=f"cells of at least {resolution} pixels, to look between them",
            got=f"{cell:.3g} pixels a cell",
            fix="ask for a lower resolution",
        )
    return [math.floor((t + 0.5) * cell / resolution - cell / 2 + 0.5) for t in range(resolution)]


def shifted(pictures: Pictures, down: int, right: int) -> Pictures:
    """The pictures as seen from `down` pixels below and `right` pixels to the right."""
    height, width = pictures.shape[2:]
    pads = (max(-right, 0), max(right, 0), max(-down, 0), max(down, 0))
    padded = F.pad(pictures, pads, mode="replicate")
    top, left = max(down, 0), max(right, 0)
    return padded[:, :, top : top + height, left : left + width]


def looks(
    network: nn.Module, head: Head, pictures: Pictures, resolution: int, cell: tuple[float, float]
) -> Iterator[Seen]:
    """The passes of all r x r views; view `x * r + y` is shifted by the y-th down, x-th right.

    Raises:
        InputError: the grid has cells of fewer than r pixels.
    """
    down, right = (shifts(side, resolution) for side in cell)
    for x in right:
        for y in down:
            yield heads.look(network, head, (shifted(pictures, y, x),), {})
