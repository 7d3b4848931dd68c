"""Bring maps to other sizes, and onto the original picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seewhy.errors import InputError
from seewhy.geometry import Geometry, Size

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from numpy.typing import NDArray

    Map = Float[NDArray[np.floating], "height width"]


def upsample(evidence: Map, size: Size) -> Float32[NDArray[np.float32], "height width"]:
    """Bring a map to another size: bilinear, half-pixel centres, edges held.

    It is torch's `interpolate(mode="bilinear", align_corners=False)`.

    Args:
        evidence: a map, (h, w).
        size: (width, height) to bring it to.
    """
    height, width = require_map(evidence).shape
    x = (np.arange(size[0]) + 0.5) * (width / size[0])
    y = (np.arange(size[1]) + 0.5) * (height / size[1])
    return _sample(evidence, x, y)


def on_original(evidence: Map, geometry: Geometry) -> Float32[NDArray[np.float32], "height width"]:
    """Lay a map over the original picture; NaN where the network saw nothing of it.

    Args:
        evidence: a map, (h, w), that covers the prepared input.
        geometry: how the original became the prepared input.
    """
    height, width = require_map(evidence).shape
    x, y = (np.arange(side) + 0.5 for side in geometry.original)
    prepared_x = x * geometry.scale[0] + geometry.offset[0]
    prepared_y = y * geometry.scale[1] + geometry.offset[1]
    laid = _sample(
        evidence,
        prepared_x * (width / geometry.prepared[0]),
        prepared_y * (height / geometry.prepared[1]),
    )
    x0, y0, x1, y1 = geometry.visible
    laid[:, (x < x0) | (x >= x1)] = np.nan
    laid[(y < y0) | (y >= y1)] = np.nan
    return laid


def _sample(evidence: Map, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """The map at columns x and rows y, (len(y), len(x)); a cell's centre lies at 0.5, 1.5, ..."""
    return _between(_between(np.asarray(evidence, np.float32), y, axis=0), x, axis=1)


def _between(
    values: NDArray[np.float32], positions: NDArray[np.float64], *, axis: int
) -> NDArray[np.float32]:
    last = values.shape[axis] - 1
    exact = (positions - 0.5).clip(0, last)
    low = np.floor(exact).astype(np.intp)
    share = np.expand_dims((exact - low).astype(np.float32), 1 - axis)
    start, end = values.take(low, axis), values.take(np.minimum(low + 1, last), axis)
    between: NDArray[np.float32] = start * (1 - share) + end * share
    return between


def require_map(evidence: Map) -> Map:
    """The map itself.

    Raises:
        InputError: it is not that of one class and one picture.
    """
    if evidence.ndim != 2 or 0 in evidence.shape:
        raise InputError(
            "map",
            expected="the evidence for one class, (height, width)",
            got=f"shape {evidence.shape}",
            fix="draw one class and one picture at a time",
        )
    return evidence
