"""Find where a head begins that no fixed program of affine steps can tell.

From the logits backwards, the first value is looked for that every way goes through, that holds
positions of the picture, and on whose positions the logits depend. What follows it is the tail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from seewhy.capture import Tap
from seewhy.heads.channels import Channels, channels_before
from seewhy.heads.cuts import cuts
from seewhy.heads.head import Head, HeadKind
from seewhy.heads.layout import Layout
from seewhy.heads.places import (
    MOST_PREFIX_TOKENS,
    Place,
    best_place,
    exact_taps,
    is_picture,
    on_grid,
)
from seewhy.heads.pooling import SILENT, Pooling
from seewhy.heads.positions import origin, require_positions
from seewhy.heads.refusals import Refusal
from seewhy.heads.tail import Tail, recorded
from seewhy.heads.tail_evidence import Plan, reach, spread
from seewhy.heads.verify import verified
from seewhy.observe import Trace, copied

_LEARNED = frozenset("convolution mm addmm bmm baddbmm _native_multi_head_attention".split())
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Ending:
    """What is known of a pass's logits: their number, where they are picked up, what follows."""

    logits: int
    tap: Tap
    activation: str | None
    batch: int
    count: int


def tail_head(
    model: nn.Module,
    trace: Trace,
    ending: Ending,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Head:
    """The head that begins at the last features with positions, verified.

    Raises:
        Refusal: there is none.
    """
    refusal = Refusal("has no features with positions that all of the logits come from")
    for place in places(trace, ending):
        tail = recorded(model, place[0], ending.tap, copied(args), copied(dict(kwargs)))
        try:
            is_all = _is_all(tail, place[1])
        except Refusal as why:
            refusal = why
            continue
        if is_all is None:
            continue
        for kind, plan in _PLANS[is_all]:
            try:
                return verified(model, _head(kind, plan, tail, place, ending), args, kwargs)
            except Refusal as why:
                refusal = why
    raise refusal


_PLANS: Mapping[bool, tuple[tuple[HeadKind, Plan], ...]] = {
    True: (("pooled", Plan("held")), ("first-order", Plan("gradient"))),
    False: (("none", Plan("held with gates")), ("none", Plan("gradient"))),
}


def places(trace: Trace, ending: Ending) -> Iterator[Place]:
    """The places where features can be picked up, the last first."""
    channels = channels_before(trace, ending.logits)
    learned = _learned(trace)
    seen: set[Tap] = set()
    for number in _before_powers(trace, cuts(trace, ending.logits)):
        if number not in learned:
            return
        try:
            place = _place(channels, number, ending.batch)
        except Refusal:
            continue
        if place[0] not in seen:
            seen.add(place[0])
            yield place


def _before_powers(trace: Trace, numbers: list[int]) -> Iterator[int]:
    """The values, the last first, without those that a power mean or a log-sum-exp makes."""
    powered = None
    for number in reversed(numbers):
        operation = trace.producers[number]
        name = operation.name if operation else ""
        if operation and name in ("pow", "exp"):
            powered = operation.args[0].number
        elif not (number == powered and name in ("clamp", "clamp_min")):
            yield number


def _learned(trace: Trace) -> set[int]:
    """The values that weights of the model have gone into: the picture itself is no feature."""
    found: set[int] = set()
    for number in sorted(trace.from_input):
        operation = trace.producers[number]
        if operation is None:
            continue
        if operation.name in _LEARNED or not found.isdisjoint(operation.inputs()):
            found.add(number)
    return found


def _place(channels: Channels, number: int, batch: int) -> Place:
    trace = channels.trace
    shape, known = trace.shape(number), channels.of(number)
    axes = tuple(sorted(channels.positions(number, batch) - {0}))
    if not axes or shape[0] != batch or len(known) != 1:
        raise Refusal("has no positions")
    made_by = trace.producers[origin(trace, number)]
    if made_by is not None and made_by.name in ("_softmax", "sigmoid"):
        raise Refusal("holds probabilities")
    pooling = Pooling(number, axes, "mean")
    require_positions(trace, pooling, batch)
    tap, layout, number = best_place(trace, pooling, batch, exact_taps)
    if len(layout.spatial) < 2 and is_picture(trace):
        layout = on_grid(trace, layout, number, batch, MOST_PREFIX_TOKENS)
    return tap, layout, number


def _is_all(tail: Tail, layout: Layout) -> bool | None:
    """Whether the logits depend on the positions alone; None if they do on one token at most."""
    within, rest = reach(tail, layout)
    is_sequence = len(layout.spatial) < 2
    touched = int((within > _NEGLIGIBLE * within.max()).sum())
    if touched == 0 or (is_sequence and touched == 1):
        return None
    return bool(rest <= _NEGLIGIBLE * within.sum())


def _head(kind: HeadKind, plan: Plan, tail: Tail, place: Place, ending: Ending) -> Head:
    tap, layout, _ = place
    plan = replace(plan, words=_words(plan, tail, layout))
    features = layout.read(tail.value(tail.features))
    names = [op.name for op, _ in tail.program_from(frozenset({tail.features}))]
    return Head(
        kind=kind,
        num_classes=ending.count,
        channels=features.shape[1],
        grid=tuple(features.shape[2:]),
        certificate=float("nan"),
        activation=ending.activation,
        path=tuple(name for name in names if name not in SILENT),
        steps=(),
        pooling="mean",
        features=tap,
        layout=layout,
        logits=ending.tap,
        plan=plan,
    )


def _words(plan: Plan, tail: Tail, layout: Layout) -> str:
    """How the maps are made."""
    if plan.how == "gradient":
        return "gradient of the head times features"
    used = spread(tail, layout, plan).used
    if plan.how == "held":
        return f"class activation map, held: {', '.join(used)}" if used else _BY_POSITION
    return f"gradient times tokens, held: {', '.join(used)}"


_BY_POSITION = "class activation map, each position with weights of its own"
