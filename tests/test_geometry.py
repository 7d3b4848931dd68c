from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Image, Resampling, Transpose

from seewhy.errors import InputError
from seewhy.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable

sides = st.integers(1, 3000)
sizes = st.tuples(sides, sides)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    geometry = Geometry.identity(draw(sizes))
    for step in draw(st.lists(st.sampled_from(["resize", "crop", "pad", "flip"]), max_size=5)):
        geometry = STEPS[step](draw, geometry)
    return geometry


def _crop(draw: st.DrawFn, geometry: Geometry) -> Geometry:
    x = sorted(draw(st.tuples(st.integers(-9, 3000), st.integers(-9, 3000))))
    y = sorted(draw(st.tuples(st.integers(-9, 3000), st.integers(-9, 3000))))
    return geometry.crop((x[0], y[0], x[1] + 1, y[1] + 1))


STEPS: dict[str, Callable[[st.DrawFn, Geometry], Geometry]] = {
    "resize": lambda draw, geometry: geometry.resize(draw(sizes)),
    "crop": _crop,
    "pad": lambda draw, geometry: geometry.pad(*draw(st.tuples(*[st.integers(0, 99)] * 4))),
    "flip": lambda draw, geometry: geometry.flip(
        horizontal=draw(st.booleans()), vertical=draw(st.booleans())
    ),
}

coordinates = st.floats(-4000, 4000)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5)


@given(geometries(), points)
def test_points_return_to_where_they_came_from(
    geometry: Geometry, start: list[tuple[float, float]]
) -> None:
    there = geometry.to_original(geometry.to_prepared(start))
    back = geometry.to_prepared(geometry.to_original(start))
    assert there.shape == back.shape == (len(start), 2)
    # the prepared frame may be thousands of times finer or coarser than the picture
    span = 1e-9 * (1 + max(map(abs, geometry.offset)))
    np.testing.assert_allclose(there, start, atol=span * max(1, 1 / min(map(abs, geometry.scale))))
    np.testing.assert_allclose(back, start, atol=span)


@given(geometries(), points)
def test_boxes_return_and_stay_ordered(
    geometry: Geometry, corners: list[tuple[float, float]]
) -> None:
    boxes = np.array([[x, y, x + 7, y + 5] for x, y in corners])
    prepared = geometry.boxes_to_prepared(boxes)
    assert (prepared[:, :2] <= prepared[:, 2:]).all()
    span = 1e-9 * (1 + max(map(abs, geometry.offset))) * max(1, 1 / min(map(abs, geometry.scale)))
    np.testing.assert_allclose(geometry.boxes_to_original(prepared), boxes, atol=span)


def test_a_thumbnail_leads_to_the_same_input() -> None:
    geometry = Geometry.identity((400, 300)).resize((200, 150)).crop((40, 20, 140, 120))
    thumbnail = geometry.seen_from((40, 60))
    assert thumbnail.visible == (8, 8, 28, 48)
    assert thumbnail.to_prepared([[8, 8]]).tolist() == geometry.to_prepared([[80, 40]]).tolist()
    assert thumbnail.seen_from((400, 300)) == geometry


@given(geometries())
def test_json_gives_back_the_same_value(geometry: Geometry) -> None:
    assert Geometry.from_json(json.loads(json.dumps(geometry.to_json()))) == geometry


@given(geometries())
def test_what_is_visible_lies_in_both_pictures(geometry: Geometry) -> None:
    x0, y0, x1, y1 = geometry.visible
    assert 0 <= x0 <= x1 <= geometry.original[0]
    assert 0 <= y0 <= y1 <= geometry.original[1]
    if x0 < x1 and y0 < y1:
        left, top, right, bottom = geometry.boxes_to_prepared(geometry.visible)
        slack = 1e-6 * (1 + max(map(abs, geometry.offset)))
        assert left >= -slack
        assert top >= -slack
        assert right <= geometry.prepared[0] + slack
        assert bottom <= geometry.prepared[1] + slack


def test_by_hand() -> None:
    # 400 x 300 -> 200 x 150 -> crop 40 and 20 off -> mirrored in 100 pixels -> 10 pixels of border
    geometry = Geometry.identity((400, 300)).resize((200, 150)).crop((40, 20, 140, 120))
    assert geometry.scale == (0.5, 0.5)
    assert geometry.offset == (-40, -20)
    assert geometry.visible == (80, 40, 280, 240)
    flipped = geometry.flip()
    assert flipped.to_prepared([[80, 40], [280, 240]]).tolist() == [[100, 0], [0, 100]]
    padded = flipped.pad(10, 0, 0, 0)
    assert padded.prepared == (110, 100)
    assert padded.boxes_to_original([[10, 0, 110, 100]]).tolist() == [[80, 40, 280, 240]]


def test_what_was_cropped_away_does_not_come_back_with_a_border() -> None:
    geometry = Geometry.identity((100, 100)).crop((20, 20, 80, 80)).pad(20, 20, 20, 20)
    assert geometry.offset == (0, 0)
    assert geometry.visible == (20, 20, 80, 80)


# name: (what Pillow does, what Geometry records)
MARKED_BLOCK: dict[str, tuple[Callable[[Image], Image], Callable[[Geometry], Geometry]]] = {
    "smaller": (
        lambda image: image.resize((60, 40), Resampling.BOX),
        lambda geometry: geometry.resize((60, 40)),
    ),
    "larger": (
        lambda image: image.resize((360, 320), Resampling.NEAREST),
        lambda geometry: geometry.resize((360, 320)),
    ),
    "cropped": (
        lambda image: image.crop((10, 20, 110, 70)),
        lambda geometry: geometry.crop((10, 20, 110, 70)),
    ),
    "padded": (
        lambda image: image.crop((-5, -7, 120 + 11, 80 + 13)),
        lambda geometry: geometry.pad(5, 7, 11, 13),
    ),
    "mirrored": (
        lambda image: image.transpose(Transpose.FLIP_LEFT_RIGHT),
        lambda geometry: geometry.flip(),
    ),
    "upside down": (
        lambda image: image.transpose(Transpose.FLIP_TOP_BOTTOM),
        lambda geometry: geometry.flip(horizontal=False, vertical=True),
    ),
    "all of it": (
        lambda image: (
            image.resize((240, 160), Resampling.NEAREST)
            .crop((20, 40, 220, 150))
            .transpose(Transpose.FLIP_LEFT_RIGHT)
        ),
        lambda geometry: geometry.resize((240, 160)).crop((20, 40, 220, 150)).flip(),
    ),
}


@pytest.mark.parametrize("name", MARKED_BLOCK)
def test_a_marked_block_lands_where_the_geometry_says(name: str) -> None:
    do, record = MARKED_BLOCK[name]
    picture = PIL.Image.new("L", (120, 80))
    block = (40, 24, 64, 56)
    picture.paste(255, block)
    prepared, geometry = do(picture), record(Geometry.identity(picture.size))
    assert geometry.prepared == prepared.size
    seen = prepared.getbbox() or ()
    assert geometry.boxes_to_prepared([block]).tolist() == [list(seen)]
    assert geometry.boxes_to_original([seen]).tolist() == [list(block)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Geometry.identity((0, 5)),
        lambda: Geometry.identity((5, 5)).resize((0, 5)),
        lambda: Geometry.identity((5, 5)).crop((3, 0, 3, 5)),
        lambda: replace(Geometry.identity((5, 5)), scale=(0.0, 1.0)),
    ],
)
def test_a_picture_without_pixels_is_refused(make: Callable[[], Geometry]) -> None:
    with pytest.raises(InputError, match=r"^geometry: expected sizes of at least 1 x 1 and a sc"):
        make()


@pytest.mark.parametrize(
    "data", [{}, {"original": [3, 3]}, None, {**Geometry.identity((3, 3)).to_json(), "scale": [1]}]
)
def test_json_of_something_else_is_refused(data: Any) -> None:
    with pytest.raises(InputError, match=r"^geometry: expected a dict of original, prepared, sca"):
        Geometry.from_json(data)
