"""Where a network's feature maps end: the last value that still has channels and positions.

A head takes the positions away: it flattens them, lets a kernel as wide as the grid run over them,
or pools them. Walking back from the logits over vectors leads to the feature maps before that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from seewhy.heads.channels import Channels, channels_before
from seewhy.heads.pooling import SILENT, extents, find_pooling
from seewhy.heads.refusals import Refusal
from seewhy.observe import Operation, Trace

POOLINGS = frozenset(
    (
        "max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d"
        " adaptive_max_pool2d adaptive_max_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d"
        " fractional_max_pool2d fractional_max_pool3d"
    ).split()
)
# What may stand between the last convolution and a pooling, and is the same for any grid.
_POSITION_BY_POSITION = SILENT | frozenset(
    (
        "relu leaky_relu elu celu selu silu gelu mish hardswish hardtanh hardsigmoid sigmoid tanh"
        " softplus _prelu_kernel clamp clamp_min clamp_max native_batch_norm cudnn_batch_norm"
        " miopen_batch_norm _native_batch_norm_legit_no_training _batch_norm_no_update"
    ).split()
)
_VIEWS = frozenset({"view", "_unsafe_view", "reshape"})
_COPIES = frozenset({"clone", "contiguous"})


@dataclass(frozen=True)
class LastMaps:
    """The last feature maps of an observed pass.

    Attributes:
        number: the value that holds them, (B, K, *S).
        left_out: poolings before that value that are to be left out, as the values they give.
        dropped: every pooling that goes, those behind the value too.
        grid: the shape of the grid as the head was given it.
    """

    number: int
    left_out: tuple[int, ...]
    dropped: tuple[int, ...]
    grid: tuple[int, ...]


def last_maps(trace: Trace, logits: int, *, keep_grid: bool) -> LastMaps:
    """Find the last feature maps that lead to the logits.

    Args:
        trace: the observed pass.
        logits: the number of the value that the network returned.
        keep_grid: whether the poolings between the last convolution and the head are to go.

    Raises:
        Refusal: there are none, or more than one.
    """
    walk = _Walk(trace, channels_before(trace, logits + 1), trace.shape(min(trace.from_input))[0])
    ends = walk.ends(logits)
    bases = {walk.before_poolings(end) for end in ends} if keep_grid else ends
    if len(bases) > 1:
        shapes = " and ".join(sorted(str(trace.shape(number)) for number in bases))
        raise Refusal(f"joins several feature maps, {shapes}", "choose one of its branches")
    (number,) = bases
    if not any(_is_convolution(trace, n) for n in {number, *trace.leading_to(number)}):
        raise Refusal("has no convolution before its head, so that there are no feature maps")
    left_out = walk.poolings_before(number) if keep_grid else ()
    behind = {n for end in ends for n in walk.poolings_between(end, number)}
    grid = min((trace.shape(n)[2:] for n in walk.handed_over or ends), key=math.prod)
    return LastMaps(number, left_out, (*left_out, *sorted(behind | walk.handed_over)), grid)


def _is_convolution(trace: Trace, number: int) -> bool:
    operation = trace.producers[number]
    return operation is not None and operation.name == "convolution"


class _Walk:
    """A walk back from the logits.

    Attributes:
        handed_over: what a pooling that left a single position gave to the head.
    """

    def __init__(self, trace: Trace, channels: Channels, batch: int) -> None:
        self.trace, self.channels, self.batch = trace, channels, batch
        self.handed_over: set[int] = set()
        self.passed: set[str] = set()

    def ends(self, logits: int) -> set[int]:
        """The feature maps from which vectors were made that lead to the logits."""
        found: set[int] = set()
        waiting, seen = [logits], {logits}
        while waiting:
            number = waiting.pop()
            operation = self._operation(number)
            sources = {n for n in operation.inputs() if n in self.trace.from_input}
            maps = {n for n in sources if self.is_maps(n)}
            self._require_dense(operation)
            if maps and operation.name in POOLINGS and not self._is_global(operation):
                self.handed_over.add(number)
            found |= {self._unflattened(n) for n in maps}
            for source in sources - maps:
                self._require_vector(source, operation)
            waiting += sources - maps - seen
            seen |= sources
        return found

    def _is_global(self, operation: Operation) -> bool:
        return find_pooling(self.trace, operation, self.batch) is not None

    def is_maps(self, number: int) -> bool:
        """Whether a value is (B, K, *S) with more than one position."""
        shape = self.trace.shape(number)
        is_grid = len(shape) > 2 and shape[0] == self.batch and math.prod(shape[2:]) > 1
        return is_grid and self.channels.of(number) == {1}

    def before_poolings(self, number: int) -> int:
        """The maps that the poolings right before a value were given; else the value itself."""
        found, is_pooled = number, False
        for earlier in self._chain(number, POOLINGS | SILENT):
            is_pooled |= self._name(number) in POOLINGS
            number = earlier
            if is_pooled and self.is_maps(number):
                found = number
        return found

    def poolings_before(self, number: int) -> tuple[int, ...]:
        """The poolings between a value and the last thing that mixes channels."""
        chain = [number, *self._chain(number, POOLINGS | _POSITION_BY_POSITION)]
        return tuple(n for n in chain if self._name(n) in POOLINGS)

    def poolings_between(self, number: int, base: int) -> list[int]:
        """The poolings on the way from one value to an earlier one."""
        chain = [number, *self._chain(number, POOLINGS | SILENT)]
        kept = chain[: chain.index(base)] if base in chain else []
        return [n for n in kept if self._name(n) in POOLINGS]

    def _chain(self, number: int, names: frozenset[str]) -> list[int]:
        """The values before this one, back over operations of these names with one operand."""
        found: list[int] = []
        while self._name(number) in names:
            data = {n for n in self._operation(number).inputs() if n in self.trace.from_input}
            if len(data) != 1:
                break
            (number,) = data
            found.append(number)
        return found

    def _operation(self, number: int) -> Operation:
        operation = self.trace.producers[number]
        if operation is None:
            raise Refusal("reads its input itself: there are no feature maps in between")
        self.passed.add(operation.name)
        return operation

    def _name(self, number: int) -> str:
        operation = self.trace.producers[number]
        return "" if operation is None else operation.name

    def _unflattened(self, number: int) -> int:
        """The maps as they were before they were copied, or their positions merged, for a view."""
        name, shape = self._name(number), self.trace.shape(number)
        if name not in _VIEWS | _COPIES:
            return number
        source: int = self._operation(number).args[0].number
        before = self.trace.shape(source)
        is_same = before == shape if name in _COPIES else len(before) > len(shape)
        return self._unflattened(source) if is_same and self.is_maps(source) else number

    def _require_dense(self, operation: Operation) -> None:
        """Refuse a convolution that is none of a head's, but merely had a single position left."""
        if operation.name != "convolution":
            return
        kernel, padding = self.trace.shape(operation.args[1].number)[2:], operation.args[4]
        if math.prod(kernel) > 1 and any(padding):
            raise Refusal(
                "has a grid of a single position before its last convolution",
                "pass a larger example",
            )

    def _require_vector(self, number: int, reader: Operation) -> None:
        """Refuse positions that are no grid, unless a view of maps is just being flattened."""
        shape = self.trace.shape(number)
        is_view = {self._name(number), reader.name} <= SILENT
        if len(extents(shape, self.batch)) <= 1 or is_view:
            return
        is_one = not self.passed.isdisjoint({"select", "slice", "index"})
        token = ", of which it reads one (a class token?)" if is_one else ""
        raise Refusal(
            f"has tokens {shape} and no maps (batch, channels, positions) as its last"
            f" features{token}"
        )
