"""Which operations of a network to run at more positions, so that its feature grid gets finer.

One pass is watched. From the features back towards the input, the first operations that stride are
those that made the grid as coarse as it is; there may be several side by side, such as a block's
convolution and its shortcut. What comes after them sees the additional positions as additional
pictures. A network for which this is not so is refused with the reason, and never guessed at.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from seewhy.capture import Tap
from seewhy.finer.windows import NAMES, Pair, Split, Window, windows
from seewhy.heads import Head
from seewhy.heads.find import observed
from seewhy.observe import Operation, Trace, Value

Axis = Literal[0, 1]  # height, width
Call = tuple[str, int]  # an operation's name, and which of the pass's calls of it, from 0


class CannotDilate(Exception):  # noqa: N818 -- it never leaves the package
    """Why a network's grid cannot be made finer exactly, as the end of "its grid ...".

    Args:
        reason: the end of that sentence.
        module: the module that stands in the way, or "".
    """

    def __init__(self, reason: str, module: str = "") -> None:
        super().__init__(reason)
        self.module = module


@dataclass(frozen=True)
class Plan:
    """What is done to one forward pass.

    Attributes:
        splits: the operations to run at more positions.
        order: the axes and factors in the order in which the batch is split, the first first.
        undisturbed: which of the views is what the network computes anyway.
        grid: the usual cells, along both sides.
    """

    splits: Mapping[Call, Split]
    order: tuple[tuple[Axis, int], ...]
    undisturbed: int
    grid: Pair

    @property
    def views(self) -> int:
        """How many grids there are for each picture."""
        return math.prod(factor for _, factor in self.order)


def find_plan(network: nn.Module, head: Head, pictures: Tensor, resolution: int) -> Plan:
    """Find the operations to split.

    Args:
        network: in evaluation mode.
        head: its head.
        pictures: (B, C, H, W); the plan is for pictures of this size.
        resolution: how many times as many cells each side of the grid is to have.

    Raises:
        CannotDilate: the grid cannot be made finer exactly.
    """
    trace = observed(network, (pictures,), {})
    search = _Search(trace, head, resolution)
    return search.plan()


class _Search:
    """The operations that a trace shows, and those among them that are to be split."""

    def __init__(self, trace: Trace, head: Head, resolution: int) -> None:
        self.trace, self.resolution = trace, resolution
        self.features, self.logits = (_number(trace, tap) for tap in (head.features, head.logits))
        grid = tuple(head.layout.read(trace.tensors[self.features]).shape[2:])
        if len(grid) != 2:
            raise CannotDilate(f"has {len(grid)} sides")
        self.grid = grid[0], grid[1]
        self.splits: dict[int, Split] = {}

    def plan(self) -> Plan:
        for axis in (0, 1):
            self._split(axis)
        order, undisturbed = self._order()
        calls = _calls(self.trace)
        splits = {calls[number]: split for number, split in self.splits.items()}
        return Plan(splits, order, undisturbed, self.grid)

    def _split(self, axis: Axis) -> None:
        """Find what strides along an axis, transition by transition, until the grid is fine."""
        remaining, size, after = self.resolution, self.grid[axis], [self.features]
        while remaining > 1:
            strided = self._first_strided(axis, after)
            self._require_grid(axis, strided, size)
            stride = self._common_stride(axis, strided)
            factor = math.gcd(stride, remaining)
            if factor == 1:
                raise CannotDilate(
                    f"has a stride of {stride}, which {remaining} does not divide",
                    self._module(strided[0]),
                )
            start = self._start(axis, strided, stride // factor, factor)
            for number in strided:
                self._plan_split(number, axis, factor, start)
            remaining //= factor
            after = [_source(self.trace, number) for number in strided]
            size = self._unpadded(axis, after[0])[1]

    def _first_strided(self, axis: Axis, after: list[int]) -> list[int]:
        """The first values on every way back to the input that were made with a stride."""
        waiting, seen, found = list(after), set(after), []
        while waiting:
            number = waiting.pop()
            if self._strides(number, axis):
                found.append(number)
                continue
            sources = set(_data(self.trace, number)) - seen
            if not sources and self.trace.producers[number] is None:
                raise CannotDilate("reaches the input by a way on which nothing strides")
            waiting += sources
            seen |= sources
        return sorted(found)

    def _strides(self, number: int, axis: Axis) -> bool:
        """Whether an operation strides; one that leaves a single cell pools the grid away."""
        window = self._windows(number)
        is_grid = window is not None and self.trace.shape(number)[2 + axis] > 1
        return is_grid and window is not None and window[axis].stride > 1

    def _windows(self, number: int) -> tuple[Window, Window] | None:
        operation = self.trace.producers[number]
        if operation is None or operation.name not in NAMES or self.trace.places[number] > 0:
            return None
        return windows(operation.name, operation.args, self._shape)

    def _shape(self, argument: Any) -> tuple[int, ...]:
        assert isinstance(argument, Value)
        return self.trace.shape(argument.number)

    def _require_grid(self, axis: Axis, strided: list[int], size: int) -> None:
        for number in strided:
            found = self.trace.shape(number)[2 + axis]
            if found != size:
                raise CannotDilate(
                    f"goes from {found} cells to {size} by something other than a convolution,"
                    " pooling or slice that strides",
                    self._module(number),
                )

    def _common_stride(self, axis: Axis, strided: list[int]) -> int:
        strides = {self._window(number, axis).stride: number for number in strided}
        if len(strides) > 1:
            raise CannotDilate(
                f"is reached by strides of {' and '.join(map(str, sorted(strides)))}",
                self._module(strides[max(strides)]),
            )
        return min(strides)

    def _window(self, number: int, axis: Axis) -> Window:
        found = self._windows(number)
        assert found is not None
        return found[axis]

    def _start(self, axis: Axis, strided: list[int], step: int, factor: int) -> int:
        """Where the finer positions begin: so that each lies as near as can be to its cell.

        Cell m of the finer grid covers `step` cells of the input from `step * m` on. The usual
        positions are to be among the finer ones, which leaves only multiples of `step`.
        """
        centres = []
        for number in strided:
            before, _ = self._unpadded(axis, _source(self.trace, number))
            centres.append(self._window(number, axis).centre - before)
        off = sum(centres) / len(centres) - (step - 1) / 2
        return -step * min(max(math.ceil(off / step - 0.5), 0), factor - 1)

    def _unpadded(self, axis: Axis, number: int) -> tuple[int, int]:
        """The cells that explicit padding put before a value's own, and how many are its own."""
        before, after = 0, 0
        size = self.trace.shape(number)[2 + axis]
        while (pads := _padding(self.trace.producers[number])) is not None:
            high_and_wide = (pads[2:4] if axis == 0 else pads[:2]) or (0, 0)
            before, after = before + high_and_wide[0], after + high_and_wide[1]
            number = _source(self.trace, number)
        return before, size - before - after

    def _plan_split(self, number: int, axis: Axis, factor: int, start: int) -> None:
        found = self._windows(number)
        assert found is not None
        high, wide = self.trace.shape(number)[2:4]
        split = self.splits.get(number, Split(found, (high, wide)))
        split = replace(
            split,
            factors=_with(split.factors, axis, factor),
            starts=_with(split.starts, axis, start),
        )
        self.splits[number] = split
        self._require_inside(split, number, axis)

    def _require_inside(self, split: Split, number: int, axis: Axis) -> None:
        """Refuse a finer position whose whole window lies outside of the picture."""
        before, own = self._unpadded(axis, _source(self.trace, number))
        first_end = split.first(axis) + split.windows[axis].extent
        if first_end <= before or split.last(axis) >= before + own:
            raise CannotDilate(
                f"has {own} cells before and {split.sizes[axis]} after a stride of"
                f" {split.windows[axis].stride}: finer ones would lie outside of the picture",
                self._module(number),
            )

    def _order(self) -> tuple[tuple[tuple[Axis, int], ...], int]:
        """The splits on the way to each value, which must be the same on all ways to it.

        Raises:
            CannotDilate: a value is made from others of which not all are split alike.
        """
        trace = self.trace
        ways: dict[int, tuple[tuple[Axis, int, int], ...]] = {}
        for number in self._leading_to_logits():
            sources = _data(trace, number)
            before = {ways[source] for source in sources}
            if len(before) > 1:
                raise CannotDilate(
                    "is made from coarser and finer features at once", self._module(number)
                )
            way = before.pop() if before else ()
            ways[number] = (*way, *_axes(self.splits[number])) if number in self.splits else way
        way = ways[self.features]
        if ways[self.logits] != way:
            raise CannotDilate("strides between the features and the logits")
        undisturbed, unit = 0, 1
        for _, factor, place in way:
            undisturbed, unit = undisturbed + unit * place, unit * factor
        return tuple((axis, factor) for axis, factor, _ in way), undisturbed

    def _leading_to_logits(self) -> list[int]:
        ends = {self.features, self.logits}
        before = ends.union(*map(self.trace.leading_to, ends))
        return sorted(before & self.trace.from_input)

    def _module(self, number: int) -> str:
        """The innermost module that makes a value: called before it was there, and returned after.

        Where hooks see no arguments but keywords, the next module that returns is the best guess.
        """
        entered = {
            (site.owner, site.call): n for site, n in self.trace.sites if site.kind == "input"
        }
        found = [
            (entered.get((site.owner, site.call), 0) >= number, n, -site.owner.count("."), site)
            for site, n in self.trace.sites
            if site.kind == "output" and isinstance(site.owner, str) and n >= number
        ]
        return str(min(found, key=lambda entry: entry[:3])[3].owner) if found else ""


def _axes(split: Split) -> Iterator[tuple[Axis, int, int]]:
    """The axes that are split, by which factor, and which of the views is the undisturbed one."""
    for axis in (0, 1):
        if split.factors[axis] > 1:
            yield axis, split.factors[axis], -split.starts[axis] // split.steps[axis]


def _with(pair: Pair, axis: Axis, value: int) -> Pair:
    return (value, pair[1]) if axis == 0 else (pair[0], value)


def _calls(trace: Trace) -> dict[int, Call]:
    """Which call of which operation made a value."""
    counts: Counter[str] = Counter()
    calls: dict[int, Call] = {}
    for number, operation in enumerate(trace.producers):
        if operation is not None and operation.name in NAMES and trace.places[number] == 0:
            calls[number] = operation.name, counts[operation.name]
            counts[operation.name] += 1
    return calls


def _number(trace: Trace, tap: Tap) -> int:
    """The value that is picked up; if it is changed in place later, what it then becomes."""
    found = [number for site, number in trace.sites if site == tap.site]
    if not found:
        raise CannotDilate("is not where the head was found")
    return found[0] if tap.copy else trace.number(trace.tensors[found[0]])


def _data(trace: Trace, number: int) -> list[int]:
    """The values that depend on the picture and that a value is made from."""
    operation = trace.producers[number]
    return [] if operation is None else [n for n in operation.inputs() if n in trace.from_input]


def _source(trace: Trace, number: int) -> int:
    return _data(trace, number)[0]


_PADDINGS = ("constant_pad_nd", "reflection_pad2d", "replication_pad2d")


def _padding(operation: Operation | None) -> tuple[int, ...] | None:
    """Left, right, top, bottom of an explicit padding."""
    if operation is None or operation.name not in _PADDINGS:
        return None
    return tuple(operation.args[1])
