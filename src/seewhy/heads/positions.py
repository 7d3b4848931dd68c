"""Whether what a head pools are positions of the picture, or merely add up as if they were.

A mean over channels, or over the members of an ensemble, fits every formula: the certificate holds,
and the map is about nothing in the picture. The operations before the pooling tell the difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from seewhy.heads.pooling import SILENT, Pooling, extents
from seewhy.heads.refusals import Refusal
from seewhy.observe import Operation, Trace

Axes = frozenset[int]
NONE: Axes = frozenset()


def require_positions(trace: Trace, pooling: Pooling, batch: int) -> None:
    """Refuse a pooling of vectors, and one by weights that the picture gives each position.

    Raises:
        Refusal: it is one of these.
    """
    if not _comes_from_a_grid(trace, pooling.features, batch):
        raise Refusal("adds up vectors and pools no positions")
    if pooling.kind == "sum" and _is_attention(trace, pooling):
        raise Refusal("pools by weights that depend on the picture (attention pooling)")


def require_no_channels(trace: Trace, number: int, spatial: Sequence[int]) -> None:
    """Refuse to take axes of a value for spatial ones if one is known to hold channels.

    Raises:
        Refusal: one of them does.
    """
    if not channel_axes(trace, number).isdisjoint(spatial):
        raise Refusal("averages over channels and pools no positions")


def channel_axes(trace: Trace, number: int) -> Axes:
    """The axes of a value that hold channels, as far as the operations that made it tell."""
    channels = _Channels(trace)
    for earlier in sorted(n for n in trace.from_input if n < number):
        channels.of(earlier)  # in order, so that no deep network makes for deep recursion
    return channels.of(number)


def _comes_from_a_grid(trace: Trace, features: int, batch: int) -> bool:
    """Whether some way from the input to the features never squeezes it to a vector."""
    inputs = [n for n in trace.from_input if trace.producers[n] is None]
    rank = max(len(trace.shape(n)) for n in inputs)
    if rank < 3:
        return True  # the input is a vector itself, or the ids of tokens

    def is_vector(number: int) -> bool:
        shape = trace.shape(number)
        return len(extents(shape, batch)) <= 1 and not len(shape) == rank == 3

    waiting, seen = [features], {features}
    while waiting:
        number = waiting.pop()
        if trace.producers[number] is None:
            return True
        sources = {n for n in _data(trace, number) if n in inputs or not is_vector(n)}
        waiting += sources - seen
        seen |= sources
    return False


def _is_attention(trace: Trace, pooling: Pooling) -> bool:
    """Whether the operand is features times one weight for each position."""
    factors = _data(trace, origin(trace, pooling.features))
    shape = trace.shape(pooling.features)
    kept = [axis for axis in range(1, len(shape)) if axis not in pooling.axes]
    weights = [trace.shape(n) for n in factors if len(trace.shape(n)) == len(shape)]
    return len(factors) == 2 and any(
        all(w[axis] == 1 for axis in kept) and any(w[axis] > 1 for axis in pooling.axes)
        for w in weights
    )


def _data(trace: Trace, number: int) -> list[int]:
    """The values that depend on the picture and that a value is computed from."""
    operation = trace.producers[number]
    return [] if operation is None else [n for n in operation.inputs() if n in trace.from_input]


def origin(trace: Trace, number: int) -> int:
    """The value that this one is a view or a copy of."""
    operation = trace.producers[number]
    while operation is not None and operation.name in SILENT and _data(trace, number):
        number = _data(trace, number)[0]
        operation = trace.producers[number]
    return number


class _Channels:
    """Follows the axes that hold channels from the operations that make channels onwards."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._known: dict[int, Axes] = {}

    def of(self, number: int) -> Axes:
        if number not in self._known:
            operation = self.trace.producers[number]
            rule = None if operation is None else _RULES.get(operation.name)
            known = NONE if operation is None or rule is None else rule(self, operation, number)
            self._known[number] = known
        return self._known[number]

    def shape(self, number: int) -> tuple[int, ...]:
        return self.trace.shape(number)


_Rule = Callable[[_Channels, Operation, int], Axes]


def _second(_: _Channels, __: Operation, ___: int) -> Axes:
    return frozenset({1})


def _last(channels: _Channels, _: Operation, number: int) -> Axes:
    return frozenset({len(channels.shape(number)) - 1})


def _layer_norm(channels: _Channels, operation: Operation, number: int) -> Axes:
    return (_last if len(operation.args[1]) == 1 else _same)(channels, operation, number)


def _same(channels: _Channels, operation: Operation, _: int) -> Axes:
    return channels.of(operation.args[0].number)


def _expanded(channels: _Channels, operation: Operation, number: int) -> Axes:
    source = operation.args[0].number
    added = len(channels.shape(number)) - len(channels.shape(source))
    return frozenset(axis + added for axis in channels.of(source))


def _agreed(channels: _Channels, operation: Operation, number: int) -> Axes:
    """Of an element-wise operation: what all operands of full shape agree on."""
    shape = channels.shape(number)
    sources = [n for n in operation.inputs() if channels.shape(n) == shape]
    known = [channels.of(n) for n in sources if n in channels.trace.from_input]
    return frozenset.intersection(*known) if known else NONE


def _matrix_product(channels: _Channels, operation: Operation, _: int) -> Axes:
    """Rows of the first operand, columns of the second."""
    first, second = (channels.of(value.number) for value in operation.args[:2])
    return (first & {1}) | (second & {2})


def _reduced(channels: _Channels, operation: Operation, _: int) -> Axes:
    source = operation.args[0].number
    rank = len(channels.shape(source))
    gone = {axis % rank for axis in (operation.args[1] if len(operation.args) > 1 else ())}
    keeps_axes = len(operation.args) > 2 and bool(operation.args[2])
    kept = [axis for axis in range(rank) if keeps_axes or axis not in gone]
    return frozenset(kept.index(axis) for axis in channels.of(source) - gone)


def _permuted(channels: _Channels, operation: Operation, number: int) -> Axes:
    rank = len(channels.shape(number))
    order = list(range(rank))
    if operation.name == "permute":
        order = [axis % rank for axis in operation.args[1]]
    else:
        first, second = operation.args[1:3] if len(operation.args) > 2 else (0, rank - 1)
        order[first], order[second] = order[second], order[first]
    known = channels.of(operation.args[0].number)
    return frozenset(to for to, origin in enumerate(order) if origin in known)


def _viewed(channels: _Channels, operation: Operation, number: int) -> Axes:
    """A view may merge and split axes: one that holds a part of the channels counts as channels."""
    source = operation.args[0].number
    before, after = _strides(channels.shape(source)), _strides(channels.shape(number))
    held = [before[axis] for axis in channels.of(source)]
    return frozenset(
        axis
        for axis, (low, high) in enumerate(after)
        if any(max(low, start) < min(high, end) for start, end in held)
    )


def _strides(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """For each axis of a contiguous tensor: how far a step along it leads, and the whole axis."""
    steps = [math.prod(shape[axis:]) for axis in range(len(shape) + 1)]
    return [(steps[axis + 1], steps[axis]) for axis in range(len(shape))]


_ELEMENTWISE = (
    "relu gelu silu hardswish hardtanh leaky_relu elu tanh sigmoid hardsigmoid mish add sub mul div"
).split()

_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(
        (
            "convolution native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm"
            " native_group_norm"
        ).split(),
        _second,
    ),
    **dict.fromkeys(("mm", "addmm"), _last),
    "native_layer_norm": _layer_norm,
    "bmm": _matrix_product,
    "expand": _expanded,
    **dict.fromkeys(("mean", "sum"), _reduced),
    **dict.fromkeys(("permute", "transpose", "t"), _permuted),
    **dict.fromkeys(
        "view _unsafe_view reshape _reshape_alias squeeze unsqueeze".split(),
        _viewed,
    ),
    **dict.fromkeys("clone contiguous _to_copy detach alias slice".split(), _same),
    **dict.fromkeys(_ELEMENTWISE, _agreed),
}
