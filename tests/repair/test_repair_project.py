"""Directions taken out of pooled features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles.repair import least_squares, without_direction

from seewhy.repair.project import RIDGE, Linear, difference_of_means, erased, undone


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


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_undoing_is_the_least_squares_of_all_pictures(share: float) -> None:
    before = POOLED[:80]
    after = before + 2 * torch.eye(5)[0] + torch.eye(5)[1] * _random(80, 1, seed=8) * 3
    mended = undone(LAYER, before, after, POOLED, share)
    parts = (each.double().numpy() for each in (before, after, POOLED))
    change, shift = least_squares(*parts, share, RIDGE)
    moved = POOLED.numpy() @ (np.eye(5) + change).T + shift
    expected = moved @ LAYER.weight.numpy().T + LAYER.bias.numpy()
    np.testing.assert_allclose(mended(POOLED).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_what_adds_nothing_changes_nothing() -> None:
    mended = undone(LAYER, POOLED[:50], POOLED[:50], POOLED)
    torch.testing.assert_close(mended.weight, LAYER.weight)
    torch.testing.assert_close(mended.bias, LAYER.bias)


def test_what_is_always_the_same_and_large_is_undone() -> None:
    """Along an axis on which pictures hardly vary, as a projection would."""
    plain = POOLED * torch.tensor([0.01, 1.0, 1.0, 1.0, 1.0])
    after = plain + 9 * torch.eye(5)[0]
    mended = undone(LAYER, plain, after, plain)
    torch.testing.assert_close(mended(after), LAYER(plain), rtol=0, atol=0.1)
    torch.testing.assert_close(mended(plain), LAYER(plain), rtol=0, atol=0.1)


def test_many_small_changes_are_undone_where_pictures_do_not_vary() -> None:
    quiet = torch.tensor([0.1, 0.1, 0.1, 1.0, 1.0])
    plain = POOLED * quiet
    letters = torch.cat([_random(200, 3, seed=9), torch.zeros(200, 2)], 1)
    mended = undone(LAYER, plain, plain + letters, plain)
    was, now = (
        (layer(plain + letters) - LAYER(plain)).square().mean() for layer in (LAYER, mended)
    )
    assert now < 0.1 * was
