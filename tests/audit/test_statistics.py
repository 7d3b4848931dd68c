"""Each statistic beside a naive one, pixel by pixel on a fine grid."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seewhy import localize
from seewhy.audit import statistics
from seewhy.audit.statistics import Placed
from seewhy.geometry import Geometry
from seewhy.metrics.concentration import share_of_top

FINE = 60  # points a cell and side

HAND = np.array([[[4.0, -1.0], [0.0, 1.0]]])
ALONE = Placed.of([Geometry.identity((20, 10))])


def maps(count: int = 6, height: int = 5, width: int = 7) -> NDArray[np.float64]:
    random = np.random.default_rng(0)
    values: NDArray[np.float64] = random.normal(size=(count, height, width)) * 3
    return values


def placings(count: int = 6) -> list[Geometry]:
    """Cropped, padded, mirrored ones."""
    made = []
    for number in range(count):
        start = Geometry.identity((100 + 7 * number, 80)).resize((90, 70))
        cropped = start.crop((10, 5, 80, 55)) if number % 2 else start.crop((-5, -10, 65, 40))
        made.append(cropped.flip() if number % 3 == 0 else cropped)
    return made


def points(geometry: Geometry, grid: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """Fine points over the whole input: their x and y on the original."""
    height, width = grid
    x = (np.arange(width * FINE) + 0.5) / (width * FINE) * geometry.prepared[0]
    y = (np.arange(height * FINE) + 0.5) / (height * FINE) * geometry.prepared[1]
    across = (x - geometry.offset[0]) / geometry.scale[0]
    down = (y - geometry.offset[1]) / geometry.scale[1]
    return across, down


def fine(map_: NDArray[np.float64]) -> NDArray[np.float64]:
    positive: NDArray[np.float64] = np.maximum(map_, 0)
    return positive.repeat(FINE, 0).repeat(FINE, 1)


def test_by_hand() -> None:
    assert statistics.area(HAND).tolist() == [0.5]
    assert statistics.concentration(HAND).tolist() == pytest.approx([0.64])  # 0.8 of a cell
    x, y = statistics.centres(HAND, ALONE)
    assert (x.item(), y.item()) == pytest.approx((0.25 * 0.8 + 0.75 * 0.2,) * 2)
    assert statistics.border(HAND, ALONE).tolist() == pytest.approx([1 - 0.8**2])
    left: NDArray[np.float64] = np.array([[0.0, 0.0, 5.0, 10.0]])
    assert statistics.inside(HAND, ALONE, [left]).tolist() == pytest.approx([0.4])


def test_nothing_positive_has_no_numbers() -> None:
    none = -np.ones((1, 3, 3))
    x, y = statistics.centres(none, ALONE)
    each = [statistics.area(none), statistics.concentration(none), x, y]
    each += [statistics.border(none, ALONE), statistics.inside(none, ALONE, [np.ones((1, 4))])]
    assert np.isnan(np.concatenate(each)).all()
    assert statistics.found_boxes(none, ALONE).of(0) is not None
    assert len(statistics.found_boxes(none, ALONE).corners) == 0


def test_the_same_everywhere() -> None:
    assert statistics.border(np.ones((1, 7, 7)), ALONE).tolist() == pytest.approx([0.36])


def test_concentration_is_the_metric() -> None:
    expected = [share_of_top(each) for each in maps()]
    np.testing.assert_allclose(statistics.concentration(maps()), expected)


def test_centres_are_those_of_the_original() -> None:
    placed = placings()
    found = np.stack(statistics.centres(maps(), Placed.of(placed)), 1)
    for map_, geometry, (x, y) in zip(maps(), placed, found, strict=True):
        centre = localize.centre_of_mass(map_)
        assert centre is not None
        grid = np.array([map_.shape[1], map_.shape[0]])
        at = geometry.to_original(np.array(centre) / grid * geometry.prepared)
        np.testing.assert_allclose((x, y), at / geometry.original)


def test_border_is_that_of_what_was_seen() -> None:
    placed = placings()
    found = statistics.border(maps(), Placed.of(placed))
    for map_, geometry, share in zip(maps(), placed, found, strict=True):
        x0, y0, x1, y1 = geometry.visible
        x, y = points(geometry, map_.shape)
        kept_x = (x > x0 + (x1 - x0) / 10) & (x < x1 - (x1 - x0) / 10)
        kept_y = (y > y0 + (y1 - y0) / 10) & (y < y1 - (y1 - y0) / 10)
        p = fine(map_)
        assert share == pytest.approx(1 - p[kept_y][:, kept_x].sum() / p.sum(), abs=0.01)


def test_inside_is_the_union_of_the_boxes() -> None:
    placed = placings()
    boxes: list[NDArray[np.floating] | None] = [
        np.array([[10.0, 10, 50, 40], [30, 20, 90, 60]]),
        np.array([[10.0, 10, 50, 40]]),
        None,
        np.array([[-5.0, -5, 300, 300], [0, 0, 10, 10]]),
        np.array([[0.0, 0, 20, 20], [60, 40, 90, 70], [10, 10, 70, 50]]),
        np.array([[0.0, 0, 20, 20], [0, 0, 20, 20]]),
    ]
    found = statistics.inside(maps(), Placed.of(placed), boxes)
    assert np.isnan(found[2])
    for map_, geometry, share, corners in zip(maps(), placed, found, boxes, strict=True):
        if corners is not None:
            x, y = points(geometry, map_.shape)
            covered = np.zeros((len(y), len(x)), dtype=bool)
            for x0, y0, x1, y1 in corners:
                covered |= np.outer((y > y0) & (y < y1), (x > x0) & (x < x1))
            p = fine(map_)
            assert share == pytest.approx(p[covered].sum() / p.sum(), abs=0.01)


def test_boxes_are_those_of_localize() -> None:
    placed = placings()
    found = statistics.found_boxes(maps(), Placed.of(placed))
    for row, (map_, geometry) in enumerate(zip(maps(), placed, strict=True)):
        own = localize.boxes(map_, components="all", size=geometry.prepared)
        expected = localize.to_original(own, geometry)
        corners = found.of(row)
        assert corners is not None
        np.testing.assert_allclose(corners, expected, atol=1e-3)
    assert len(found.corners) > len(found)


def test_boxes_do_not_join_from_picture_to_picture() -> None:
    full = np.ones((3, 4, 4))
    found = statistics.found_boxes(full, Placed.of([Geometry.identity((8, 8))] * 3))
    assert found.corners.tolist() == [[0, 0, 8, 8]] * 3
