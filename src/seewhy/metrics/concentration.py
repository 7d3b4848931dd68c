"""Whether a map is concentrated in a small part of the picture."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from seewhy.errors import InputError

Map = Float[NDArray[np.floating], "height width"]


def share_of_top(map_: Map, top: float = 0.2) -> float:
    """The share of a map's positive evidence that its strongest cells hold.

    `sum of the n largest of max(map, 0) / sum of max(map, 0)`, where n is `top` of the number of
    cells, and of a cell that is cut the part that counts. A map that is the same everywhere gets
    `top`, one that is positive in a single cell 1. NaN where nothing is positive.

    Args:
        map_: evidence on the feature grid, (H, W): compare maps on grids of one size only.
        top: which share of the cells counts, above 0 and up to 1.

    Raises:
        InputError: `top` is no such share.
    """
    if not 0 < top <= 1:
        raise InputError("top", expected="above 0, up to 1", got=str(top), fix="pass another share")
    cells = np.sort(np.maximum(map_.astype(np.float64).ravel(), 0))[::-1]
    total = float(cells.sum())
    if not total:
        return math.nan
    count = top * len(cells)
    whole = int(count)
    cut = (count - whole) * float(cells[whole]) if whole < len(cells) else 0.0
    return (float(cells[:whole].sum()) + cut) / total
