from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Resampling
from tests.figures.cells import scene

from seewhy.figures.thumbnail import fitted, thumbnail
from seewhy.geometry import Geometry
from seewhy.preprocess import Preprocess


@pytest.mark.parametrize("side", [128, 160, 320])
def test_a_tiny_picture_is_enlarged_by_whole_pixels(side: int) -> None:
    picture = PIL.Image.effect_noise((32, 32), 90).convert("RGB")
    image, geometry = thumbnail(picture, Geometry.identity((32, 32)), side)
    assert image.tobytes() == picture.resize((side, side), Resampling.NEAREST).tobytes()
    assert geometry.scale == (32 / side, 32 / side)


def test_pixels_are_equally_wide_where_they_cannot_be_whole() -> None:
    stripes = PIL.Image.fromarray(np.tile([[0], [255]], (14, 28)).astype(np.uint8)).convert("RGB")
    image, _ = thumbnail(stripes, Geometry.identity(stripes.size), 128)
    column = np.asarray(image)[:, 5, 0].astype(float)
    edges = np.arange(29) * 128 / 28  # each stripe's light, where it lies
    for start, end, light in zip(edges[:-1], edges[1:], [0, 255] * 14, strict=True):
        inside = column[int(np.ceil(start)) : int(end)]
        assert (abs(inside - light) < 1).all()


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(["crop", "squash", "pad"]))
def test_what_the_network_saw_fills_it(width: int, height: int, mode: Any) -> None:
    picture = PIL.Image.new("RGB", (width, height))
    _, seen = Preprocess((64, 64), 0.875, mode)(picture)
    image, geometry = thumbnail(picture, seen, 100)
    assert max(image.size) == 100
    assert geometry.original == image.size
    x0, y0, x1, y1 = seen.visible
    assert image.size == fitted((x1 - x0, y1 - y0), 100)
    corners = [[0, 0], image.size]
    np.testing.assert_allclose(
        geometry.to_prepared(corners), seen.to_prepared([[x0, y0], [x1, y1]]), atol=1e-6
    )


def test_what_the_network_did_not_see_is_cut_off() -> None:
    picture = PIL.Image.new("RGB", (300, 100), "red")
    picture.paste("blue", (100, 0, 200, 100))
    image, _ = thumbnail(picture, Preprocess((64, 64), 1.0)(picture)[1], 50)
    assert image.size == (50, 50)
    assert np.abs(np.asarray(image).astype(int) - [0, 0, 255])[:, 1:-1].max() <= 2


def test_a_mirrored_map_lies_where_it_belongs() -> None:
    seen = Geometry.identity((40, 40)).crop((10, 0, 30, 20)).flip()
    _, geometry = thumbnail(scene(40, 40), seen, 100)
    np.testing.assert_allclose(geometry.to_prepared([[0, 0], [100, 100]]), [[20, 0], [0, 20]])


def test_the_smallest_and_the_longest() -> None:
    for size in [(1, 1), (20_000, 3), (1, 900)]:
        picture = PIL.Image.new("RGB", size)
        image, _ = thumbnail(picture, Geometry.identity(size), 128)
        assert max(image.size) == 128
        assert min(image.size) >= 1
