"""Which axes of a value hold channels, as far as the operations that made it tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from weakref import WeakKeyDictionary

from seewhy.observe import Operation, Trace

Axes = frozenset[int]
NONE: Axes = frozenset()


class Channels:
    """Follows the axes that hold channels from the operations that make channels onwards."""

    def __init__(self, trace: Trace, known: Mapping[int, Axes] | None = None) -> None:
        self.trace = trace
        self._known: dict[int, Axes] = _KNOWN.setdefault(trace, {}) if known is None else {**known}

    def of(self, number: int) -> Axes:
        """The axes of a value that are known to hold channels."""
        if number not in self._known:
            operation = self.trace.producers[number]
            if operation is None:
                known = _of_a_picture(self.shape(number)) if self.is_data(number) else NONE
            else:
                known = _RULES.get(operation.name, _kept)(self, operation, number)
            self._known[number] = known
        return self._known[number]

    def positions(self, number: int, batch: int) -> Axes:
        """The axes of a value that are left for positions."""
        shape, known = self.shape(number), self.of(number)
        is_batch = frozenset({0} if shape and shape[0] == batch else ())
        long = frozenset(axis for axis, extent in enumerate(shape) if extent > 1)
        return long - known - is_batch

    def is_data(self, number: int) -> bool:
        """Whether a value depends on the picture."""
        return number in self.trace.from_input

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of a value."""
        return self.trace.shape(number)


def channels_before(trace: Trace, number: int) -> Channels:
    """What is known once the operations up to a value are followed."""
    channels = Channels(trace)
    for earlier in sorted(n for n in trace.from_input if n < number):
        channels.of(earlier)  # in order, so that no deep network makes for deep recursion
    return channels


# Of a whole pass, what was followed once: it is asked for at every place where a head may begin.
_KNOWN: WeakKeyDictionary[Trace, dict[int, Axes]] = WeakKeyDictionary()

_Rule = Callable[[Channels, Operation, int], Axes]


def _of_a_picture(shape: tuple[int, ...]) -> Axes:
    """Of the model's input: a picture with channels first, or one that may have them last."""
    if len(shape) != 4 or shape[3] in (1, 3, 4):
        return NONE
    return frozenset({1})


def _second(_: Channels, __: Operation, ___: int) -> Axes:
    return frozenset({1})


def _last(channels: Channels, _: Operation, number: int) -> Axes:
    return frozenset({len(channels.shape(number)) - 1})


def _layer_norm(channels: Channels, operation: Operation, number: int) -> Axes:
    return (_last if len(operation.args[1]) == 1 else _same)(channels, operation, number)


def _same(channels: Channels, operation: Operation, _: int) -> Axes:
    return channels.of(operation.args[0].number)


def _expanded(channels: Channels, operation: Operation, number: int) -> Axes:
    source = operation.args[0].number
    added = len(channels.shape(number)) - len(channels.shape(source))
    return frozenset(axis + added for axis in channels.of(source))


def _kept(channels: Channels, operation: Operation, number: int) -> Axes:
    """Of any other operation: the axes stay what they were, while there are as many.

    That is right for everything element-wise and for windows, resizing, padding, concatenation,
    dropout, attention. Operands of full shape count first; those that know something must agree.
    """
    shape = channels.shape(number)
    sources = [n for n in operation.inputs() if channels.is_data(n)]
    alike = [n for n in sources if len(channels.shape(n)) == len(shape)]
    alike = [n for n in alike if channels.shape(n) == shape] or alike
    known = [known for n in alike if (known := channels.of(n))]
    return frozenset.intersection(*known) if known else NONE


def _matrix_product(channels: Channels, operation: Operation, _: int) -> Axes:
    """Rows of the first operand, columns of the second."""
    first, second = (channels.of(value.number) for value in operation.args[-2:])
    return (first & {1}) | (second & {2})


def _reduced(channels: Channels, operation: Operation, number: int) -> Axes:
    source = operation.args[0].number
    rank = len(channels.shape(source))
    if len(channels.shape(number)) == rank:
        return _same(channels, operation, number)
    has_order = operation.name in {"linalg_vector_norm", "norm"}
    axes = (*operation.args, None, None)[1 + has_order]
    axes = axes if isinstance(axes, tuple) else range(rank) if axes is None else (axes,)
    return _without(channels.of(source), [axis % rank for axis in axes], rank)


def _dropped(channels: Channels, operation: Operation, _: int) -> Axes:
    """`select`, `unbind`: one axis is gone."""
    source = operation.args[0].number
    rank = len(channels.shape(source))
    axis = operation.args[1] if len(operation.args) > 1 else 0
    return _without(channels.of(source), [axis % rank], rank)


def _without(known: Axes, gone: Iterable[int], rank: int) -> Axes:
    kept = [axis for axis in range(rank) if axis not in gone]
    return frozenset(kept.index(axis) for axis in known if axis in kept)


def _stacked(channels: Channels, operation: Operation, number: int) -> Axes:
    axis = (operation.args[1] if len(operation.args) > 1 else 0) % len(channels.shape(number))
    sources = [n for n in operation.inputs() if channels.is_data(n)]
    known = [known for n in sources if (known := channels.of(n))]
    agreed = frozenset.intersection(*known) if known else NONE
    return frozenset(at + (at >= axis) for at in agreed)


def _permuted(channels: Channels, operation: Operation, number: int) -> Axes:
    rank = len(channels.shape(number))
    order = list(range(rank))
    if operation.name == "permute":
        order = [axis % rank for axis in operation.args[1]]
    else:
        first, second = operation.args[1:3] if len(operation.args) > 2 else (0, rank - 1)
        order[first], order[second] = order[second], order[first]
    known = channels.of(operation.args[0].number)
    return frozenset(to for to, origin in enumerate(order) if origin in known)


def _viewed(channels: Channels, operation: Operation, number: int) -> Axes:
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


_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(
        (
            "convolution native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm"
            " miopen_batch_norm _batch_norm_no_update native_group_norm im2col col2im"
        ).split(),
        _second,
    ),
    **dict.fromkeys(
        "mm addmm _transformer_encoder_layer_fwd _native_multi_head_attention".split(), _last
    ),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm"), _layer_norm),
    **dict.fromkeys(("bmm", "baddbmm"), _matrix_product),
    **dict.fromkeys(("expand", "repeat"), _expanded),
    **dict.fromkeys(
        (
            "mean sum amax amin max min prod std var logsumexp argmax argmin"
            " linalg_vector_norm norm"
        ).split(),
        _reduced,
    ),
    **dict.fromkeys(("select", "unbind"), _dropped),
    "stack": _stacked,
    **dict.fromkeys(("permute", "transpose", "t"), _permuted),
    **dict.fromkeys(
        "view _unsafe_view reshape _reshape_alias squeeze unsqueeze".split(),
        _viewed,
    ),
    **dict.fromkeys("slice split split_with_sizes unfold".split(), _same),
}
