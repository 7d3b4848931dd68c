"""Whether what a head pools are positions of the picture, or merely add up as if they were.

A mean over channels, or over the members of an ensemble, fits every formula: the certificate holds,
and the map is about nothing in the picture. The operations before the pooling tell the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

from seewhy.heads.channels import NONE, Axes, Channels, channels_before
from seewhy.heads.pooling import SILENT, Pooling, extents
from seewhy.heads.refusals import Refusal
from seewhy.observe import Operation, Trace, Value


def require_positions(trace: Trace, pooling: Pooling, batch: int) -> None:
    """Refuse a pooling of anything but positions in their order, each with the same weight.

    Raises:
        Refusal: it pools vectors, or the picture weighs the positions or puts them in order.
    """
    if not _comes_from_a_grid(trace, pooling.features, batch):
        raise Refusal("adds up vectors and pools no positions")
    channels = channels_before(trace, pooling.features)
    if _is_attention(channels, pooling, batch):
        raise Refusal("pools by weights that depend on the picture (attention pooling)")
    if (name := _reordering(channels, pooling.features, batch)) is not None:
        raise Refusal(f"reorders the positions before it pools them ({name})")


def require_no_channels(trace: Trace, number: int, spatial: Sequence[int]) -> None:
    """Refuse to take axes of a value for spatial ones if one is known to hold channels.

    Raises:
        Refusal: one of them does.
    """
    if not channels_before(trace, number).of(number).isdisjoint(spatial):
        raise Refusal("averages over channels and pools no positions")


def _comes_from_a_grid(trace: Trace, features: int, batch: int) -> bool:
    """Whether some way from the input to the features never squeezes it to a vector."""
    inputs = [n for n in trace.from_input if trace.producers[n] is None]
    rank = max(len(trace.shape(n)) for n in inputs)
    if rank < 3:
        return True  # the input is a vector itself, or the ids of tokens

    def is_vector(number: int) -> bool:
        shape = trace.shape(number)
        is_flat = len(shape) == 2 and shape[0] > batch and shape[0] % batch == 0  # (B * N, K)
        return len(extents(shape, batch)) <= 1 and not len(shape) == rank == 3 and not is_flat

    waiting, seen = [features], {features}
    while waiting:
        number = waiting.pop()
        if trace.producers[number] is None:
            return True
        sources = {n for n in _data(trace, number) if n in inputs or not is_vector(n)}
        waiting += sources - seen
        seen |= sources
    return False


def _is_attention(channels: Channels, pooling: Pooling, batch: int) -> bool:
    """Whether the operand is a product whose factors weigh the positions.

    Two factors of a sum that both differ from position to position are features and weights, and
    so is a softmax over the positions times anything. A gate inside the network, whose product is
    averaged, is a part of the features.
    """
    trace = channels.trace
    product = origin(trace, pooling.features)
    factors = _factors(trace, product)
    if len(factors) < 2:
        return False
    if any(_is_softmax_of_positions(channels, factor, batch) for factor in factors):
        return True
    axes = pooling.axes if product == pooling.features else channels.positions(product, batch)
    weighing = [n for n in factors if _varies(trace.shape(n), trace.shape(product), axes)]
    return pooling.kind == "sum" and len(weighing) > 1


def _factors(trace: Trace, number: int) -> set[int]:
    """The values that depend on the picture and whose product a value is, views aside."""
    operation = trace.producers[number]
    data = set(_data(trace, number))
    if operation is None or operation.name not in {"mul", "div"} or not data:
        return {number}
    return set().union(*(_factors(trace, origin(trace, n)) for n in data))


def _varies(shape: tuple[int, ...], whole: tuple[int, ...], axes: Iterable[int]) -> bool:
    """Whether a factor, broadcast to the whole, differs along one of the axes."""
    aligned = (1,) * (len(whole) - len(shape)) + shape
    return len(aligned) == len(whole) and any(aligned[axis] > 1 for axis in axes)


def _is_softmax_of_positions(channels: Channels, number: int, batch: int) -> bool:
    operation = channels.trace.producers[number]
    if operation is None or operation.name != "_softmax":
        return False
    axis = operation.args[1] % len(channels.shape(number))
    return axis in channels.positions(number, batch)


# The operations that pick values by an index, or by their size, and where they name the axis.
_PICKING = {"gather": 1, "index_select": 1, "topk": 2, "sort": 1}


def _reordering(channels: Channels, features: int, batch: int) -> str | None:
    """The operation, on the way of the positions, that put them where the picture said."""
    trace = channels.trace
    in_order = _IN_ORDER.setdefault(trace, set())
    waiting, seen = [features], {features}
    while waiting:
        number = waiting.pop()
        operation = trace.producers[number]
        if operation is None or len(extents(trace.shape(number), batch)) <= 1:
            continue
        if not _picked_axes(channels, operation).isdisjoint(
            channels.positions(operation.inputs()[0], batch) if operation.inputs() else NONE
        ):
            return operation.name
        sources = set(_ways_of_positions(channels, operation, number)) - in_order
        waiting += sources - seen
        seen |= sources
    in_order |= seen
    return None


# Of each pass, the values before which nothing was found: other places have the same ways back.
_IN_ORDER: WeakKeyDictionary[Trace, set[int]] = WeakKeyDictionary()


def _picked_axes(channels: Channels, operation: Operation) -> Axes:
    """The axes along which an operation picks values, as the picture tells it to."""
    data = channels.trace.from_input
    if operation.name == "index":
        indices = enumerate(operation.args[1])
        return frozenset(a for a, i in indices if isinstance(i, Value) and i.number in data)
    if operation.name not in _PICKING:
        return NONE
    chosen = operation.inputs()[1:]
    if chosen and not data.intersection(chosen):
        return NONE
    arguments = operation.args[_PICKING[operation.name] :]
    given = [a for a in arguments if isinstance(a, int) and not isinstance(a, bool)]
    axis = given[0] if given else operation.kwargs.get("dim", -1)
    return frozenset({axis % len(channels.shape(operation.inputs()[0]))})


def _ways_of_positions(channels: Channels, operation: Operation, number: int) -> list[int]:
    """The operands that the positions of a value come from.

    Of a matrix product it is one, of attention the queries: what is attended to may be picked.
    """
    data = _data(channels.trace, number)
    if operation.name == "bmm" and len(data) == 2:
        first, second = (channels.of(n) for n in operation.inputs())
        return data[1:] if 1 in first and 2 not in second else data[:1]
    if operation.name.startswith("_scaled_dot_product") or operation.name in _PICKING:
        return data[:1]
    return data


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
