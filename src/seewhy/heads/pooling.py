"""Which operations average features over their positions, and which merely look like it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from seewhy.observe import Operation, Trace, Value

# Operations that change how numbers lie in memory and not the numbers: not worth a word.
SILENT = frozenset(
    (
        "view _unsafe_view reshape _reshape_alias permute transpose t squeeze unsqueeze "
        "clone contiguous _to_copy detach alias as_strided expand lift_fresh"
    ).split()
)


@dataclass(frozen=True)
class Pooling:
    """The operation that averages (or sums) features over their positions.

    Attributes:
        features: the number of the value that is pooled.
        axes: the axes of that value that are pooled away.
        kind: "mean", or "sum" for N times the mean.
    """

    features: int
    axes: tuple[int, ...]
    kind: Literal["mean", "sum"]


def find_pooling(trace: Trace, operation: Operation, batch: int) -> Pooling | None:
    """The pooling that an operation is, or None. It may be of one position alone."""
    find = POOLINGS.get(operation.name)
    if find is None or not isinstance(operation.args[0], Value):
        return None
    features = operation.args[0].number
    axes = find(operation, trace.shape(features))
    if axes is None:
        return None
    shape = trace.shape(features)
    is_vector = len(extents(shape, batch)) <= 1
    if is_vector and math.prod(shape[axis] for axis in axes) > 1:
        return None  # a mean over the channels of a vector
    return Pooling(features, axes, "sum" if operation.name == "sum" else "mean")


def extents(shape: tuple[int, ...], batch: int) -> list[int]:
    """The extents of a value's axes, without the batch and without axes of extent one."""
    extents = [extent for extent in shape if extent != 1]
    if batch > 1 and batch in extents:
        extents.remove(batch)
    return extents


def _reduced_axes(operation: Operation, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    if len(operation.args) < 2 or not isinstance(operation.args[1], tuple):
        return None
    axes = tuple(sorted(axis % len(shape) for axis in operation.args[1]))
    return axes or None


def _global_window(operation: Operation, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """An average-pooling window that covers the whole grid, without padding.

    A larger one, as `ceil_mode` allows, averages over the part of it that lies in the grid.
    """
    window = tuple(operation.args[1])
    grid = shape[2:]
    window = window * len(grid) if len(window) == 1 else window
    padding = operation.args[3] if len(operation.args) > 3 else (0,)
    divisor = operation.args[6] if len(operation.args) > 6 else None
    covers = all(extent >= size for extent, size in zip(window, grid, strict=True))
    if not covers or any(padding) or divisor is not None:
        return None
    return tuple(range(2, len(shape)))


def _adaptive_to_one(operation: Operation, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    is_one = all(extent == 1 for extent in operation.args[1])
    return tuple(range(len(shape) - len(operation.args[1]), len(shape))) if is_one else None


POOLINGS: Mapping[str, Callable[[Operation, tuple[int, ...]], tuple[int, ...] | None]] = {
    "mean": _reduced_axes,
    "sum": _reduced_axes,
    "avg_pool1d": _global_window,
    "avg_pool2d": _global_window,
    "avg_pool3d": _global_window,
    "_adaptive_avg_pool2d": _adaptive_to_one,
    "_adaptive_avg_pool3d": _adaptive_to_one,
}
