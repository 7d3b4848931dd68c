"""The windows of a max pooling, along each axis of its input."""

from __future__ import annotations

from typing import Any

from seewhy.observe import Operation


def adaptive(operation: Operation, shape: tuple[int, ...]) -> list[list[slice]]:
    """Those of adaptive pooling, one list an axis; `shape` is the input's."""
    sizes = operation.args[1]
    extents = shape[len(shape) - len(sizes) :]
    return [
        [slice(i * whole // size, -(-(i + 1) * whole // size)) for i in range(size)]
        for whole, size in zip(extents, sizes, strict=True)
    ]


def sliding(operation: Operation, shape: tuple[int, ...]) -> list[list[slice]]:
    """Those of pooling by kernel and stride, one list an axis; `shape` is the input's."""
    dimensions = int(operation.name[len("max_pool")])
    given = operation.args[1:]
    kernel, stride, padding, dilation, ceil = given + _SLIDING[len(given) :]
    each = [_per_axis(value, dimensions) for value in (kernel, stride or kernel, padding, dilation)]
    extents = shape[len(shape) - dimensions :]
    return [
        _windows(extent, *(numbers[axis] for numbers in each), ceil=bool(ceil))
        for axis, extent in enumerate(extents)
    ]


_SLIDING: tuple[Any, ...] = (1, (), 0, 1, False)  # kernel, stride, padding, dilation, ceil mode


def _per_axis(value: Any, dimensions: int) -> tuple[int, ...]:
    given = value if isinstance(value, tuple) else (value,)
    return given * dimensions if len(given) == 1 else given


def _windows(
    extent: int, kernel: int, stride: int, padding: int, dilation: int, *, ceil: bool
) -> list[slice]:
    """The windows along one axis, cut off at its ends: what pads them is never the maximum."""
    room = extent + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= extent + padding:
        count -= 1
    starts = [index * stride - padding for index in range(count)]
    return [_window(start, kernel, dilation, extent) for start in starts]


def _window(start: int, kernel: int, dilation: int, extent: int) -> slice:
    inside = [i for i in range(start, start + kernel * dilation, dilation) if 0 <= i < extent]
    return slice(inside[0], inside[-1] + 1, dilation)
