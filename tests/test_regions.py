"""Regions on the original picture, whatever was done to it before the network saw it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import seewhy
from seewhy.errors import InputError
from seewhy.geometry import Geometry
from seewhy.preprocess import Preprocess
from seewhy.regions import Region, Search

SIDES = st.integers(8, 60)


def spot(row: int, column: int) -> Any:
    map_ = np.full((4, 4), -1.0, dtype=np.float32)
    map_[row, column] = 8.0
    return map_


def red_counts() -> nn.Module:
    """One logit for red, one against it; the evidence is the picture's red, in cells of 8 x 8."""
    conv, linear = nn.Conv2d(3, 2, 1), nn.Linear(2, 2)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[..., None, None])
        conv.bias = None
        linear.weight.copy_(torch.tensor([[1.0, 0.5], [-1.0, 0.0]]))
    return nn.Sequential(nn.AvgPool2d(8), conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)


def test_by_hand() -> None:
    """A 4 x 4 map over a 400 x 200 picture that was squashed to 16 x 16."""
    geometry = Geometry.identity((400, 200)).resize((16, 16))
    (found,) = Search(0.5).regions(spot(1, 2), geometry)
    # 8 in the middle two rows of a cell, bilinear between: above 4 in the cell, and no further
    assert found.box == (200, 50, 300, 100)
    assert found.outline[:2] == ((225, 50), (275, 50))  # corners of the input are below
    assert found.picture == (400, 200)
    assert found.box_on((40, 20)) == (20, 5, 30, 10)
    assert 0 < found.share < 1
    assert found.to_json() == {
        "box": [200, 50, 300, 100],
        "peak": found.peak,
        "share": found.share,
    }


@given(SIDES, SIDES, st.booleans(), st.integers(0, 3), st.integers(0, 3))
def test_there_and_back(width: int, height: int, flipped: bool, row: int, column: int) -> None:
    """A cell's box, through resizing, cropping and mirroring, holds the point the cell saw."""
    geometry = Geometry.identity((width, height)).resize((40, 40)).crop((4, 4, 36, 36))
    geometry = geometry.flip(horizontal=flipped)
    (found,) = Search(0.5).regions(spot(row, column), geometry)
    x, y = geometry.to_original([(column + 0.5) * 8, (row + 0.5) * 8])
    assert found.box[0] < x < found.box[2]
    assert found.box[1] < y < found.box[3]
    left, top, right, bottom = geometry.visible
    assert left <= found.box[0] < found.box[2] <= right
    assert top <= found.box[1] < found.box[3] <= bottom
    for point in found.outline:
        assert left <= point[0] <= right
        assert top <= point[1] <= bottom


def test_nothing_to_find() -> None:
    whole = Geometry.identity((16, 16))
    for map_ in (-np.ones((4, 4)), np.zeros((4, 4)), np.full((4, 4), np.nan)):
        assert Search(0.2, "all").regions(map_, whole) == ()
    padded = Geometry.identity((16, 4)).pad(0, 6, 0, 6)
    assert Search(0.5).regions(spot(0, 0), padded) == ()  # all of it in the border


def test_of_an_explanation() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[8:16, 16:32] = (255, 0, 0)
    pixels[24:32, 0:8] = (255, 0, 0)

    def prepare(image: Any) -> Any:
        scaled = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255
        return scaled, Geometry.identity(image.size)

    result = seewhy.explain(red_counts(), pixels, [0, 1], preprocess=prepare)
    ((red, against),) = seewhy.locate(result, 0.6)
    assert [region.box for region in red] == [(17, 9, 32, 15)]
    assert against == ()
    ((both, _),) = seewhy.locate(result, 0.6, "all")
    assert [region.box for region in both] == [(17, 9, 32, 15), (0, 25, 7, 32)]
    assert isinstance(both[0], Region)
    ((by_logits, _),) = seewhy.locate(result, 0.6 * float(result.maps.max()), unit="logits")
    assert [region.box for region in by_logits] == [(17, 9, 32, 15)]


def test_of_a_picture_that_lies_on_its_side(tmp_path: Path) -> None:
    """EXIF says that the file's left is the picture's top: its boxes are upright all the same."""
    pixels = np.full((32, 64, 3), (0, 60, 0), dtype=np.uint8)
    pixels[8:16, 48:64] = (255, 0, 0)
    upright = Image.fromarray(pixels)
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees clockwise to see it
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    plain: Any = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "crop": 1.0}
    prepare = Preprocess(size=(32, 32), mode="squash", **plain)
    found = [
        seewhy.locate(seewhy.explain(red_counts(), tmp_path / name, 0, preprocess=prepare), 0.5)
        for name in ("upright.png", "turned.png")
    ]
    assert found[0] == found[1]
    x0, y0, x1, y1 = found[0][0][0][0].box
    assert found[0][0][0][0].picture == (64, 32)
    assert (x0, x1) == pytest.approx((48, 64), abs=2)
    assert (y0, y1) == pytest.approx((8, 16), abs=2)


def test_of_tensors() -> None:
    result = seewhy.explain(red_counts(), torch.rand(2, 3, 32, 32), 0)
    with pytest.raises(InputError, match=r"size: expected the \(width, height\) of the network's"):
        seewhy.locate(result)
    found = seewhy.locate(result, size=(32, 32))
    assert [len(classes) for classes in found] == [1, 1]
    assert found[0][0][0].picture == (32, 32)


def test_only_where_there_is_height_and_width() -> None:
    net = nn.Sequential(
        nn.Conv1d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    result = seewhy.explain(net, torch.rand(1, 1, 20))
    with pytest.raises(InputError, match="explanation: expected maps with height and width, got a"):
        seewhy.locate(result)


def test_a_search_is_checked_at_once() -> None:
    with pytest.raises(InputError, match="threshold: expected a share of the maximum from 0"):
        Search(1.5)
    with pytest.raises(InputError, match="components: expected 'largest' or 'all', got 'some'"):
        Search(components="some")  # type: ignore[arg-type]
