"""Operations that slide a window over a grid, read as such, and run at more positions than asked.

A strided operation looks at every s-th position of its input. Here it looks at `factor` times as
many, and the results are dealt out into as many grids of the usual size, one beside the other in
the batch. Whatever follows treats each of them as another picture, which is what dilating all
later windows by the factor would do (the "a trous" algorithm).

Source:
    Shensa, The discrete wavelet transform: wedding the a trous and Mallat algorithms, 1992;
    Chen et al., DeepLab (arXiv:1606.00915), section 3.1, does this to classifiers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Pair = tuple[int, int]  # height, width
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """Along one axis: output i looks at `extent` cells of the input from `stride * i - padding`."""

    stride: int = 1
    padding: int = 0
    extent: int = 1

    @property
    def centre(self) -> float:
        """The middle of output 0's window, as an index of the input."""
        return (self.extent - 1) / 2 - self.padding


@dataclass(frozen=True)
class Split:
    """How to run one operation at more positions.

    Attributes:
        windows: of the operation, for both axes.
        sizes: the usual number of positions.
        factors: how many times as many there are to be; 1 leaves an axis alone.
        starts: where the first of them lies, in cells of the input from where it usually does.
    """

    windows: tuple[Window, Window]
    sizes: Pair
    factors: Pair = (1, 1)
    starts: Pair = (0, 0)

    def run(self, func: Any, args: tuple[Any, ...]) -> Any:
        """Run the operation; what it gives has `factors` times the batch.

        Batch entry `(x * factors[0] + y) * B + b` holds picture b's positions y, y + factor, ...
        """
        result = _RUN[func.overloadpacket.__name__](args, self.steps, self._pads(args[0].shape))
        if isinstance(result, tuple):
            return tuple(self._dealt(each) for each in result)
        return self._dealt(result)

    @property
    def steps(self) -> Pair:
        """The distance of two positions, in cells of the input."""
        height, width = zip(self.windows, self.factors, strict=True)
        return height[0].stride // height[1], width[0].stride // width[1]

    def last(self, axis: int) -> int:
        """The first cell of the last window."""
        count = self.sizes[axis] * self.factors[axis]
        return self.first(axis) + (count - 1) * self.steps[axis]

    def first(self, axis: int) -> int:
        """The first cell of the first window."""
        return self.starts[axis] - self.windows[axis].padding

    def _pads(self, shape: Shape) -> tuple[int, int, int, int]:
        """Cells to add left, right, above and below, so that the windows fit exactly."""
        (top, bottom), (left, right) = (
            (-self.first(axis), self.last(axis) + self.windows[axis].extent - shape[2 + axis])
            for axis in (0, 1)
        )
        return left, right, top, bottom

    def _dealt(self, result: Float[Tensor, "batch channel height width"]) -> Tensor:
        (high, wide), (y, x) = self.sizes, self.factors
        grids = result.unflatten(3, (wide, x)).unflatten(2, (high, y))
        dealt: Tensor = grids.permute(5, 3, 0, 1, 2, 4).flatten(0, 2)
        return dealt


def windows(
    name: str, args: tuple[Any, ...], shape: Callable[[Any], Shape]
) -> tuple[Window, Window] | None:
    """The windows of an ATen operation on pictures (B, C, H, W), or None if it slides none.

    Args:
        name: of the operation.
        args: its arguments, tensors or what stands for them.
        shape: the shape of a tensor, or of what stands for it.
    """
    if name not in _READ or len(shape(args[0])) != 4:
        return None
    found: tuple[Window, Window] | None = _READ[name](args, shape)
    return found


def _of_convolution(args: tuple[Any, ...], shape: Callable[[Any], Shape]) -> Any:
    _, weight, _, stride, padding, dilation, is_transposed, *_ = args
    return None if is_transposed else _both(stride, padding, shape(weight)[2:], dilation)


def _of_max_pooling(args: tuple[Any, ...], _shape: Callable[[Any], Shape]) -> Any:
    _, kernel, stride, padding, dilation, _ = _filled(args, None, (), 0, 1, False)
    return _both(stride or kernel, padding, kernel, dilation)


def _of_average_pooling(args: tuple[Any, ...], _shape: Callable[[Any], Shape]) -> Any:
    _, kernel, stride, padding, *_ = _filled(args, None, (), 0)
    return _both(stride or kernel, padding, kernel, 1)


def _of_slice(args: tuple[Any, ...], shape: Callable[[Any], Shape]) -> Any:
    _, axis, start, _, step = _filled(args, 0, None, None, 1)
    if step == 1 or axis % 4 < 2:
        return None
    size = shape(args[0])[axis % 4]
    window = Window(step, -min(start % size if (start or 0) < 0 else start or 0, size))
    return (window, Window()) if axis % 4 == 2 else (Window(), window)


def _both(stride: Any, padding: Any, kernel: Any, dilation: Any) -> tuple[Window, Window]:
    height, width = (
        Window(s, p, (k - 1) * d + 1)
        for s, p, k, d in zip(*map(_pair, (stride, padding, kernel, dilation)), strict=True)
    )
    return height, width


def _pair(value: Any) -> Pair:
    both = (value, value) if isinstance(value, int) else tuple(value)
    return (both[0], both[-1])


def _filled(args: tuple[Any, ...], *defaults: Any) -> tuple[Any, ...]:
    """The arguments after the first, which ATen leaves out where they are the defaults."""
    return args + defaults[len(args) - 1 :]


def _convolve(args: tuple[Any, ...], steps: Pair, pads: Shape) -> Tensor:
    x, weight, bias, _, _, dilation, _, _, groups = args
    padded = F.pad(x, pads)
    result: Tensor = torch.ops.aten.convolution.default(
        padded, weight, bias, list(steps), [0, 0], dilation, False, [0, 0], groups
    )
    return result


def _pool_maxima(args: tuple[Any, ...], steps: Pair, pads: Shape) -> tuple[Tensor, Tensor]:
    x, kernel, _, _, dilation, _ = _filled(args, None, (), 0, 1, False)
    padded = F.pad(x, pads, value=-math.inf)
    pool = torch.ops.aten.max_pool2d_with_indices.default
    maxima, places = pool(padded, kernel, list(steps), [0, 0], dilation)
    return maxima, places


def _pool_means(args: tuple[Any, ...], steps: Pair, pads: Shape) -> Tensor:
    """Sums over the windows, over the cells that count: what lies beyond the padding never does."""
    x, kernel, _, padding, _, counts_padding, divisor = _filled(
        args, None, (), 0, False, True, None
    )
    sums = _window_sums(F.pad(x, pads), kernel, steps)
    if divisor is not None:
        return sums / float(divisor)
    high, wide = _pair(padding) if counts_padding else (0, 0)
    cells = x.new_ones(1, 1, x.shape[2] + 2 * high, x.shape[3] + 2 * wide)
    left, right, top, bottom = pads
    counted = F.pad(cells, (left - wide, right - wide, top - high, bottom - high))
    return sums / _window_sums(counted, kernel, steps).clamp(min=1)


def _window_sums(x: Tensor, kernel: Any, steps: Pair) -> Tensor:
    return F.avg_pool2d(x, tuple(_pair(kernel)), steps, divisor_override=1)


def _take(args: tuple[Any, ...], steps: Pair, pads: Shape) -> Tensor:
    taken: Tensor = F.pad(args[0], pads)[:, :, :: steps[0], :: steps[1]]
    return taken


_READ: Mapping[str, Callable[[tuple[Any, ...], Callable[[Any], Shape]], Any]] = {
    "convolution": _of_convolution,
    "max_pool2d_with_indices": _of_max_pooling,
    "avg_pool2d": _of_average_pooling,
    "slice": _of_slice,
}
_RUN: Mapping[str, Callable[[tuple[Any, ...], Pair, Shape], Any]] = {
    "convolution": _convolve,
    "max_pool2d_with_indices": _pool_maxima,
    "avg_pool2d": _pool_means,
    "slice": _take,
}
NAMES = frozenset(_READ)
