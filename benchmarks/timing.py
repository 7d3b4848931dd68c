"""Time several contenders against each other in one run, so that a busy machine is fair to all."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Contender = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """A ratio of speeds, and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, base: Sequence[float], times: Sequence[float]) -> Ratio:
        """The median over the rounds of `base` over `times`, both in seconds.

        What slows a whole round, as a neighbour on the machine does, cancels. The interval comes
        from drawing the rounds anew, with a fixed seed (the bootstrap).
        """
        each = np.asarray(base) / np.asarray(times)
        draws = np.random.default_rng(0).integers(len(each), size=(2000, len(each)))
        low, high = np.quantile(np.median(each[draws], axis=1), (0.025, 0.975))
        return cls(float(np.median(each)), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Timings:
    """The seconds that each contender took in each round: the rounds of all are paired."""

    seconds: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        """The median seconds of one contender."""
        return statistics.median(self.seconds[name])

    def fastest(self, *among: str) -> str:
        """The contender with the least median, of these or of all."""
        return min(among or self.seconds, key=self.median)

    def speed(self, name: str, over: str) -> Ratio:
        """How fast `name` is, measured by `over`: 0.5 means that it takes twice the time."""
        return Ratio.of(self.seconds[over], self.seconds[name])


def race(
    contenders: Mapping[str, Contender],
    *,
    seconds: float,
    rounds: int = 9,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Let every contender run once a round, in a new order each round.

    Args:
        contenders: what to time, by name. What they return is thrown away.
        seconds: start new rounds for so long.
        rounds: but run this many at least.
        warm_up: calls of each contender before the first round.
        clock: gives the time in seconds.
    """
    for run in contenders.values():
        for _ in range(warm_up):
            run()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    end = clock() + seconds
    for number in itertools.count():
        if number >= rounds and clock() >= end:
            break
        shuffle(order)
        for name in order:
            start = clock()
            contenders[name]()
            taken[name].append(clock() - start)
    return Timings({name: tuple(times) for name, times in taken.items()})
