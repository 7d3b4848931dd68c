"""How much of a map's evidence its strongest cells hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from seewhy.errors import InputError
from seewhy.metrics.concentration import share_of_top

MAPS = npst.arrays(
    np.float64, npst.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-9, 9)
)


def test_by_hand() -> None:
    map_ = np.array([[4.0, -9.0, 1.0, 0.0, 3.0]])
    assert share_of_top(map_, 0.2) == 4 / 8
    assert share_of_top(map_, 0.3) == pytest.approx((4 + 0.5 * 3) / 8)
    assert share_of_top(map_, 1.0) == 1.0


def test_an_even_map_has_what_it_is_asked_for_and_a_spot_all() -> None:
    assert share_of_top(np.full((3, 5), 2.0), 0.2) == pytest.approx(0.2)
    spot = np.zeros((3, 5))
    spot[1, 2] = 0.1
    assert share_of_top(spot, 0.2) == 1.0
    assert math.isnan(share_of_top(-spot))


@given(MAPS, st.integers(1, 100))
def test_against_a_picture_of_many_small_cells(map_: np.ndarray, percent: int) -> None:
    """Each cell is split into a hundred: then no cell has to be cut."""
    positive = [max(float(value), 0.0) for value in map_.ravel()]
    cells = sorted((value / 100 for value in positive for _ in range(100)), reverse=True)
    count = round(percent / 100 * len(cells))
    share = share_of_top(map_, percent / 100)
    if sum(cells) == 0:
        assert math.isnan(share)
    else:
        assert share == pytest.approx(sum(cells[:count]) / sum(cells), abs=1e-9)


@pytest.mark.parametrize("top", [0.0, -0.1, 1.1, math.nan])
def test_no_share(top: float) -> None:
    with pytest.raises(InputError, match="top: expected above 0, up to 1, got"):
        share_of_top(np.ones((2, 2)), top)
