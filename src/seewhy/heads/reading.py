"""Walk back from the logits to the pooling, turning each operation into a step of the head."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seewhy.heads.affine import KINDS, Computed, Parameter, Step
from seewhy.heads.pooling import SILENT, Pooling, extents, find_pooling
from seewhy.heads.positions import require_positions
from seewhy.heads.refusals import Refusal, reason
from seewhy.observe import Operation, Trace, Value

# From the operation and the width of its result to the slot that holds the result.
Rule = Callable[["Reading", Operation, int], int]


@dataclass
class Reading:
    """A walk from the logits back to the pooling: what it has found so far.

    Attributes:
        trace: the observed pass.
        batch: the number of pictures in it.
        rules: how each operation becomes a step.
        pooling: the pooling, once the walk has come to it.
        steps: the head's steps from the pooled features on.
        widths: the length of the vector in each slot.
        path: the operations from the pooling to the logits, in order.
    """

    trace: Trace
    batch: int
    rules: Mapping[str, Rule]
    pooling: Pooling | None = None
    steps: list[Step] = field(default_factory=list)
    widths: list[int] = field(default_factory=lambda: [0])
    path: list[str] = field(default_factory=list)
    _visited: list[str] = field(default_factory=list)
    _slots: dict[int, int] = field(default_factory=dict)

    def read(self, logits: int) -> None:
        """Read the head that leads to the value `logits`.

        Raises:
            Refusal: the head is of no kind that has an exact map.
        """
        try:
            last = self.slot(logits)
            if self.pooling is None:
                raise Refusal("pools no features")
            _require_affine(self.steps, self.spread(last, self.width(logits)))
        except Refusal as refusal:
            seen = [name for name in self._visited if name not in SILENT][:6]
            looks = f" (it ends in {' -> '.join(reversed(seen))})" if seen else ""
            raise Refusal(f"{refusal}{looks}", refusal.fix) from None

    def slot(self, number: int) -> int:
        """The slot that holds a value, reading what leads to it first."""
        if number not in self._slots:
            self._slots[number] = self._read(number)
        return self._slots[number]

    def add(self, width: int, step: Step) -> int:
        """Append a step; its output's slot."""
        self.steps.append(step)
        self.widths.append(width)
        return len(self.steps)

    def spread(self, slot: int, width: int) -> int:
        """The slot, or one that holds its single number `width` times, as broadcasting does."""
        if self.widths[slot] != 1 or width == 1:
            return slot
        return self.add(width, Step("spread", (slot,), number=float(width)))

    def is_data(self, argument: Any) -> bool:
        """Whether an argument depends on the model's input."""
        return isinstance(argument, Value) and argument.number in self.trace.from_input

    def weight(self, argument: Any) -> Any:
        """A live recipe for an argument that depends on the model's parameters only."""
        if isinstance(argument, tuple):
            return tuple(self.weight(part) for part in argument)
        if not isinstance(argument, Value):
            return argument
        name, made_by = (
            self.trace.names.get(argument.number),
            self.trace.producers[argument.number],
        )
        if name is not None:
            return Parameter(name)
        if made_by is None:
            return self.trace.tensors[argument.number]
        keywords = {key: self.weight(value) for key, value in made_by.kwargs.items()}
        recipe = Computed(made_by.func, self.weight(made_by.args), keywords)
        if self.trace.producers.count(made_by) == 1:
            return recipe
        return Computed(operator.getitem, (recipe, self.trace.places[argument.number]))

    def is_vector(self, number: int) -> bool:
        """Whether a value holds one vector a picture, axes of extent one aside."""
        return len(extents(self.trace.shape(number), self.batch)) <= 1

    def width(self, number: int) -> int:
        """The length of the vector that each picture has in a value."""
        return math.prod(self.trace.shape(number)) // self.batch

    def between(self, slot: int, source: int) -> list[Step]:
        """The steps that lead to a slot, but for those that lead to the slot `source` too."""
        reached = self._leading_to(slot) - self._leading_to(source)
        return [self.steps[reached_slot - 1] for reached_slot in sorted(reached)]

    def _leading_to(self, slot: int) -> set[int]:
        found = {slot} - {0}
        for source in self.steps[slot - 1].inputs if slot else ():
            found |= self._leading_to(source)
        return found

    def _read(self, number: int) -> int:
        operation = self.trace.producers[number]
        if operation is None:
            raise Refusal("reads the model's input without pooling any features")
        self._visited.append(operation.name)
        slot = self._apply(operation, number)
        self.path.append(operation.name)
        return slot

    def _apply(self, operation: Operation, number: int) -> int:
        pooling = find_pooling(self.trace, operation, self.batch)
        if pooling is not None and self._is_single(pooling):
            return self._pooled_again(pooling.features)
        if pooling is not None:
            return self._begin(pooling)
        if self.trace.places[number] > 0:
            raise Refusal(f"uses a by-product of {operation.name}")
        rule = self.rules.get(operation.name)
        if rule is None:
            raise Refusal(reason(operation))
        if not self.is_vector(number):
            shape = self.trace.shape(number)
            raise Refusal(f"has values of shape {shape} after which it no longer pools")
        return rule(self, operation, self.width(number))

    def _is_single(self, pooling: Pooling) -> bool:
        shape = self.trace.shape(pooling.features)
        return math.prod(shape[axis] for axis in pooling.axes) == 1

    def _pooled_again(self, features: int) -> int:
        """What was pooled before is its own mean; a grid of one position has no map."""
        if not self._is_pooled(features):
            raise Refusal("pools a feature grid of a single position", "try larger pictures")
        return self.slot(features)

    def _is_pooled(self, number: int) -> bool:
        """Whether a pooling leads to a vector, by operations that a head may have."""
        operation = self.trace.producers[number]
        if operation is None or not self.is_vector(number):
            return False
        pooling = find_pooling(self.trace, operation, self.batch)
        if pooling is not None and not self._is_single(pooling):
            return True
        sources = [n for n in operation.inputs() if n in self.trace.from_input]
        return operation.name in self.rules and any(map(self._is_pooled, sources))

    def _begin(self, pooling: Pooling) -> int:
        if self.pooling not in (None, pooling):
            raise Refusal("combines several pooled feature maps")
        require_positions(self.trace, pooling, self.batch)
        shape = self.trace.shape(pooling.features)
        self.pooling = pooling
        self.widths[0] = (
            math.prod(extent for axis, extent in enumerate(shape) if axis not in pooling.axes)
            // self.batch
        )
        return 0


def _require_affine(steps: Sequence[Step], slot: int) -> None:
    """Powers and roots may only feed a frozen scale; met elsewhere, the head is not affine."""
    if slot == 0:
        return
    step = steps[slot - 1]
    if KINDS[step.kind].pull_back is None:
        raise Refusal(reason(step.kind))
    frozen = step.kind in {"times_frozen", "over_frozen"}
    for source in step.inputs[:1] if frozen else step.inputs:
        _require_affine(steps, source)
