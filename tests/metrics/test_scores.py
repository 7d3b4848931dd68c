"""Means, their intervals, and statistics of certificates."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from seewhy.metrics.faithfulness.completeness import completeness
from seewhy.metrics.scores import Scores, joined


def test_a_mean_and_its_interval() -> None:
    scores = Scores(np.array([1.0, 2, 3, 6, np.nan]))
    assert (scores.mean, scores.n) == (3, 4)
    low, high = scores.interval()
    assert 1 <= low < 3 < high <= 6
    assert scores.interval() == (low, high)
    narrow = scores.interval(0.5)
    assert low < narrow[0] < 3 < narrow[1] < high
    assert repr(scores) == f"Scores(3.000, {low:.3f} to {high:.3f}, 4 pictures)"
    assert scores.to_json() == {"mean": 3.0, "low": low, "high": high, "n": 4}


def test_the_interval_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = Scores(values).interval()
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        low, high = Scores(rng.random(40)).interval(0.9)
        held += low <= 0.5 <= high
    assert 0.83 <= held / 200 <= 0.95


def test_few_numbers() -> None:
    assert math.isnan(Scores(np.array([np.nan])).mean)
    assert all(map(math.isnan, Scores(np.array([1.0])).interval()))
    assert Scores(np.array([np.nan])).to_json() == {"mean": None, "low": None, "high": None, "n": 0}
    assert joined([Scores(np.ones(2)), Scores(np.zeros(3))]).values.tolist() == [1, 1, 0, 0, 0]


def explained(certificates: list[list[float]], **more: Any) -> Any:
    return SimpleNamespace(certificate=torch.tensor(certificates), tolerance=1e-5, **more)


def test_completeness_by_hand() -> None:
    found = completeness(explained(each) for each in ([[1e-7, 1e-6]], [[0.5, 1e-6], [2e-6, 3e-6]]))
    assert (found.n, found.worst) == (6, 0.5)
    assert (found.exact, found.median) == pytest.approx((5 / 6, 1.5e-6))
    assert math.isnan(found.residual)
    share = torch.tensor([[0.1, 0.3]])
    with_residual = completeness([explained([[0.0, 1.0]], residual_share=share)])
    assert (with_residual.residual, with_residual.worst_residual) == pytest.approx((0.2, 0.3))


def test_completeness_of_nothing_and_of_nan() -> None:
    found = completeness([])
    assert found.n == 0
    assert math.isnan(found.exact)
    assert found.to_json()["worst"] is None
    assert math.isnan(completeness([explained([[math.nan, 0.0]])]).worst)
    assert completeness([explained([[math.nan, 0.0]])]).exact == 0.5
