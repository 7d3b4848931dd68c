"""Where the batch, the channels and the positions lie in a tensor of features.

The operand of the pooling is often a flattened or permuted view of the feature maps that a module
returned. Climbing from it through such views finds tensors that are easier to pick up, and tells
how each of them must be read.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from seewhy.errors import ModelError
from seewhy.heads.pooling import Pooling
from seewhy.heads.positions import require_no_channels
from seewhy.heads.refusals import Refusal
from seewhy.observe import Operation, Trace, Value

BATCH, CHANNEL, SPACE, UNIT = "batch", "channel", "space", "unit"


@dataclass(frozen=True)
class Layout:
    """How to read a tensor as feature maps.

    Attributes:
        axes: what each axis of the tensor is: "batch", "channel", "space" or "unit" (extent one).
        tokens: the part of the one spatial axis that is pooled (prefix tokens are left out).
        grid: the shape that a token sequence has in the picture; None if the axes show it.
        picture: the (height, width) of the picture that has this grid.
    """

    axes: tuple[str, ...]
    tokens: tuple[int, int | None] | None = None
    grid: tuple[int, ...] | None = None
    picture: tuple[int, int] | None = None

    @functools.cached_property
    def is_plain(self) -> bool:
        """Whether the tensor already is (B, K, *S)."""
        in_order = self.axes == (BATCH, CHANNEL, *(SPACE,) * (len(self.axes) - 2))
        return in_order and self.tokens is None and self.grid is None

    @property
    def spatial(self) -> tuple[int, ...]:
        """The axes that positions lie along."""
        return tuple(axis for axis, label in enumerate(self.axes) if label == SPACE)

    def read(self, tensor: Tensor) -> Float[Tensor, "batch channel *spatial"]:
        """The feature maps as (B, K, *S): a view wherever memory allows."""
        if self.is_plain:
            return tensor
        if UNIT in self.axes:
            units = [axis for axis, label in enumerate(self.axes) if label == UNIT]
            tensor = tensor.squeeze(units)
        labels = [label for label in self.axes if label != UNIT]
        order = [labels.index(BATCH), labels.index(CHANNEL)]
        order += [axis for axis, label in enumerate(labels) if label == SPACE]
        if order != list(range(len(order))):
            tensor = tensor.permute(order)
        if self.tokens is not None:
            start, stop = self.tokens
            tensor = tensor[:, :, start:stop]
        if self.grid is not None:
            tensor = tensor.unflatten(2, self._grid(tensor.shape[2]))
        return tensor

    def _grid(self, tokens: int) -> tuple[int, ...]:
        """The grid for a number of tokens: the one that was seen, or one of its proportions.

        Raises:
            ModelError: there is none.
        """
        assert self.grid is not None
        if math.prod(self.grid) == tokens:
            return self.grid
        height = max(1, round(math.sqrt(tokens * self.grid[0] / self.grid[1])))
        width = tokens // height
        is_like = abs(height * self.grid[1] - width * self.grid[0]) <= max(self.grid)
        if height * width != tokens or not is_like:
            raise _other_grid(f"{tokens} tokens", self.grid)
        return height, width

    def require_proportions(self, shape: tuple[int, ...]) -> None:
        """Refuse a batch of pictures of other proportions, whose tokens lie on another grid.

        Raises:
            ModelError: its grid is not known.
        """
        if self.grid is None or self.picture is None or len(shape) != 4:
            return
        height, width = picture_size(shape)
        distortion = math.log(height * self.picture[1] / (width * self.picture[0]))
        if abs(distortion) >= 1 / max(self.grid):
            raise _other_grid(f"pictures of {height} x {width}", self.grid)


def _other_grid(got: str, grid: tuple[int, ...]) -> ModelError:
    return ModelError(
        "head",
        expected=f"tokens on a grid of the proportions {grid[0]} x {grid[1]}",
        got=got,
        fix="find the head again with an example of this size",
    )


def picture_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """The (height, width) of a batch of pictures, channels first or last."""
    is_channels_last = shape[3] in (1, 3, 4) and shape[3] < min(shape[1:3])
    height, width = shape[1:3] if is_channels_last else shape[2:4]
    return height, width


def layouts(trace: Trace, pooling: Pooling, batch: int) -> Iterator[tuple[int, Layout]]:
    """Values that hold the pooled features, nearest to the pooling first, and their layouts.

    Raises:
        Refusal: what is averaged are channels, or only a part of the grid.
    """
    number = pooling.features
    layout = _pooled_layout(trace.shape(number), pooling.axes, batch)
    if layout is None:
        raise Refusal(
            f"pools features of shape {trace.shape(number)}, not (batch, channels, *positions)",
            "give the example a batch axis: (B, C, *S)",
        )
    while layout is not None:
        require_no_channels(trace, number, layout.spatial)
        yield number, layout
        operation = trace.producers[number]
        if operation is None or not operation.args or not isinstance(operation.args[0], Value):
            return
        source = operation.args[0].number
        layout = _climb(operation, trace.shape(source), trace.shape(number), layout)
        number = source


def token_grid(trace: Trace, number: int, tokens: int, batch: int) -> tuple[int, int] | None:
    """The grid that a token sequence of a picture came from, in the picture's proportions.

    It is that of an earlier tensor that still shows it; or, where patches were cut out by
    `unfold`, which shows none, the one that fits. None if there is none.
    """
    height, width = picture_size(trace.shape(min(trace.from_input)))

    def distortion(pair: tuple[int, ...]) -> float:
        return abs(math.log(pair[0] * width / (pair[1] * height)))

    earlier = [n for n in sorted(trace.from_input, reverse=True) if n < number]
    shapes = [trace.shape(n) for n in earlier]
    seen = [
        (shape[axis], shape[axis + 1])
        for shape in shapes
        if len(shape) >= 4 and shape[0] % batch == 0
        for axis in (2, 1)
        if math.prod(shape[axis : axis + 2]) == tokens and 1 not in shape[axis : axis + 2]
    ]
    high = max(1, round(math.sqrt(tokens * height / width)))
    if tokens % high == 0 and any(_is_unfold(trace.producers[n]) for n in earlier):
        seen.append((high, tokens // high))
    best = min(seen, key=distortion, default=None)
    return best if best and distortion(best) <= _DISTORTION else None


# Strides may differ between the axes, by a factor of two at most; (heads, width) of an attention
# layer may multiply to the number of tokens, too.
_DISTORTION = math.log(2.01)


def _is_unfold(operation: Operation | None) -> bool:
    return operation is not None and operation.name == "im2col"


def _pooled_layout(shape: tuple[int, ...], axes: tuple[int, ...], batch: int) -> Layout | None:
    """The layout of the pooling's operand: what it keeps is the batch, then the channels."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    long = [axis for axis in kept if shape[axis] != 1]
    if len(long) != 2 or shape[long[0]] != batch:
        long = [kept[0], next((axis for axis in kept[1:] if shape[axis] != 1), kept[-1])]
    if len(kept) < 2 or long[0] == long[1] or shape[long[0]] != batch:
        return None
    labels = dict.fromkeys(axes, SPACE) | {long[0]: BATCH, long[1]: CHANNEL}
    return Layout(tuple(labels.get(axis, UNIT) for axis in range(len(shape))))


def _climb(
    operation: Operation, source: tuple[int, ...], result: tuple[int, ...], layout: Layout
) -> Layout | None:
    """The layout of an operation's operand, given that of its result."""
    match operation.name:
        case "clone" | "contiguous" | "_to_copy" | "detach" | "alias":
            return layout
        case "permute":
            return _permuted(layout, operation.args[1])
        case "transpose":
            order = list(range(len(source)))
            first, second = operation.args[1:3]
            order[first], order[second] = order[second], order[first]
            return _permuted(layout, order)
        case "unsqueeze":
            at = operation.args[1] % len(result)
            return replace(layout, axes=layout.axes[:at] + layout.axes[at + 1 :])
        case "view" | "_unsafe_view" | "reshape":
            axes = _unviewed(layout.axes, source, result)
            return None if axes is None or layout.tokens else replace(layout, axes=axes)
        case "mean" if len(operation.args) > 1 and layout.tokens is None:
            return _unpooled(layout, operation, source)
        case "slice":
            return layout if source == result else _unsliced(layout, operation)
    return None


def _permuted(layout: Layout, order: Sequence[int]) -> Layout:
    axes = list(layout.axes)
    for to, origin in enumerate(order):
        axes[origin] = layout.axes[to]
    return replace(layout, axes=tuple(axes))


def _unviewed(
    axes: tuple[str, ...], source: tuple[int, ...], result: tuple[int, ...]
) -> tuple[str, ...] | None:
    """The labels of a view's operand: axes that were merged into a spatial one are spatial."""
    labels: list[str] = []
    one_picture = axes[0] == BATCH and result[0] == 1
    remaining = [(extent, label) for extent, label in zip(result, axes, strict=True) if extent > 1]
    for extent in source:
        if extent == 1:
            labels.append(BATCH if one_picture and not labels else UNIT)
        elif remaining and remaining[0][0] == extent:
            labels.append(remaining.pop(0)[1])
        elif remaining and remaining[0][1] == SPACE and remaining[0][0] % extent == 0:
            labels.append(SPACE)
            remaining[0] = remaining[0][0] // extent, SPACE
        else:
            return None
    needed = {BATCH, CHANNEL, SPACE} <= set(labels)
    return tuple(labels) if needed and not remaining else None


def _unpooled(layout: Layout, operation: Operation, source: tuple[int, ...]) -> Layout | None:
    """A mean before the pooling is a part of it: its axes are spatial too."""
    pooled = {axis % len(source) for axis in operation.args[1]}
    kept = iter(layout.axes)
    keeps_axes = len(operation.args) > 2 and bool(operation.args[2])
    axes = []
    for axis in range(len(source)):
        label = next(kept) if keeps_axes or axis not in pooled else SPACE
        axes.append(SPACE if axis in pooled else label)
    return replace(layout, axes=tuple(axes))


def _unsliced(layout: Layout, operation: Operation) -> Layout | None:
    """A slice along the one axis of a token sequence leaves prefix tokens out.

    A part of a grid is refused: its map would be drawn over the whole picture.
    """
    defaults: tuple[Any, ...] = (None, 0, 0, None, 1)
    _, axis, start, stop, step = operation.args + defaults[len(operation.args) :]
    is_tokens = layout.axes[axis] == SPACE and layout.axes.count(SPACE) == 1
    if layout.axes[axis] == SPACE and (not is_tokens or step != 1):
        raise Refusal("pools only a part of the feature grid")
    if not is_tokens or layout.tokens is not None:
        return None
    bounded = stop if stop is not None and stop < 2**31 else None
    return replace(layout, tokens=(start or 0, bounded))
