from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import finer as oracle

from seewhy.finer.grids import interleaved, resampled


def test_views_of_both_axes_lie_between_each_other() -> None:
    """Views number 0, 1 (one below), 2 (one to the right) and 3, each of one cell of 2 x 1."""
    views = torch.tensor([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0], [3.0, 13.0]])
    fine = interleaved(views.reshape(4, 1, 2, 1), [(0, 2), (1, 2)])
    assert fine.tolist() == [[[[0.0, 2.0], [1.0, 3.0], [10.0, 12.0], [11.0, 13.0]]]]


def test_the_first_split_is_the_finest() -> None:
    """Two splits of one axis: those of the first are neighbours."""
    views = torch.arange(4.0).reshape(4, 1, 1, 1)  # view = 2 * last + first
    assert interleaved(views, [(1, 2), (1, 2)]).tolist() == [[[[0.0, 1.0, 2.0, 3.0]]]]


def test_pictures_stay_apart() -> None:
    views = torch.arange(8.0).reshape(8, 1, 1, 1)  # view * 4 + picture
    fine = interleaved(views, [(0, 2)])
    assert fine[:, 0, :, 0].tolist() == [[0.0, 4.0], [1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), *(st.integers(1, 7) for _ in range(4)))
def test_a_map_on_another_grid(seed: int, high: int, wide: int, to_high: int, to_wide: int) -> None:
    values = np.random.default_rng(seed).normal(size=(high, wide))
    found = resampled(torch.from_numpy(values)[None, None], (to_high, to_wide))
    np.testing.assert_allclose(found[0, 0].numpy(), oracle.resampled(values, (to_high, to_wide)))
    assert float(found.mean()) == pytest.approx(values.mean(), abs=1e-12)


def test_three_cells_on_two() -> None:
    assert resampled(torch.tensor([[[[3.0, 6.0, 9.0]]]]), (1, 2)).tolist() == [[[[4.0, 8.0]]]]


def test_the_same_grid_is_left_alone() -> None:
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert resampled(maps, (4, 5)) is maps
