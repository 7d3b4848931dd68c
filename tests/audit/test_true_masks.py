"""Masks beside pictures: boxes that are together what the mask holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from tests.audit.materials import classifier, lay_out

import seewhy
from seewhy import images
from seewhy.audit.local import Wish, run
from seewhy.audit.opened import open_audit
from seewhy.audit.sources import list_pictures
from seewhy.audit.true_masks import covering
from seewhy.errors import DataError
from seewhy.geometry import Geometry


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.booleans()))
def test_boxes_hold_each_pixel_of_the_mask_once(mask: NDArray[np.bool_]) -> None:
    painted = np.zeros(mask.shape, int)
    for x0, y0, x1, y1 in covering(mask).astype(int).tolist():
        painted[y0:y1, x0:x1] += 1
    np.testing.assert_array_equal(painted, mask)


def test_equal_runs_below_each_other_are_one_box() -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:6] = True
    mask[3:5, 2:4] = True
    assert covering(mask).tolist() == [[2, 1, 6, 3], [2, 3, 4, 5]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "data", 6)


def disc(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A disc in the middle, which is 1: not white, but not 0 either."""
    y, x = np.mgrid[: size[1], : size[0]]
    far = (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2
    return np.asarray(far < (min(size) / 3) ** 2, np.uint8)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA"])
def test_masks_find_their_pictures(folder: Path, tmp_path: Path, mode: str) -> None:
    masks = tmp_path / "masks"
    (masks / "cat").mkdir(parents=True)
    expected = disc(images.read(folder / "cat" / "0000.png").size)
    values = expected * 255 if mode == "1" else expected
    made = PIL.Image.fromarray(values, "L")
    if mode == "P":
        made.putpalette([0, 0, 0, 200, 0, 0])
    else:
        made = made.convert(mode)
    made.save(masks / "cat" / "0000.png")
    listing = list_pictures(folder, boxes=masks)
    found = listing.entry(0).boxes
    assert found is not None
    np.testing.assert_array_equal(found, covering(expected > 0))
    assert listing.entry(4).boxes is None


def test_evidence_outside_a_mask(folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    size = images.read(folder / "cat" / "0000.png").size
    PIL.Image.fromarray(disc(size)).save(masks / "0000.png")
    wish = Wish(batch_size=4, threads=1, engine="torch", boxes=masks)
    run(str(folder), classifier(), tmp_path / "run", wish)
    audit = open_audit(tmp_path / "run")
    row = audit.row(0, ["inside", "predicted"])
    assert audit.row(4, ["inside"])["inside"] is None  # it has no mask
    explained = seewhy.explain(classifier(), folder / "cat" / "0000.png", [row["predicted"]])
    geometry = explained.geometry[0]
    assert geometry is not None
    share = point_by_point(explained.maps[0, 0].numpy(), disc(size), geometry)
    assert 0.02 < share < 0.98
    assert row["inside"] == pytest.approx(share, abs=0.005)


def point_by_point(
    map_: NDArray[np.float32], mask: NDArray[np.uint8], geometry: Geometry, fine: int = 20
) -> float:
    """The share of the positive evidence on a mask: points of the input, sought in the original."""
    (width, height), (rows, columns) = geometry.prepared, map_.shape
    inside = total = 0.0
    for j, i in np.ndindex(height * fine, width * fine):
        x, y = (i + 0.5) / fine, (j + 0.5) / fine
        value = max(float(map_[int(y * rows / height), int(x * columns / width)]), 0.0)
        u = int((x - geometry.offset[0]) / geometry.scale[0])
        v = int((y - geometry.offset[1]) / geometry.scale[1])
        is_there = 0 <= u < mask.shape[1] and 0 <= v < mask.shape[0]
        inside += value if is_there and mask[v, u] else 0.0
        total += value
    return inside / total


def test_bad_masks_are_told(folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    width, height = images.read(folder / "cat" / "0000.png").size
    PIL.Image.new("L", (width, height - 1), 1).save(masks / "0000.png")
    with pytest.raises(DataError, match=f"expected {width} x {height} pixels, as the picture has"):
        list_pictures(folder, boxes=masks)
    (masks / "0000.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="expected a picture, 0 where the object is not"):
        list_pictures(folder, boxes=masks)


def test_a_picture_is_not_its_own_mask(folder: Path) -> None:
    with pytest.raises(DataError, match="got none that fit"):
        list_pictures(folder, boxes=folder)
