"""IoU, MaxBoxAcc and its second version, and localisation errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.oracles import boxes as oracle

from seewhy.errors import ClassError, InputError
from seewhy.metrics import choe
from seewhy.metrics.box_accuracy import (
    gt_known_accuracy,
    localisation_error,
    max_box_acc,
    max_box_acc_v2,
    tune_threshold,
)
from seewhy.metrics.boxes import Overlaps, both_overlaps, box_overlaps, within
from seewhy.metrics.iou import Convention, iou

MAPS = arrays(np.float64, (6, 7), elements=st.integers(-3, 5).map(float))
CORNERS = st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(1, 4), st.integers(1, 4))
BOXES = CORNERS.map(lambda c: (c[0], c[1], min(c[0] + c[2], 7), min(c[1] + c[3], 6)))
TRUTHS = st.lists(BOXES, min_size=1, max_size=3)
THRESHOLDS = np.array([0.0, 0.25, 0.5, 0.75])


def overlaps(values: Any, components: Any = "largest", thresholds: Any = THRESHOLDS) -> Overlaps:
    return Overlaps(np.array(values, dtype=float), thresholds, components, "half-open")


def compare(maps: Any, truths: Any, **options: Any) -> Overlaps:
    usual = {"frame": (7, 6), "size": (7, 6), "thresholds": THRESHOLDS}
    return box_overlaps(maps, truths, **{**usual, **options})


def test_iou_by_hand() -> None:
    assert iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [2, 0, 4, 2], [0, 0, 2, 2]]).tolist() == [
        [1 / 3, 0.0, 1.0]
    ]
    assert iou([[0.5, 0, 1, 1]], [[0, 0, 1, 1]]).tolist() == [[0.5]]
    assert iou([[1, 1, 1, 1]], [[1, 1, 1, 1]]).tolist() == [[0.0]]
    assert iou([], [[0, 0, 1, 1]]).shape == (0, 1)


def test_iou_of_choe_by_hand() -> None:
    """The cases of wsolevaluation's own tests."""
    assert iou([[1, 2, 5, 6]], [[3, 1, 4, 5]], convention="choe").tolist() == [[8 / 27]]
    assert iou([[0, 0, 0, 0]], [[0, 0, 0, 0]], convention="choe").tolist() == [[1.0]]
    two = [[1, 1, 3, 3], [4, 4, 5, 5]]
    assert iou(two, two, convention="choe").tolist() == [[1.0, 0.0], [0.0, 1.0]]


@given(BOXES, BOXES)
def test_iou_against_counted_pixels(one: Any, other: Any) -> None:
    assert float(iou([one], [other])[0, 0]) == pytest.approx(oracle.iou_of_pixels(one, other))
    expected = oracle.choe_iou(one, other)
    assert float(iou([one], [other], convention="choe")[0, 0]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("boxes", "got"),
    [
        ([[5, 0, 3, 9]], r"got \[5.0, 0.0, 3.0, 9.0\]; pass corners, not width and height"),
        ([1, 2, 3, 4], r"got shape \(4,\)"),
        ([[0, 0, np.nan, 1]], "got NaN or infinite numbers"),
    ],
)
def test_no_boxes(boxes: Any, got: str) -> None:
    with pytest.raises(InputError, match=r"boxes: expected x0, y0, x1, y1 .*" + got):
        iou(boxes, [[0, 0, 1, 1]])


@given(MAPS, TRUTHS, st.sampled_from(["largest", "all"]))
def test_overlaps_against_loops(map_: Any, truth: Any, which: Any) -> None:
    found = compare([map_], [truth], components=which).values[0]
    expected = [oracle.best_overlap(map_.tolist(), truth, t, which) for t in THRESHOLDS]
    assert found.tolist() == pytest.approx(expected)


@settings(max_examples=30)
@given(st.lists(st.tuples(MAPS, TRUTHS), min_size=1, max_size=3))
def test_accuracies_against_loops(cases: Any) -> None:
    maps, truths = zip(*cases, strict=True)
    plain = [map_.tolist() for map_ in maps]
    one = max_box_acc(compare(maps, truths)).accuracy.value
    assert one == pytest.approx(
        oracle.max_box_acc(plain, truths, THRESHOLDS.tolist(), [0.5], "largest")
    )
    every = max_box_acc_v2(compare(maps, truths, components="all")).accuracy.value
    expected = oracle.max_box_acc(plain, truths, THRESHOLDS.tolist(), [0.3, 0.5, 0.7], "all")
    assert every == pytest.approx(expected)


@given(MAPS, TRUTHS)
def test_choe_against_loops(map_: Any, truth: Any) -> None:
    largest = compare([map_], [truth], convention="choe").values[0]
    every = compare([map_], [truth], convention="choe", components="all").values[0]
    for place, threshold in enumerate(THRESHOLDS):
        box, boxes = oracle.choe_boxes(map_.tolist(), float(threshold))
        assert largest[place] == pytest.approx(max(oracle.choe_iou(box, t) for t in truth))
        best = max(oracle.choe_iou(b, t) for b in boxes for t in truth)
        assert every[place] == pytest.approx(best)


@given(MAPS, st.sampled_from(THRESHOLDS.tolist()))
def test_choe_against_opencv(map_: Any, threshold: float) -> None:
    """What their code calls, called as they call it."""
    cv2 = pytest.importorskip("cv2")
    image = (255 * choe.normalised(map_)).astype(np.uint8)
    _, kept = cv2.threshold(image, int(threshold * image.max()), 255, cv2.THRESH_BINARY)
    outlines = cv2.findContours(kept, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    found, _ = choe.found_boxes(map_, np.array([threshold]))
    assert len(outlines) == 0 if not len(found) else len(outlines) > 0
    if not len(found):
        return

    def box(outline: Any) -> tuple[float, ...]:
        x, y, width, height = cv2.boundingRect(outline)
        return (x, y, min(x + width, 6), min(y + height, 5))

    assert {box(each) for each in outlines} == {tuple(each) for each in found.boxes.tolist()}
    largest = max(outlines, key=cv2.contourArea)
    place = int(found.areas.argmax())
    assert found.areas[place] == round(2 * cv2.contourArea(largest))
    assert tuple(found.boxes[place].tolist()) == box(largest)


def test_choe_by_hand() -> None:
    """A map of wsolevaluation's own tests, and the boxes that they expect of it."""
    map_ = np.array(
        [
            [0.4, 0.0, 0.2, 0.2, 0.2],
            [0.4, 0.4, 0.0, 0.4, 0.0],
            [0.0, 0.0, 0.0, 0.4, 0.0],
            [1.0, 0.6, 0.8, 0.2, 0.2],
        ]
    )
    expected = [[0, 0, 4, 3], [0, 0, 2, 2], [0, 3, 3, 3], [2, 3, 3, 3], [0, 3, 1, 3]]
    found, level_of = choe.found_boxes(map_, np.arange(5) / 5)
    for level, box in zip(level_of, expected, strict=True):
        here = found.levels == level
        assert found.boxes[here][found.areas[here].argmax()].tolist() == box
    nothing = box_overlaps(
        [np.zeros((3, 3))], [[[0, 0, 1, 1]]], frame=(3, 3), size=(3, 3), convention="choe"
    )
    assert nothing.values[0, 0] == 1 / 4  # the first pixel against 0 to 1, both ends included


def test_max_box_acc_by_hand() -> None:
    found = overlaps([[0.6, 0.5, 0.1, 0.0], [0.0, 0.5, 0.7, 0.0], [0.0, 0.0, 0.3, 0.9]])
    result = max_box_acc(found)
    assert (result.accuracy.value, result.thresholds) == (2 / 3, (0.25,))
    assert tune_threshold(found) == 0.25
    assert tune_threshold(found.of([2])) == 0.75
    assert gt_known_accuracy(found.at(0.5)).value == 1 / 3
    assert max_box_acc(found, iou=0.91).accuracy.value == 0.0


def test_the_second_version_by_hand() -> None:
    found = overlaps([[0.6, 0.5, 0.1, 0.0], [0.0, 0.5, 0.7, 0.0], [0.0, 0.0, 0.3, 0.9]], "all")
    result = max_box_acc_v2(found)
    assert result.each == (2 / 3, 2 / 3, 1 / 3)
    assert result.thresholds == (0.25, 0.25, 0.5)  # 0.7 is enough
    assert result.accuracy.value == pytest.approx(5 / 9)
    assert result.to_json()["each"] == [
        {"iou": 0.3, "value": 2 / 3, "threshold": 0.25},
        {"iou": 0.5, "value": 2 / 3, "threshold": 0.25},
        {"iou": 0.7, "value": 1 / 3, "threshold": 0.5},
    ]


def test_versions_do_not_mix() -> None:
    with pytest.raises(InputError, match="expected those of all components, got those of largest"):
        max_box_acc_v2(overlaps([[1.0] * 4]))
    with pytest.raises(InputError, match=r'pass box_overlaps\(..., components="largest"\)'):
        max_box_acc(overlaps([[1.0] * 4], "all"))


def test_true_boxes_are_scaled_with_their_picture() -> None:
    map_ = np.zeros((4, 4))
    map_[0, 0] = 1.0
    for frame, truth in (((4, 4), [0, 0, 1, 1]), ((400, 200), [0, 0, 100, 50])):
        found = box_overlaps([map_], [[truth]], frame=frame, size=(4, 4))
        assert found.values[0, 0] == 1.0
    both = box_overlaps(
        [map_] * 2, [[[0, 0, 1, 1]], [[0, 0, 10, 5]]], frame=[(4, 4), (40, 20)], size=(4, 4)
    )
    assert both.values[:, 0].tolist() == [1.0, 1.0]


def test_boxes_beyond_the_picture_are_cut_and_counted() -> None:
    boxes, cut = within([[-5, 0, 5, 5], [0, 0, 10, 10], [3, 3, 14, 4]], (10, 10))
    assert boxes.tolist() == [[0, 0, 5, 5], [0, 0, 10, 10], [3, 3, 10, 4]]
    assert cut == 2
    assert compare([np.ones((6, 7))], [[[-9, -9, 7, 6]]]).cut == 1


def test_bad_truths() -> None:
    one = np.ones((6, 7))
    with pytest.raises(
        InputError, match=r"picture 0: expected a box within 7 x 6 pixels, got \[\["
    ):
        compare([one], [[[20, 0, 30, 5]]])
    with pytest.raises(InputError, match=r"picture 1: expected a box within .*, got none; leave"):
        compare([one] * 2, [[[0, 0, 1, 1]], []])
    with pytest.raises(InputError, match=r"truths: expected true boxes .* got 1 for 2 maps"):
        compare([one] * 2, [[[0, 0, 1, 1]]])
    with pytest.raises(InputError, match=r"truths: .* got 0 for 0 maps"):
        compare([], [])
    with pytest.raises(InputError, match="map: expected finite evidence"):
        compare([one * np.nan], [[[0, 0, 1, 1]]])
    with pytest.raises(InputError, match="thresholds: expected shares"):
        compare([one], [[[0, 0, 1, 1]]], thresholds=np.array([0.5, 1.0]))
    with pytest.raises(InputError, match=r"frame: expected \(width, height\) .* got 3 of them"):
        compare([one], [[[0, 0, 1, 1]]], frame=[(7, 6)] * 3)
    with pytest.raises(InputError, match=r"convention: .* did you mean choe"):
        compare([one], [[[0, 0, 1, 1]]], convention="chloe")


def test_localisation_errors_by_hand() -> None:
    predicted = np.array([[3, 1], [1, 0], [2, 0], [0, 3]])
    labels = np.array([3, 0, 2, 1])
    ious = np.array([[0.5, 0.9], [0.9, 0.6], [0.4, 0.9], [0.9, 0.9]])

    def error(top: int, **options: Any) -> float:
        return localisation_error(predicted, labels, ious, num_classes=4, top=top, **options).value

    assert error(1) == 0.75  # only the first picture's first guess is right in both
    assert error(2) == 0.5
    assert error(2, iou=0.4) == 0.25
    assert error(2, iou=0.61) == 1.0


def test_localisation_errors_refuse() -> None:
    good: dict[str, Any] = {"num_classes": 4, "top": 1}
    ids, labels, ious = np.array([[1]]), np.array([1]), np.array([[0.5]])
    with pytest.raises(ClassError, match="labels: expected 0 to 3, got 4; check which model"):
        localisation_error(ids, labels + 3, ious, **good)
    with pytest.raises(ClassError, match="predicted: expected 0 to 3, got -1"):
        localisation_error(ids - 2, labels, ious, **good)
    with pytest.raises(InputError, match="top: expected as many guesses as count, got 5 of 1"):
        localisation_error(ids, labels, ious, num_classes=4)
    with pytest.raises(InputError, match=r"got \(1, 2\) for guesses \(1, 1\), 1 labels"):
        localisation_error(ids, labels, np.ones((1, 2)), **good)


@pytest.mark.parametrize("convention", ["half-open", "choe"])
def test_both_choices_of_components_at_once(convention: Convention) -> None:
    maps = np.random.default_rng(0).standard_normal((4, 7, 7))
    truths = [[[1.0, 2.0, 5.0, 6.0]], [[0.0, 0.0, 3.0, 3.0], [4.0, 4.0, 7.0, 7.0]]] * 2
    both = both_overlaps(maps, truths, frame=(7, 7), convention=convention)
    for found, components in zip(both, ("largest", "all"), strict=True):
        options: Any = {"components": components, "convention": convention}
        alone = box_overlaps(maps, truths, frame=(7, 7), **options)
        assert np.array_equal(found.values, alone.values)
        assert (found.components, found.convention) == (components, convention)
