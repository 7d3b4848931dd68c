"""Find where a head begins that no fixed program of affine steps can tell.

From the logits backwards, the first value is looked for that every way goes through, that holds
positions of the picture, and on whose positions the logits depend. What follows it is the tail.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn
from torch.nn import functional as F

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
from seewhy.heads.tail import LAYER_NORM, SCALES, Recording, Tail, recording
from seewhy.heads.tail_evidence import (
    Plan,
    Reach,
    reach,
    require_rerun,
    shares_carried,
    spread,
    tail_evidence,
)
from seewhy.heads.verify import verified
from seewhy.observe import Trace, copied

_LEARNED = frozenset("convolution mm addmm bmm baddbmm _native_multi_head_attention".split())
_PICKING = frozenset("select slice index unbind split split_with_sizes".split())
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
    search = _Search(model, ending, args, kwargs)
    refusal = Refusal("has no features with positions that all of the logits come from")
    found = places(trace, ending)
    for place in found:
        try:
            is_all = search.is_all(place)
            if is_all is None:
                continue
            if search.is_long(place, trace):
                break
            if is_all:
                return search.first_that_holds(place, search.by_features(place))
            return search.first_that_holds(search.where_patches_carry(place, found), _BY_PATCHES)
        except Refusal as why:
            refusal = why
    branch = search.best_branch(branches(trace, ending))
    if branch is None:
        raise refusal
    return search.first_that_holds(branch, _BY_BRANCHES)


Plans = tuple[tuple[HeadKind, Plan], ...]

_BY_POOLING: Plans = (("pooled", Plan("held")),)
_TO_FIRST_ORDER: Plans = (("first-order", Plan("gradient")),)
_BY_PATCHES: Plans = (("none", Plan("held with gates")), ("none", Plan("gradient")))
_BY_BRANCHES: Plans = (
    ("none", Plan("held with gates", with_others=True)),
    ("none", Plan("gradient", with_others=True)),
)
_LONG = 100  # operations: then it is half of a network that makes a tail too long, else never
_MOST_TRIED = 40  # places on branches
_MOSTLY = 0.5  # of a logit that patches should carry


@dataclass(frozen=True, eq=False)
class _Search:
    """Looks at what follows a place, in one more pass for each, or for several at once."""

    model: nn.Module
    ending: Ending
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    known: dict[Tap, Tail] = field(default_factory=dict)

    def tail(self, place: Place) -> Tail:
        """What follows the place."""
        if place[0] not in self.known:
            self.record([place])
        return self.known[place[0]]

    def record(self, found: Sequence[Place]) -> Recording:
        """What follows each of several places, all from one pass."""
        args, kwargs = copied(self.args), copied(dict(self.kwargs))
        taps = [tap for tap, _, _ in found]
        seen = recording(self.model, taps, self.ending.tap, args, kwargs)
        self.known.update((tap, seen.tail(tap)) for tap in taps)
        return seen

    def is_all(self, place: Place) -> bool | None:
        """Whether the logits depend on its positions alone; None if on one token at most."""
        tail = self.tail(place)
        return self.is_all_of(place, reach(tail, [tail.features])[tail.features])

    def is_all_of(self, place: Place, how: Reach) -> bool | None:
        """The same, where it is known how they depend on it."""
        tail, layout = self.tail(place), place[1]
        within, rest = how.split(layout)
        touched = int((within > _NEGLIGIBLE * within.max()).sum())
        is_token = len(layout.spatial) < 2 and not _PICKING.isdisjoint(_names(tail))
        if not bool(within.any() or rest):
            raise Refusal("passes no gradient on to its features")
        if touched == 0 or (is_token and touched == 1):
            return None
        return bool(rest <= _NEGLIGIBLE * within.sum())

    def by_features(self, place: Place) -> Plans:
        """What to try where positions are all there is: attention leaves plain gradients little."""
        has_attention = any("softmax" in n or "attention" in n for n in _names(self.tail(place)))
        by_tokens: Plans = _BY_PATCHES[:1] if has_attention else ()
        return _BY_POOLING + by_tokens + _TO_FIRST_ORDER

    def first_that_holds(self, place: Place, plans: Plans) -> Head:
        """The head that begins there, by the first plan that can be verified."""
        tail, refusal = self.tail(place), Refusal("has no map")
        for kind, plan in plans:
            try:
                require_rerun(tail, place[1], plan)
                head = _head(kind, plan, tail, place, self.ending)
                return verified(self.model, head, self.args, self.kwargs, tail)
            except Refusal as why:
                refusal = why
        raise refusal

    def is_long(self, place: Place, trace: Trace) -> bool:
        """Whether the tail is most of the network: it has branches, then, that part early."""
        count = len(_names(self.tail(place)))
        every = trace.leading_to(self.ending.logits) & trace.from_input
        made_by = {trace.producers[number] for number in every}
        return count > _LONG and 2 * count > len(made_by)

    def best_branch(self, found: Iterator[Place]) -> Place | None:
        """Of the last places on each grid, the one that carries most; the finest of equals."""
        last: dict[int, Place] = {}
        for place, how in self.reached(list(itertools.islice(found, _MOST_TRIED))):
            positions = self.positions(place)
            if positions in last:
                continue
            with contextlib.suppress(Refusal):
                if self.is_all_of(place, how) is not None:
                    last[positions] = place
        return max(last.values(), key=lambda p: (self.carried(p), self.positions(p)), default=None)

    def reached(self, found: Sequence[Place]) -> Iterator[tuple[Place, Reach]]:
        """How the logits depend on each of several places: one pass and one gradient for all."""
        if not found:
            return
        seen = self.record(found)
        numbers = [seen.begun[tap][0] for tap, _, _ in found]
        hows = reach(seen.tail(next(iter(seen.begun))), numbers)
        for place, number in zip(found, numbers, strict=True):
            yield place, hows[number]

    def positions(self, place: Place) -> int:
        """How many positions the features there have."""
        tail, layout = self.tail(place), place[1]
        return math.prod(layout.read(tail.value(tail.features)).shape[2:])

    def where_patches_carry(self, last: Place, earlier: Iterator[Place]) -> Place:
        """The last place at which the patches carry most of the logits, or as much as they ever do.

        The deeper in the network, the more of it the class token has taken up already. Steps are
        doubled on the way back, for each costs a gradient; where the patches enter is always looked
        at. One pass tells of all.
        """
        found = [last, *earlier]
        steps = [0, *(2**power for power in range(len(found).bit_length())), len(found) - 1]
        tried = [found[step] for step in sorted({s for s in steps if s < len(found)})]
        best, most = last, 0.0
        for place, share in self.shares(tried):
            if share > most:
                best, most = place, share
            if most >= _MOSTLY:
                break
        return best

    def shares(self, tried: Sequence[Place]) -> Iterator[tuple[Place, float]]:
        """What the patches carry at each place: of the first at once, of the others together."""
        first, *others = tried
        yield first, self.carried(first)
        if not others:
            return
        seen = self.record(others)
        try:
            layouts = {seen.begun[tap][0]: layout for tap, layout, _ in others}
            longest = seen.tail(next(iter(seen.begun)))
            shares = shares_carried(longest, layouts, self.ending.batch)
            yield from zip(others, shares, strict=True)
        except Refusal:
            yield from ((place, self.carried(place)) for place in others)

    def carried(self, place: Place) -> float:
        """The share of the logits less their biases that lies in the patches, 0 to 1."""
        tail, layout = self.tail(place), place[1]
        logits = tail.value(tail.logits).reshape(self.ending.batch, -1)
        mixtures = F.one_hot(logits.topk(1).indices, logits.shape[1])
        try:
            maps, bias = tail_evidence(tail, layout, _BY_BRANCHES[0][1], mixtures)
        except Refusal:
            return 0.0
        evidence = maps.flatten(2).mean(2)
        left = logits.amax(1, keepdim=True) - bias - evidence
        return float((evidence.abs() / (evidence.abs() + left.abs())).mean())


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


def branches(trace: Trace, ending: Ending) -> Iterator[Place]:
    """The places that only some of the ways to the logits go by, the last first."""
    channels = channels_before(trace, ending.logits)
    learned = _learned(trace) & trace.leading_to(ending.logits)
    seen: set[Tap] = set()
    for number in sorted(learned - set(cuts(trace, ending.logits)), reverse=True):
        try:
            place = _place(channels, number, ending.batch)
        except Refusal:
            continue
        if place[0] not in seen and isinstance(place[0].site.owner, str):
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


def _head(kind: HeadKind, plan: Plan, tail: Tail, place: Place, ending: Ending) -> Head:
    tap, layout, _ = place
    plan = replace(plan, words=_words(plan, tail, layout))
    features = layout.read(tail.value(tail.features))
    return Head(
        kind=kind,
        num_classes=ending.count,
        channels=features.shape[1],
        grid=tuple(features.shape[2:]),
        certificate=float("nan"),
        activation=ending.activation,
        path=tuple(name for name in _names(tail) if name not in SILENT),
        steps=(),
        pooling="mean",
        features=tap,
        layout=layout,
        logits=ending.tap,
        plan=plan,
    )


def _names(tail: Tail) -> list[str]:
    return [operation.name for operation, _ in tail.program_from(frozenset({tail.features}))]


def _words(plan: Plan, tail: Tail, layout: Layout) -> str:
    """How the maps are made."""
    if plan.how == "gradient":
        part = " of one branch" if plan.with_others else ""
        norms = ", held: norms" if {LAYER_NORM, *SCALES} & {*_names(tail)} else ""
        return f"gradient of the head times features{part}{norms}"
    used = spread(tail, layout, plan).used
    if plan.how == "held":
        return f"class activation map, held: {', '.join(used)}" if used else _BY_POSITION
    part = " of one branch" if plan.with_others else ""
    held = f", held: {', '.join(used)}" if used else ""
    return f"gradient times tokens{part}{held}"


_BY_POSITION = "class activation map, each position with weights of its own"
