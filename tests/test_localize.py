"""Boxes, masks, outlines and points, against literals and a naive flood fill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tests.oracles import boxes as oracle

from seewhy import localize
from seewhy.errors import InputError
from seewhy.geometry import Geometry

MAP = np.array(
    [
        [0.0, 0.0, 5.0, 0.0, 0.0],
        [0.0, 6.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 9.0],
        [-8.0, 0.0, 0.0, 0.0, 3.0],
        [2.0, 0.0, 0.0, 0.0, 3.0],
    ]
)
SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=8)
MAPS = arrays(np.float64, SHAPES, elements=st.integers(-3, 5).map(float))


def test_boxes_by_hand() -> None:
    assert localize.boxes(MAP).tolist() == [[4, 2, 5, 5]]
    assert localize.boxes(MAP, components="all").tolist() == [
        [4, 2, 5, 5],
        [1, 0, 3, 2],  # two pixels that touch at a corner
        [0, 4, 1, 5],
    ]
    assert localize.boxes(MAP, 0.5).tolist() == [[1, 0, 3, 2]]  # 3 and 2 are below 4.5
    assert localize.boxes(MAP, 3.0, unit="logits", components="all").tolist() == [
        [1, 0, 3, 2],
        [4, 2, 5, 3],  # 3 is not above 3
    ]


def test_the_threshold_is_the_papers() -> None:
    map_ = np.array([[10.0, 2.0, 2.0001, 0.0]])
    assert localize.mask(map_).tolist() == [[True, False, True, False]]
    assert localize.THRESHOLD == 0.2


@pytest.mark.parametrize("map_", [np.zeros((3, 4)), -np.ones((2, 2)), np.array([[-1.0, 0.0]])])
def test_no_evidence_is_nowhere(map_: Any) -> None:
    for which in ("largest", "all"):
        assert localize.boxes(map_, 0.0, which).shape == (0, 4)
        assert localize.contours(map_, 0.0, which) == []
    assert not localize.mask(map_).any()
    assert localize.peak(map_) is None
    assert localize.centre_of_mass(map_) is None


def test_upsampled_first() -> None:
    map_ = np.array([[1.0, 0.0], [0.0, 0.0]])
    # bilinear, half-pixel centres: along an axis 1, 1, 0.75, 0.25, 0 -> above 0.5: three of eight
    assert localize.boxes(map_, 0.5, size=(8, 8)).tolist() == [[0, 0, 4, 4]]
    assert localize.boxes(map_, 0.9, size=(8, 8)).tolist() == [[0, 0, 2, 2]]
    assert localize.boxes(map_, 0.5).tolist() == [[0, 0, 1, 1]]


def test_points_by_hand() -> None:
    assert localize.peak(MAP) == (4.5, 2.5)
    assert localize.peak(np.array([[1.0, 7.0, 7.0]])) == (1.5, 0.5)
    assert localize.peak(np.array([[1.0, 7.0, 7.0]]), size=(300, 50)) == (150, 25)
    assert localize.centre_of_mass(np.array([[3.0, -9.0], [0.0, 1.0]])) == (0.75, 0.75)


def test_outlines_by_hand() -> None:
    ring = np.ones((3, 3))
    ring[1, 1] = 0
    assert localize.contours(ring)[0].tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]]
    corner, *others = localize.contours(MAP, 0.5, "all")
    assert corner.tolist() == [[2, 0], [3, 0], [3, 1], [2, 1], [2, 2], [1, 2], [1, 1], [2, 1]]
    assert [each.tolist() for each in others] == [[[4, 2], [5, 2], [5, 3], [4, 3]]]


@given(MAPS, st.sampled_from([0.0, 0.2, 0.5, 0.9]))
def test_components_against_a_flood_fill(map_: Any, threshold: float) -> None:
    expected = oracle.boxes(map_.tolist(), threshold)
    assert localize.boxes(map_, threshold, "all").tolist() == expected
    assert localize.boxes(map_, threshold).tolist() == expected[:1]


@given(MAPS)
def test_an_outline_holds_its_component_with_its_holes_filled(map_: Any) -> None:
    for outline, piece in zip(
        localize.contours(map_, 0.0, "all"), oracle.pieces(map_.tolist(), 0.0), strict=True
    ):
        x, y = outline.T
        signed = 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
        assert signed == oracle.filled_area(piece)  # positive: clockwise, as y points down


@given(MAPS, st.lists(st.sampled_from([-2.0, 0.0, 1.5, 2.0, 4.0]), min_size=1))
def test_a_sweep_is_every_level_alone(map_: Any, levels: list[float]) -> None:
    levels.sort()
    found = localize.sweep(map_, np.array(levels))
    for number, level in enumerate(levels):
        alone = localize.components_of(map_ > level)
        here = found.levels == number
        assert found.boxes[here].tolist() == alone.boxes.tolist()
        assert found.areas[here].tolist() == alone.areas.tolist()


def test_back_on_the_original() -> None:
    """800 x 600, brought to 8 x 6, its middle 6 x 6 kept, then mirrored."""
    geometry = Geometry.identity((800, 600)).resize((8, 6)).crop((1, 0, 7, 6)).flip()
    assert localize.to_original([[0, 1, 2, 3]], geometry).tolist() == [[500, 100, 700, 300]]
    padded = Geometry.identity((100, 50)).pad(0, 25, 0, 25)
    assert localize.to_original([[10, 0, 30, 50]], padded).tolist() == [[10, 0, 30, 25]]
    assert localize.to_original([[10, 0, 30, 20]], padded).shape == (0, 4)  # all in the border


def test_a_mask_of_the_original() -> None:
    """Its left half was seen, mirrored; the map's two cells are 4 and 1."""
    geometry = Geometry.identity((8, 2)).crop((0, 0, 4, 2)).flip()
    map_ = np.array([[4.0, 1.0]])  # on the original 1 lies left of 4
    assert localize.mask_on_original(map_, geometry, 0.0).tolist() == [[True] * 4 + [False] * 4] * 2
    # bilinear over four columns: 1, 1.75, 3.25, 4
    assert (
        localize.mask_on_original(map_, geometry, 0.5)[0].tolist()
        == [False] * 2 + [True] * 2 + [False] * 4
    )
    above = localize.mask_on_original(map_, geometry, 3.5, unit="logits")
    assert above[1].nonzero()[0].tolist() == [3]
    assert not localize.mask_on_original(-map_, geometry).any()


@pytest.mark.parametrize(
    ("map_", "got"),
    [
        (np.full((2, 2), np.nan), "got NaN or infinite values; check the model's features"),
        (np.ones(3), r"got shape \(3,\); pass one map at a time"),
        (np.ones((0, 3)), r"got shape \(0, 3\)"),
    ],
)
def test_no_map(map_: Any, got: str) -> None:
    for function in (localize.boxes, localize.mask, localize.peak, localize.centre_of_mass):
        with pytest.raises(InputError, match=r"map: expected finite evidence, .*" + got):
            function(map_)


def test_no_threshold() -> None:
    for threshold in (-0.1, 1.0, np.nan):
        with pytest.raises(InputError, match="threshold: expected a share of the maximum from 0"):
            localize.boxes(MAP, threshold)
    with pytest.raises(InputError, match="threshold: expected logits from 0, got -1"):
        localize.boxes(MAP, -1, unit="logits")
    with pytest.raises(InputError, match=r"unit: .* got 'logit'; did you mean logits\?"):
        localize.boxes(MAP, 1, unit="logit")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="components: expected 'largest' or 'all', got 'both'"):
        localize.boxes(MAP, components="both")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="levels: expected ascending ones"):
        localize.sweep(MAP, np.array([2.0, 1.0]))
