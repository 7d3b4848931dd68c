"""Likeness, its power, and spreading: against literal numbers and the naive derivation."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles import refine as oracle
from torch import Tensor

from seewhy.refinement.affinity import HIGHEST, LOWEST, likeness, power_for, spread

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

features = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    elements=st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0]),
)


def grid(*rows: list[list[float]]) -> Tensor:
    """Features (1, K, 2, 2) from K grids of four numbers."""
    return torch.tensor(rows)[None]


# The mean of these is 0. The upper two are at 45 degrees, and opposite to the lower two.
AT_45 = grid([[1.0, 1.0], [-1.0, -1.0]], [[0.0, 1.0], [0.0, -1.0]])


def test_likeness_on_a_grid_of_four() -> None:
    half = 0.5**0.5
    expected = [[1, half, 0, 0], [half, 1, 0, 0], [0, 0, 1, half], [0, 0, half, 1]]
    assert torch.allclose(likeness(AT_45)[0], torch.tensor(expected), atol=1e-6)


def test_spreading_on_a_grid_of_four() -> None:
    """With power 2 the likeness at 45 degrees weighs 1/2: 3 / 1.5 stays, 1.5 / 1.5 comes over."""
    maps = torch.tensor([[[[3.0, 0.0], [0.0, 0.0]]]])
    moved = spread(maps, likeness(AT_45), torch.tensor([2.0]))
    assert torch.allclose(moved, torch.tensor([[[[2.0, 1.0], [0.0, 0.0]]]]), atol=1e-6)


def test_what_is_the_same_shares_equally_whatever_the_power() -> None:
    alike = likeness(grid([[1.0, 1.0], [-1.0, -1.0]]))
    maps = torch.tensor([[[[4.0, 0.0], [2.0, 2.0]], [[0.0, 1.0], [5.0, 0.0]]]])
    for power in (0.5, 4.0, 30.0):
        moved = spread(maps, alike, torch.tensor([power]))
        assert moved[0].flatten(1).tolist() == [[2, 2, 2, 2], [0.5, 0.5, 2.5, 2.5]]


def test_adding_a_constant_to_a_channel_changes_nothing() -> None:
    torch.manual_seed(0)
    f = torch.randn(2, 6, 5, 4)
    assert torch.allclose(likeness(f + torch.randn(1, 6, 1, 1)), likeness(f), atol=1e-5)


def test_a_picture_of_one_colour_stays_as_it_is() -> None:
    maps = torch.rand(1, 2, 4, 4)
    alike = likeness(torch.full((1, 4, 4, 4), 2.0))
    assert torch.equal(alike[0], torch.eye(16))
    assert torch.allclose(spread(maps, alike, power_for(alike, 0.5)), maps, atol=1e-6)


@given(features, st.sampled_from([0.5, 1.0, 2.0, 4.0]))
def test_likeness_and_spreading_are_those_of_the_naive_derivation(f: Array, power: float) -> None:
    f = f + 0.1 * np.random.default_rng(0).standard_normal(f.shape).astype(np.float32)
    maps = np.random.default_rng(1).random((len(f), 3, *f.shape[2:]), dtype=np.float32)
    alike = likeness(torch.from_numpy(f))
    moved = spread(torch.from_numpy(maps), alike, torch.full((len(f),), power))
    for b in range(len(f)):
        naive = oracle.likeness(oracle.positions(f[b].tolist()))
        assert np.allclose(alike[b].numpy(), naive, atol=1e-4)
        for k in range(3):
            by_hand = oracle.spread(maps[b, k].ravel().tolist(), alike[b].tolist(), power)
            assert np.allclose(moved[b, k].numpy().ravel(), by_hand, atol=1e-5)


@given(st.integers(0, 2**16), st.sampled_from([0.1, 0.2, 0.4]))
def test_the_power_gives_the_share(seed: int, share: float) -> None:
    f = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(seed))
    alike = likeness(f)
    for one, power in zip(alike, power_for(alike, share).tolist(), strict=True):
        found = oracle.effective_share(one.tolist(), power)
        at_the_end = power < 1.01 * LOWEST or power > 0.99 * HIGHEST
        assert found == pytest.approx(share, rel=0.01) or at_the_end


def test_many_positions_are_sampled_evenly() -> None:
    f = torch.randn(1, 5, 24, 24, generator=torch.Generator().manual_seed(0))
    alike = likeness(f)
    power = float(power_for(alike, 0.1))
    assert oracle.effective_share(alike[0].tolist(), power) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in_single(dtype: torch.dtype) -> None:
    f = torch.randn(1, 3, 4, 4)
    assert likeness(f.to(dtype)).dtype == torch.float32
    assert torch.allclose(likeness(f.to(dtype)), likeness(f), atol=0.05)
