"""The artefact taken out of pooled features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.repair import restoring, without_directions

from seewhy.errors import ModelError
from seewhy.repair.project import Linear, restored


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


LAYER = Linear(_random(3, 5), _random(3, seed=1))
POOLED = _random(400, 5, seed=2) @ _random(5, 5, seed=3)
SAME = torch.full((800,), 1 / 800)


def _marked(directions: torch.Tensor, size: float) -> torch.Tensor:
    """The pictures with an artefact along the directions (5, r), of a strength that varies."""
    return POOLED + size * _random(400, directions.shape[1], seed=7) @ directions.T


def test_by_hand_one_feature_is_read_a_fifth_as_much() -> None:
    """0 and 2 become 4 and 6: Cov(y, x) is 1, Var(x) is 5, and their means are 1 and 3."""
    plain = torch.tensor([[0.0], [2.0]])
    layer = Linear(torch.tensor([[5.0], [-10.0]]), torch.tensor([0.0, 1.0]))
    seen, wanted = torch.cat([plain, plain + 4]), torch.cat([plain, plain])
    mended = restored(layer, seen, wanted, torch.full((4,), 0.25), ridge=0)
    torch.testing.assert_close(mended.weight, torch.tensor([[1.0], [-2.0]]))
    torch.testing.assert_close(mended.bias, torch.tensor([2.0, -3.0]))


def test_by_hand_few_pictures_are_trusted_less() -> None:
    """One channel and four pictures: a ridge of 1/4 of the variance of what is wanted, 1."""
    plain = torch.tensor([[0.0], [2.0]])
    layer = Linear(torch.tensor([[1.0]]), torch.zeros(1))
    seen, wanted = torch.cat([plain, plain + 4]), torch.cat([plain, plain])
    mended = restored(layer, seen, wanted, torch.full((4,), 0.25))
    torch.testing.assert_close(mended.weight, torch.tensor([[1.25 / 5.25]]))
    torch.testing.assert_close(mended.bias, torch.tensor([1 - 3 * 1.25 / 5.25]))
    uneven = torch.tensor([0.4, 0.4, 0.1, 0.1])  # counts as 1 / 0.34 pictures
    mended = restored(layer, seen, wanted, uneven)
    variance_in = 0.4 * 1.8**2 + 0.4 * 0.2**2 + 0.1 * 2.2**2 + 0.1 * 4.2**2
    shared = 0.4 * -1.8 * -1 + 0.4 * 0.2 * 1 + 0.1 * 2.2 * -1 + 0.1 * 4.2 * 1
    expected = (shared + 0.34) / (variance_in + 0.34)
    torch.testing.assert_close(mended.weight, torch.tensor([[expected]]))


def test_what_the_artefact_alone_uses_is_not_read_any_more() -> None:
    """Along x lies class 0, along y the artefact that speaks for it, and class 1 along z."""
    layer = Linear(torch.tensor([[1.0, 4.0, 0.0], [0.0, 0.0, 1.0]]), torch.zeros(2))
    plain = torch.tensor([[2.0, 0.0, 1.0], [1.0, 0.0, 2.0]])
    marked = plain + torch.tensor([0.0, 1.0, 0.0])
    assert layer(marked).argmax(1).tolist() == [0, 0]
    both = torch.cat([plain, marked]), torch.cat([plain, plain]), torch.full((4,), 0.25)
    mended = restored(layer, *both, ridge=1e-9)
    torch.testing.assert_close(mended(marked), layer(plain))
    torch.testing.assert_close(mended(plain), layer(plain))
    torch.testing.assert_close(mended.weight[:, 1], torch.zeros(2))


@given(seed=st.integers(0, 10_000), ridge=st.sampled_from([0.001, 0.01, 1.0]))
def test_it_is_the_least_squares_map_of_what_is_seen(seed: int, ridge: float) -> None:
    seen, wanted = _random(30, 4, seed=seed), _random(30, 4, seed=seed + 1)
    layer = Linear(_random(3, 4, seed=seed + 2), _random(3, seed=seed + 3))
    weights = torch.rand(30, generator=torch.Generator().manual_seed(seed)) + 0.1
    weights = weights / weights.sum()
    mended = restored(layer, seen, wanted, weights, ridge)
    parts = (layer.weight, layer.bias, seen, wanted, weights)
    weight, bias = restoring(ridge, *(each.double().numpy() for each in parts))
    np.testing.assert_allclose(mended.weight.numpy(), weight, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(mended.bias.numpy(), bias, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 2])
def test_a_far_reaching_artefact_is_projected_out(rank: int) -> None:
    """The oblique projection along its directions, its filters whitened."""
    directions = _random(5, rank, seed=4)
    marked = _marked(directions, 1_000)
    seen, wanted = torch.cat([POOLED, marked]), torch.cat([POOLED, POOLED])
    mended = restored(LAYER, seen, wanted, SAME, ridge=0)
    parts = (LAYER.weight, LAYER.bias, POOLED, directions)
    expected = without_directions(*(each.double().numpy() for each in parts))
    np.testing.assert_allclose(mended(POOLED).numpy(), expected, rtol=0, atol=0.05)
    assert (mended.weight @ directions).abs().max() < 1e-3 * (LAYER.weight @ directions).abs().max()


def test_a_far_reaching_artefact_is_projected_out_as_well_when_few_pictures_are_trusted() -> None:
    """The ridge is of what is wanted, so that no artefact is strong enough to be kept by it."""
    directions = _random(5, 1, seed=4)
    before = float((LAYER.weight @ directions).abs().max())
    for size in (10.0, 100.0, 1000.0):
        marked = _marked(directions, size)
        mended = restored(LAYER, torch.cat([POOLED, marked]), torch.cat([POOLED, POOLED]), SAME)
        assert float((mended.weight @ directions).abs().max()) < 2 * before / size
        kept = (mended(POOLED) - mended(POOLED).mean(0)).square().mean()
        assert kept > 0.5 * (LAYER(POOLED) - LAYER(POOLED).mean(0)).square().mean()


def test_few_pictures_do_not_decide_about_many_channels() -> None:
    """Three artefact directions in 200 channels, learned from 60 pictures, on 500 others."""
    layer = Linear(_random(4, 200), torch.zeros(4))
    directions = 3 * _random(200, 3, seed=1)
    plain, fresh = _random(60, 200, seed=2), _random(500, 200, seed=3)
    strengths, blur = 2 + _random(60, 3, seed=4), 0.5 * _random(60, 200, seed=5)
    marked = plain + strengths @ directions.T + blur
    seen, wanted = torch.cat([plain, marked]), torch.cat([plain, plain])
    trusted, free = (
        restored(layer, seen, wanted, torch.full((120,), 1 / 120), ridge) for ridge in (None, 1e-3)
    )
    fresh_marked = fresh + (2 + _random(500, 3, seed=6)) @ directions.T
    of_plain, of_marked = (
        (trusted(each) - layer(fresh)).square().mean() for each in (fresh, fresh_marked)
    )
    usual = layer(fresh).var()
    assert of_plain < 0.2 * usual
    assert of_marked < 0.2 * usual < (layer(fresh_marked) - layer(fresh)).square().mean() / 20
    assert of_plain < 0.5 * (free(fresh) - layer(fresh)).square().mean()


def test_features_with_a_large_mean_lose_nothing() -> None:
    seen, wanted = (1e3 + 0.01 * _random(30, 4, seed=seed) for seed in (0, 1))
    layer = Linear(_random(3, 4, seed=2), _random(3, seed=3))
    weights = torch.full((30,), 1 / 30)
    mended = restored(layer, seen, wanted, weights, 0.1)
    parts = (layer.weight, layer.bias, seen, wanted, weights)
    weight, _ = restoring(0.1, *(each.double().numpy() for each in parts))
    np.testing.assert_allclose(mended.weight.numpy(), weight, rtol=0, atol=1e-4)


def test_a_layer_keeps_its_precision() -> None:
    layer = Linear(LAYER.weight.half(), LAYER.bias.half())
    mended = restored(layer, POOLED, POOLED, torch.full((400,), 1 / 400))
    torch.testing.assert_close(mended.weight, layer.weight)
    torch.testing.assert_close(mended.bias, layer.bias)


def test_a_dead_network_stays_as_it_is() -> None:
    nothing = torch.zeros(400, 5)
    mended = restored(LAYER, nothing, nothing, torch.full((400,), 1 / 400))
    torch.testing.assert_close(mended.weight, LAYER.weight)


def test_features_that_are_not_numbers_are_refused() -> None:
    broken = POOLED.clone()
    broken[3, 2] = torch.nan
    with pytest.raises(ModelError, match="expected finite features, got a NaN or an infinity"):
        restored(LAYER, broken, POOLED, torch.full((400,), 1 / 400))


def test_the_less_an_artefact_moves_features_the_less_is_changed() -> None:
    changes = []
    for size in (0.0, 0.1, 1.0, 10.0):
        marked = _marked(_random(5, 1, seed=4), size)
        both = torch.cat([POOLED, marked]), torch.cat([POOLED, POOLED])
        mended = restored(LAYER, *both, SAME)
        changes.append(float((mended(POOLED) - LAYER(POOLED)).square().mean()))
    assert changes[0] < 1e-9
    assert changes == sorted(changes)


def test_what_no_picture_shows_is_left_as_it_is() -> None:
    """The third feature never moves: nothing is known of it."""
    plain = POOLED * torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    marked = plain + torch.tensor([3.0, 0.0, 0.0, 0.0, 0.0])
    mended = restored(LAYER, torch.cat([plain, marked]), torch.cat([plain, plain]), SAME)
    torch.testing.assert_close(mended.weight[:, 2], LAYER.weight[:, 2])
