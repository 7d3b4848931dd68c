"""A tail made affine: what the picture decided is held, and everything else is linear.

Through the recorded operations goes a second value beside the real one, the probe. The real
values tell the weights, see `held_rules`: which position was the maximum, what attention looked at,
by how much a norm divides. With these held, the operations are affine, and the probe goes through
them. For features as probe the logits come out; for zeros, the bias; the gradient gives each
position's row.

An operation without a rule leaves no probe; where one comes to the logits without, the tail has
no such form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from seewhy.heads.channels import Channels
from seewhy.heads.refusals import Refusal, reason
from seewhy.heads.tail import Tail
from seewhy.observe import Operation, Value


@dataclass(frozen=True)
class Held:
    """What goes with a value that depends on the features.

    Attributes:
        probe: its value for the probe; None where it is not affine in it.
        degree: the power of the features that it is: 1, or that of a power mean under way.
        is_clamped: whether it was clamped, which only a power mean may do.
        why: the operation that ended the probe.
    """

    probe: Tensor | None
    degree: float = 1.0
    is_clamped: bool = False
    why: Operation | None = None

    @property
    def is_plain(self) -> bool:
        """Whether any affine operation may follow."""
        return self.probe is not None and self.degree == 1.0 and not self.is_clamped

    def affine(self) -> Tensor:
        """The probe of what is affine in it."""
        assert self.probe is not None, "only what is affine in the probe gets here"
        return self.probe


@dataclass
class Holding:
    """A probe on its way through a tail.

    Attributes:
        tail: the recorded operations.
        channels: which axes of their values hold channels.
        batch: the number of pictures.
        rules: what becomes of the probe in each operation, by its name; others end it.
        gates: whether activations and products are held too, as attention blocks need.
        used: what was held on the way, in words.
        values: what goes with each value; those that are held have nothing.
    """

    tail: Tail
    channels: Channels
    batch: int
    rules: Mapping[str, Rule]
    gates: bool = False
    used: dict[str, None] = field(default_factory=dict)
    values: dict[int, Held] = field(default_factory=dict)

    def logits(self, probes: Mapping[int, Tensor]) -> Tensor:
        """The logits for the probe.

        Args:
            probes: what is set in place of the features, by the number of the value.

        Raises:
            Refusal: the logits are not affine in it.
        """
        self.values = {number: Held(probe) for number, probe in probes.items()}
        for operation, results in self.tail.program_from(frozenset(probes)):
            outcome = self._after(operation)
            for number, place in results:
                if place < len(outcome) and (held := outcome[place]) is not None:
                    self.values[number] = held
        last = self.values.get(self.tail.logits)
        if last is None or not last.is_plain:
            raise Refusal(_why(last))
        return last.affine()

    def of(self, argument: Any) -> Held | None:
        """What goes with an argument; None if it does not depend on the probe."""
        return self.values.get(argument.number) if isinstance(argument, Value) else None

    def real(self, argument: Any) -> Any:
        """The real value of an argument."""
        return self.tail.value(argument.number) if isinstance(argument, Value) else argument

    def inputs(self, operation: Operation) -> list[Held]:
        """What goes with the arguments that depend on the probe."""
        return [self.values[n] for n in operation.inputs() if n in self.values]

    def with_probes(self, operation: Operation) -> list[Tensor]:
        """The operation's results for the probes of its arguments."""
        given = {n: h.probe for n, h in self.values.items() if h.probe is not None}
        return self.tail.run(operation, given)

    def _after(self, operation: Operation) -> list[Held | None]:
        inputs = self.inputs(operation)
        if not inputs:
            return []
        rule = self.rules.get(operation.name)
        outcome = rule(self, operation) if rule else None
        return ended(self, operation) if outcome is None else outcome


Outcome = list[Held | None] | None
Rule = Callable[[Holding, Operation], Outcome]


def ended(holding: Holding, operation: Operation) -> list[Held | None]:
    """The probe goes no further."""
    first = next((h.why for h in holding.inputs(operation) if h.why), operation)
    return [Held(None, why=first)] * 4


def _why(last: Held | None) -> str:
    if last is None:
        return "gives logits that the picture decides by weights alone"
    if last.why is None:
        return "pools by a power or an exponential without its inverse"
    return reason(last.why)
