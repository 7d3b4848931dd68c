from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
from benchmarks.timing import Ratio, Timings, race
from hypothesis import given
from hypothesis import strategies as st


class Clock:
    """A clock that only moves when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def worker(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes the given times one after the other, then the last one for ever."""
        left = list(seconds)

        def work() -> None:
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


def test_each_call_is_timed_on_its_own() -> None:
    clock = Clock()
    contenders = {"fast": clock.worker("fast", 0.25), "slow": clock.worker("slow", 2.0)}
    timings = race(contenders, seconds=0, rounds=3, clock=clock)
    assert timings.seconds == {"fast": (0.25,) * 3, "slow": (2.0,) * 3}
    assert timings.fastest() == "fast"
    assert timings.fastest("slow") == "slow"


def test_warm_up_is_left_out() -> None:
    clock = Clock()
    work = clock.worker("a", 100.0, 50.0, 1.0)
    assert race({"a": work}, seconds=0, rounds=2, warm_up=2, clock=clock).seconds == {"a": (1, 1)}


def test_rounds_are_interleaved_and_no_order_is_kept() -> None:
    clock = Clock()
    names = "abc"
    contenders = {name: clock.worker(name, 1.0) for name in names}
    race(contenders, seconds=0, rounds=20, warm_up=0, clock=clock)
    rounds = ["".join(clock.log[i : i + 3]) for i in range(0, 60, 3)]
    assert {"".join(sorted(each)) for each in rounds} == {names}
    assert len(set(rounds)) > 3


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 4), (10.0, 4), (11.0, 4), (16.5, 6)])
def test_the_budget_and_the_least_number_of_rounds(seconds: float, expected: int) -> None:
    clock = Clock()
    contenders = {"a": clock.worker("a", 1.0), "b": clock.worker("b", 2.0)}
    timings = race(contenders, seconds=seconds, rounds=4, warm_up=0, clock=clock)
    assert len(timings.seconds["a"]) == len(timings.seconds["b"]) == expected


def test_speed_is_the_median_of_what_each_round_gave() -> None:
    """By hand: 1/4, 1/2, 1/2, 1/2, 91/2; their median is 1/2, the ratio of the means 9.5."""
    timings = Timings({"bare": (1.0, 1.0, 1.0, 1.0, 91.0), "maps": (4.0, 2.0, 2.0, 2.0, 2.0)})
    assert timings.median("bare") == 1.0
    assert timings.speed("maps", over="bare").value == 0.5
    assert timings.speed("bare", over="maps").value == 2.0


def test_it_is_not_the_ratio_of_two_medians_of_different_rounds() -> None:
    """By hand: rounds give 2, 1/2, 2, while both medians are 2, from different rounds."""
    timings = Timings({"bare": (2.0, 2.0, 4.0), "maps": (1.0, 4.0, 2.0)})
    assert timings.median("bare") == timings.median("maps") == 2.0
    assert timings.speed("maps", over="bare").value == 2.0


def test_a_steady_machine_leaves_no_doubt_and_an_unsteady_one_does() -> None:
    steady = Timings({"bare": (1.0,) * 9, "maps": (2.0,) * 9}).speed("maps", over="bare")
    assert steady == Ratio(0.5, 0.5, 0.5)
    noisy = Timings({"bare": (1.0, 2.0, 3.0) * 3, "maps": (2.0,) * 9}).speed("maps", over="bare")
    assert noisy.low < noisy.value < noisy.high


def test_rounds_stay_paired() -> None:
    """What slows a whole round down slows both, and leaves their ratio alone."""
    times = (1.0, 5.0, 2.0, 9.0, 3.0)
    speed = Timings({"a": times, "b": tuple(2 * t for t in times)}).speed("b", over="a")
    assert speed == Ratio(0.5, 0.5, 0.5)


@given(st.lists(st.floats(0.001, 10.0), min_size=1, max_size=30))
def test_the_interval_lies_within_what_was_seen(times: list[float]) -> None:
    speed = Timings({"a": tuple(times), "one": (1.0,) * len(times)}).speed("a", over="one")
    assert 1 / max(times) * 0.999 <= speed.low <= speed.high <= 1 / min(times) * 1.001
    assert speed.value == pytest.approx(statistics.median(1 / time for time in times))


def test_a_ratio_as_text() -> None:
    assert str(Ratio(0.98765, 0.97, 1.0)) == "0.988 (0.970 to 1.000)"
