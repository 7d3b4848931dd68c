"""What a map costs, in forward passes: both are timed in turn, so that a busy machine is fair."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping

Run = Callable[[], object]


def race(
    forward: Run,
    contenders: Mapping[str, Run],
    *,
    rounds: int,
    seed: int = 0,
    on_step: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, dict[str, float]]:
    """Time every contender once a round, in a new order each round, a forward pass before each.

    All of them are to have run once before.

    Args:
        forward: the bare forward pass.
        contenders: what to time, by name.
        rounds: how many.
        seed: of the order.
        on_step: called after each contender.
        clock: gives the time in seconds.

    Returns:
        The median seconds of the forward pass, and of each contender.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    bare: list[float] = []
    order, shuffle = list(contenders), random.Random(seed).shuffle  # noqa: S311
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            bare.append(_seconds(forward, clock))
            taken[name].append(_seconds(contenders[name], clock))
            on_step()
    return statistics.median(bare), {n: statistics.median(times) for n, times in taken.items()}


def _seconds(run: Run, clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start
