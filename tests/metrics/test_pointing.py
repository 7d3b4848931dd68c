"""The pointing games, pixel average precision and the centre, against literals and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.oracles import boxes as oracle

from seewhy.errors import InputError
from seewhy.metrics.box_accuracy import max_box_acc
from seewhy.metrics.boxes import box_overlaps
from seewhy.metrics.centre import centre_map
from seewhy.metrics.pixels import pixel_average_precision
from seewhy.metrics.pointing import (
    energy_in_boxes,
    energy_pointing_game,
    pointing_game,
    pointing_hits,
)

WHERE: Any = {"frame": (7, 6), "size": (7, 6)}
MAPS = arrays(np.float64, (6, 7), elements=st.integers(-3, 5).map(float))
BOXES = st.tuples(st.floats(0, 5), st.floats(0, 4)).map(lambda c: (*c, c[0] + 1.9, c[1] + 1.9))


def spot(row: int, column: int, value: float = 1.0) -> Any:
    map_ = np.zeros((6, 7))
    map_[row, column] = value
    return map_


def test_pointing_by_hand() -> None:
    """The strongest pixel's centre is at (3.5, 2.5)."""
    map_ = spot(2, 3)

    def hits(*truth: Any, tolerance: float = 0) -> bool:
        return bool(pointing_hits([map_], [truth], tolerance=tolerance, **WHERE)[0])

    assert hits([3, 2, 4, 3])
    assert hits([0, 0, 1, 1], [3, 2, 7, 6])
    assert not hits([4, 2, 7, 6])
    assert hits([4, 2, 7, 6], tolerance=0.5)  # half a pixel to the right
    coarse = pointing_hits([np.eye(7)[:2, :2]], [[[0, 0, 3, 3]]], **WHERE)
    assert coarse.tolist() == [True]  # the centre of the first cell of four: (1.75, 1.5)
    assert hits([6.5, 6 - 0.5, 7, 6], tolerance=4.25)  # 3 right, 3 down: sqrt(18) = 4.243
    assert not hits([6.5, 6 - 0.5, 7, 6], tolerance=4.24)


def test_no_evidence_points_nowhere() -> None:
    everything = [[0, 0, 7, 6]]
    for map_ in (np.zeros((6, 7)), spot(2, 3, -1.0)):
        assert pointing_game([map_], [everything], **WHERE).value == 0
        assert energy_in_boxes([map_], [everything], **WHERE).tolist() == [0]


def test_games_over_pictures() -> None:
    maps, truths = [spot(2, 3), spot(0, 0), spot(5, 6)], [[[3, 2, 4, 3]]] * 3
    game = pointing_game(maps, truths, **WHERE)
    assert (game.value, game.n) == (1 / 3, 3)
    assert energy_pointing_game(maps, truths, **WHERE).value == 1 / 3
    assert pointing_game(maps, truths, tolerance=15, **WHERE).value == 1


def test_energy_by_hand() -> None:
    map_ = spot(0, 0, 3.0) + spot(0, 1, 1.0) + spot(5, 5, -9.0)
    boxes = [[0, 0, 1, 1], [0, 0, 1, 6]]  # what two boxes share counts once
    assert energy_in_boxes([map_], [boxes], **WHERE).tolist() == [0.75]
    assert energy_in_boxes([np.ones((6, 7))], [[[0, 0, 3, 6]]], **WHERE)[0] == pytest.approx(3 / 7)


@given(MAPS, st.lists(BOXES, min_size=1, max_size=3))
def test_energy_against_loops(map_: Any, truth: Any) -> None:
    expected = oracle.share_in_boxes(map_.tolist(), truth)
    assert energy_in_boxes([map_], [truth], **WHERE)[0] == pytest.approx(expected)


def test_bad_tolerance() -> None:
    with pytest.raises(InputError, match="tolerance: expected pixels from 0, got -1"):
        pointing_hits([spot(0, 0)], [[[0, 0, 1, 1]]], tolerance=-1, **WHERE)


def test_pixel_precision_by_hand() -> None:
    """Scores 1, 0.5, 0.5, 0 for object, rest, object, rest."""
    map_, mask = np.array([[2.0, 1.0], [1.0, 0.0]]), np.array([[1, 0], [1, 0]])
    # at 1: precision 1, recall 1/2; at 0.5: precision 2/3, recall 1
    assert pixel_average_precision([map_], [mask]).value == pytest.approx(1 / 2 + 2 / 3 / 2)
    ignoring = np.array([[1, 255], [1, 0]])
    assert pixel_average_precision([map_], [ignoring]).value == 1
    assert pixel_average_precision([np.ones((2, 2))], [mask]).value == 0.5  # the object's share


@given(st.lists(st.tuples(MAPS, arrays(np.int64, (6, 7), elements=st.sampled_from([0, 1, 255])))))
def test_pixel_precision_against_loops(cases: Any) -> None:
    assume(any((mask == 1).any() for _, mask in cases))
    maps, masks = zip(*cases, strict=True)
    thresholds = [0.0, 0.2, 0.55, 0.9]
    found = pixel_average_precision(maps, masks, thresholds=np.array(thresholds))
    plain = [map_.tolist() for map_ in maps], [mask.tolist() for mask in masks]
    assert found.value == pytest.approx(oracle.pixel_average_precision(*plain, thresholds))


def test_bad_masks() -> None:
    map_ = np.ones((2, 2))
    with pytest.raises(
        InputError, match=r"mask 0: expected \(height, width\) of 0, 1 and 255, got"
    ):
        pixel_average_precision([map_], [np.array([[1, 2], [0, 0]])])
    with pytest.raises(InputError, match="masks: expected an object in at least one, got none"):
        pixel_average_precision([map_], [np.zeros((2, 2), int)])
    with pytest.raises(InputError, match=r"masks: expected one for each .* got 1 for 2 maps"):
        pixel_average_precision([map_] * 2, [np.ones((2, 2), int)])


def test_the_centre() -> None:
    map_ = centre_map((8, 4), spread=0.25)
    assert map_.shape == (4, 8)
    assert np.array_equal(map_, map_[::-1, ::-1])
    assert map_[1, 3] == pytest.approx(np.exp(-8 * (1 / 16**2 + 1 / 8**2)))
    # half of each side is the best box for an object in the middle of that size
    truth = [[56, 56, 168, 168]]
    found = box_overlaps([centre_map((224, 224))], [truth], frame=(224, 224))
    assert max_box_acc(found, iou=0.99).accuracy.value == 1
