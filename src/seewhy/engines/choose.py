"""Which engine is the fastest here? Each is timed on the user's own pictures for a moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from seewhy import evidence
from seewhy.engines.engine import TOLERANCES, Engine, Order
from seewhy.engines.quantised import kept
from seewhy.errors import ModelError, SeewhyError
from seewhy.heads import Seen

KEPT = 0.95  # of the pictures have to be decided as in float32, by an engine of integers
SECONDS = 1.0  # for all engines together, after one warming pass each
LEFT_OUT = {"compile": "compiling takes up to a minute; name it to use it"}


@dataclass(frozen=True)
class Trial:
    """How one engine did.

    Attributes:
        engine: its name.
        speed: pictures per second, the network alone; None if it was not timed.
        certificate: the largest deviation of evidence and bias from a logit, on the example.
        left_out: why it cannot be chosen, or None.
    """

    engine: str
    speed: float | None = None
    certificate: float | None = None
    left_out: str | None = None

    def __str__(self) -> str:
        if self.speed is None:
            return f"{self.engine}: left out, {self.left_out}"
        why = "" if self.left_out is None else f"; left out, {self.left_out}"
        return f"{self.engine}: {self.speed:.0f} pictures/s, off by {self.certificate:.0e}{why}"


@dataclass(frozen=True)
class Choice:
    """The engine that was chosen, and how all of them did, the chosen one first."""

    engine: Engine
    trials: tuple[Trial, ...]


def choose(order: Order, engines: Mapping[str, object], seconds: float = SECONDS) -> Choice:
    """Time engines on the example, and take the fastest whose maps add up.

    Args:
        order: what is wanted of them.
        engines: their makers, by name.
        seconds: how long to time.

    Raises:
        ModelError: none can be used.
    """
    made, trials = _made(order, engines)
    for name, engine in made.items():
        trials[name] = _warm(order, engine)
    usable = {name: each for name, each in made.items() if trials[name].certificate is not None}
    for name, taken in _timed(order, usable, seconds).items():
        trials[name] = replace(trials[name], speed=len(order.example) / taken)
    ranked = sorted(trials.values(), key=lambda t: (t.left_out is not None, -(t.speed or 0)))
    if ranked[0].left_out is not None:
        raise ModelError(
            "engine auto",
            expected=f"one engine for {order.precision} whose maps add up",
            got="; ".join(map(str, ranked)),
            fix='leave the engine out, or choose the precision "float32"',
        )
    return Choice(made[ranked[0].engine], tuple(ranked))


def _made(
    order: Order, engines: Mapping[str, object]
) -> tuple[dict[str, Engine], dict[str, Trial]]:
    made, trials = {}, {}
    for name, make in engines.items():
        try:
            if name in LEFT_OUT:
                trials[name] = Trial(name, left_out=LEFT_OUT[name])
            elif callable(make):
                made[name] = make(order)
        except SeewhyError as refusal:
            trials[name] = Trial(name, left_out=str(refusal))
    return made, trials


def _warm(order: Order, engine: Engine) -> Trial:
    """A first pass, and whether its maps add up."""
    try:
        seen = engine(order.example)
        deviation = _deviation(order, seen)
    except SeewhyError as refusal:
        return Trial(engine.name, left_out=str(refusal))
    return Trial(engine.name, certificate=deviation, left_out=_why_not(order, seen, deviation))


def _why_not(order: Order, seen: Seen, deviation: float) -> str | None:
    """Why an engine that runs is left out: its maps do not add up, or it decides differently."""
    tolerance = TOLERANCES[order.precision]
    if not deviation <= tolerance:
        return f"rounding explains {tolerance:.0e}"
    count = len(order.example)
    same = kept(order, seen) if order.precision == "int8" else count
    return None if same >= KEPT * count else f"{same} of {count} pictures keep their top-1"


@torch.no_grad()
def _deviation(order: Order, seen: Seen) -> float:
    """The largest certificate of the five likeliest classes; a head with a plan is not asked."""
    if order.head.plan is not None:
        return 0.0
    target, ids = seen.logits.topk(min(5, seen.logits.shape[1]))
    rows, bias = order.head.rows(order.model, seen.features, ids)
    maps = evidence.evidence_maps(rows, seen.features.to(rows.dtype))
    scale = evidence.logit_scale(seen.logits)
    return float(evidence.certificate(maps, bias.expand(ids.shape), target, scale).max())


def _timed(order: Order, engines: Mapping[str, Engine], seconds: float) -> dict[str, float]:
    """The shortest time each took, taking turns: what else the machine does is no part of it."""
    best = dict.fromkeys(engines, float("inf"))
    end = time.perf_counter() + seconds
    while engines:
        for name, engine in engines.items():
            start = time.perf_counter()
            engine(order.example)
            best[name] = min(best[name], time.perf_counter() - start)
        if time.perf_counter() >= end:
            break
    return best
