"""Directions taken out of pooled features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles.repair import without_direction

from seewhy.repair.project import Linear, difference_of_means, erased, of_changes


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


LAYER = Linear(_random(3, 5), _random(3, seed=1))
POOLED = _random(200, 5, seed=2) @ _random(5, 5, seed=3)
DIRECTION = _random(5, 1, seed=4)


def test_the_exact_direction_restores_every_decision() -> None:
    """Along x lies class 0, along y the artefact that speaks for it, and class 1 along z."""
    layer = Linear(torch.tensor([[1.0, 4.0, 0.0], [0.0, 0.0, 1.0]]), torch.zeros(2))
    plain = torch.tensor([[2.0, 0.0, 1.0], [1.0, 0.0, 2.0]])
    marked = plain + torch.tensor([0.0, 1.0, 0.0])
    assert layer(marked).argmax(1).tolist() == [0, 0]
    direction = difference_of_means(marked, plain)
    mended = erased(layer, direction, plain.mean(0))
    assert mended.weight.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    torch.testing.assert_close(mended(marked), layer(plain))


@pytest.mark.parametrize("whitened", [False, True])
def test_the_fold_is_what_each_picture_would_have_been_given(whitened: bool) -> None:
    covariance = torch.cov(POOLED.T) if whitened else None
    mean = POOLED.mean(0)
    mended = erased(LAYER, DIRECTION, mean, covariance)
    filter_ = DIRECTION[:, 0].double()
    if covariance is not None:
        wide = covariance.double()
        ridge = 0.01 * wide.diagonal().mean() * torch.eye(5, dtype=torch.float64)
        filter_ = torch.linalg.inv(wide + ridge) @ filter_
    parts = (LAYER.weight, LAYER.bias, POOLED, DIRECTION[:, 0], filter_, mean)
    expected = without_direction(*(each.double().numpy() for each in parts))
    np.testing.assert_allclose(mended(POOLED).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_the_mean_is_decided_as_before() -> None:
    mean = POOLED.mean(0)
    mended = erased(LAYER, DIRECTION, mean, torch.cov(POOLED.T))
    torch.testing.assert_close(mended(mean[None]), LAYER(mean[None]))


def test_nothing_along_a_direction_is_seen_any_more() -> None:
    both = torch.cat([DIRECTION, _random(5, 1, seed=6)], 1)
    mended = erased(LAYER, both, POOLED.mean(0), torch.cov(POOLED.T))
    for direction in both.T:
        torch.testing.assert_close(
            mended(POOLED + 7 * direction), mended(POOLED), rtol=0, atol=1e-4
        )


def test_a_whitened_filter_changes_features_less() -> None:
    wide = POOLED * torch.tensor([1.0, 1.0, 1.0, 1.0, 20.0])
    changes = [
        erased(Linear(torch.eye(5), torch.zeros(5)), DIRECTION, wide.mean(0), covariance)(wide)
        for covariance in (None, torch.cov(wide.T))
    ]
    plain, whitened = ((each - wide).square().sum() for each in changes)
    assert whitened < plain


def test_changes_are_found_strongest_first() -> None:
    before = POOLED
    sideways = torch.eye(5)[1] * _random(200, 1, seed=8) * 3
    after = before + 2 * torch.eye(5)[0] + sideways
    covariance = torch.eye(5)
    one = of_changes(before, after, covariance)
    torch.testing.assert_close(one[:, 0], (after - before).mean(0))
    two = of_changes(before, after, covariance, rank=2)
    assert two.shape == (5, 2)
    plane = torch.linalg.lstsq(two, torch.eye(5)[:, :2]).solution
    torch.testing.assert_close(two @ plane, torch.eye(5)[:, :2], rtol=0, atol=1e-4)
