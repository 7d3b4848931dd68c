"""Figures with bootstrap intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seewhy.errors import InputError
from seewhy.metrics import estimate
from seewhy.metrics.estimate import Estimate


def test_a_mean_and_its_interval() -> None:
    """For many pictures the interval is that of the normal distribution."""
    values = np.repeat([0.0, 1.0], [300, 700])
    found = Estimate.of_mean(values, draws=4000)
    spread = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert found.value == pytest.approx(0.7)
    assert found.n == 1000
    assert found.low == pytest.approx(0.7 - spread, abs=0.003)
    assert found.high == pytest.approx(0.7 + spread, abs=0.003)
    assert str(found).startswith("70.0 % (67.")


def test_the_same_seed_gives_the_same() -> None:
    values = np.arange(10.0)
    assert Estimate.of_mean(values) == Estimate.of_mean(values)
    assert Estimate.of_mean(values, seed=1) != Estimate.of_mean(values)


def test_draws_do_not_depend_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(10.0)
    whole = Estimate.of_mean(values)
    monkeypatch.setattr(estimate, "_AT_ONCE", 70)
    assert Estimate.of_mean(values) == whole


def test_against_resampled_pictures() -> None:
    """Weights say how often a picture counts: the maximum is over those that count at all."""
    values = np.array([1.0, 5.0, 9.0])
    found = Estimate.of(lambda weights: np.where(weights > 0, values, 0).max(1), 3, draws=6000)
    # the 9 is absent in (2/3)^3 = 30 % of the draws, both 5 and 9 in 1/27 = 3.7 %
    assert (found.value, found.low, found.high) == (9.0, 1.0, 9.0)
    narrow = Estimate.of(
        lambda weights: np.where(weights > 0, values, 0).max(1), 3, draws=6000, confidence=0.9
    )
    assert narrow.low == 5.0


def test_one_picture_has_no_interval() -> None:
    one = Estimate.of_mean([0.5])
    assert one.value == 0.5
    assert math.isnan(one.low)
    assert one.to_json() == {"value": 0.5, "low": None, "high": None, "confidence": 0.95, "n": 1}


def test_nothing_to_estimate() -> None:
    with pytest.raises(InputError, match=r"expected at least one picture, .* got 0 pictures"):
        Estimate.of_mean([])
    with pytest.raises(InputError, match="got 2 pictures, 1"):
        Estimate.of(lambda weights: weights.sum(1), 2, confidence=1)
