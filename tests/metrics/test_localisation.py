"""Maps that point, and maps that tell classes apart, against literals and plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.oracles import localisation as oracle

from seewhy.errors import InputError
from seewhy.metrics.localisation import class_difference, grid_pointing, ranks, share_in_cell

MAP = np.array([[4.0, 0.0, 1.0, -9.0], [0.0, -5.0, 1.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0, 0, 0, 2]])
WHOLE = st.integers(-4, 4).map(float)


def test_shares_by_hand() -> None:
    shares = [share_in_cell(MAP, (row, column)) for row in (0, 1) for column in (0, 1)]
    assert shares == [0.4, 0.2, 0.2, 0.2]
    assert share_in_cell(MAP, (0, 0), (4, 4)) == 0.4
    assert share_in_cell(MAP, (1, 0), (2, 1)) == 0.4
    assert share_in_cell(-np.abs(MAP), (0, 0)) == 0.0
    assert share_in_cell(np.full((6, 6), 0.1, np.float32), (1, 1)) == pytest.approx(0.25)


def test_the_game_by_hand() -> None:
    assert grid_pointing([MAP] * 4) == 0.25  # one map for all classes: chance
    perfect = [np.zeros((4, 4)) for _ in range(4)]
    for number, map_ in enumerate(perfect):
        map_[2 * (number // 2), 2 * (number % 2)] = 3.0
    assert grid_pointing(perfect) == 1.0
    assert grid_pointing(perfect[::-1]) == 0.0


@given(arrays(np.float64, (6, 4), elements=WHOLE), st.integers(0, 2), st.integers(0, 1))
def test_shares_against_the_oracle(map_: Any, row: int, column: int) -> None:
    expected = oracle.share_in_cell(map_.tolist(), (row, column), (3, 2))
    assert share_in_cell(map_, (row, column), (3, 2)) == pytest.approx(expected, abs=1e-12)


@given(arrays(np.float64, (6, 4), elements=WHOLE))
def test_the_shares_of_all_cells_add_up(map_: Any) -> None:
    total = sum(share_in_cell(map_, (row, column)) for row in (0, 1) for column in (0, 1))
    assert total == pytest.approx(1.0 if (map_ > 0).any() else 0.0)


def test_differences_by_hand() -> None:
    up = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert class_difference(up, 1000 * up**3 - 5) == pytest.approx(0)  # only the order matters
    assert class_difference(up, -up) == pytest.approx(2)
    assert class_difference(up, np.array([[1.0, 1.0], [-1.0, 1.0]])) == pytest.approx(
        1 - (-1 / math.sqrt(5 * 3))  # ranks 1 2 3 4 and 3 3 1 3
    )
    assert math.isnan(class_difference(up, np.ones((2, 2))))


def test_ranks_by_hand() -> None:
    assert ranks(np.array([[10.0, -1.0], [10.0, 3.0]])).tolist() == [3.5, 1.0, 3.5, 2.0]


@given(*(2 * [arrays(np.float64, (3, 3), elements=WHOLE)]))
def test_differences_against_the_oracle(first: Any, second: Any) -> None:
    got = class_difference(first, second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert math.isnan(got)
    else:
        assert got == pytest.approx(oracle.class_difference(first.tolist(), second.tolist()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: share_in_cell(np.ones((5, 4)), (0, 0)),
            "map: expected 2 x 2 equal cells, and one at (0, 0), got a map of 5 x 4;"
            " pass the map of a mosaic, and a cell of it",
        ),
        (
            lambda: share_in_cell(MAP, (0, 2)),
            "map: expected 2 x 2 equal cells, and one at (0, 2), got a map of 4 x 4;"
            " pass the map of a mosaic, and a cell of it",
        ),
        (
            lambda: grid_pointing([MAP]),
            "maps: expected 4, one for each cell, got 1; pass the map of each cell's class,"
            " row by row",
        ),
        (
            lambda: class_difference(MAP, MAP[:2]),
            "maps: expected two of one size, got (4, 4) and (2, 4); pass maps of one picture",
        ),
    ],
)
def test_nonsense_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message
