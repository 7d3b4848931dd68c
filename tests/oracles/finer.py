"""Finer grids, naively: one window, one shifted crop, one tiny square at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Array = Any  # NDArray of floats


def cells(
    x: Array, top: int, left: int, kernel: tuple[int, int], dilation: int = 1
) -> Iterator[tuple[int, int, int, int, float]]:
    """The cells of one window that exist, with their places in the window: (i, j, y, x, value)."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            row, column = top + i * dilation, left + j * dilation
            if 0 <= row < x.shape[0] and 0 <= column < x.shape[1]:
                yield i, j, row, column, float(x[row, column])


def convolved(x: Array, weight: Array, top: int, left: int, dilation: int = 1) -> float:
    """One output of a convolution of one channel, zeros beyond the borders."""
    return sum(
        float(weight[i, j]) * value
        for i, j, _, _, value in cells(x, top, left, weight.shape, dilation)
    )


def largest(x: Array, top: int, left: int, kernel: tuple[int, int], dilation: int = 1) -> float:
    return max(value for *_, value in cells(x, top, left, kernel, dilation))


def averaged(
    x: Array, top: int, left: int, kernel: tuple[int, int], padding: int, *, counts: bool
) -> float:
    """One output of an average pooling: zeros of the padding count, or they do not."""
    inside = [value for *_, value in cells(x, top, left, kernel)]
    if not counts:
        return sum(inside) / max(len(inside), 1)
    wider = np.pad(x, padding)
    counted = len(list(cells(wider, top + padding, left + padding, kernel)))
    return sum(inside) / max(counted, 1)


def convolution(
    x: Array, weight: Array, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> NDArray[np.float64]:
    """A convolution of (K, H, W) by (L, K, h, w), one product at a time."""
    high, wide = (
        (x.shape[1 + axis] + 2 * padding - dilation * (weight.shape[2 + axis] - 1) - 1) // stride
        + 1
        for axis in (0, 1)
    )
    out = np.zeros((len(weight), high, wide))
    for o in range(len(weight)):
        for row in range(high):
            for column in range(wide):
                top, left = row * stride - padding, column * stride - padding
                out[o, row, column] = sum(
                    convolved(x[k], weight[o, k], top, left, dilation) for k in range(len(x))
                )
    return out


def shifted(picture: Array, down: int, right: int) -> NDArray[np.float64]:
    """A picture (K, H, W) seen from elsewhere, its border repeated."""
    _, high, wide = picture.shape
    out = np.empty(picture.shape)
    for row in range(high):
        for column in range(wide):
            y, x = min(max(row + down, 0), high - 1), min(max(column + right, 0), wide - 1)
            out[:, row, column] = picture[:, y, x]
    return out


def shifted_and_interleaved(
    picture: Array, maps_of: Callable[[Array], Array], cell: int, resolution: int
) -> NDArray[np.float64]:
    """Look for each finer cell at the usual map of a crop around which it lies in the middle."""
    step = cell / resolution
    one = maps_of(picture)
    out = np.empty((one.shape[0] * resolution, one.shape[1] * resolution))
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            offsets = []
            for index in (row, column):
                wanted = (index + 0.5) * step  # where the finer cell's middle lies, in pixels
                usual = (index // resolution + 0.5) * cell
                offsets.append(math.floor(wanted - usual + 0.5))
            crop = shifted(picture, offsets[0], offsets[1])
            out[row, column] = maps_of(crop)[row // resolution, column // resolution]
    return out


def resampled(values: Array, size: tuple[int, int]) -> NDArray[np.float64]:
    """Cut everything into squares so tiny that none lies in two cells, and average those."""
    high, wide = values.shape
    rows, columns = math.lcm(high, size[0]), math.lcm(wide, size[1])
    out = np.zeros(size)
    for row in range(rows):
        for column in range(columns):
            value = values[row * high // rows, column * wide // columns]
            out[row * size[0] // rows, column * size[1] // columns] += value
    return out / ((rows // size[0]) * (columns // size[1]))
