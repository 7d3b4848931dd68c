"""Slices of volumes with their evidence: which are chosen, and what they show."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from tests.deep_nets import resnet3d
from tests.handmade import class_evidence
from tests.test_render import GOLDEN, differs

from seewhy import InputError, explain, render_volume
from seewhy.results import ClassEvidence
from seewhy.volumes import along_slices, strongest_slices


def body(depth: int = 24, side: int = 48) -> NDArray[np.float64]:
    """A ball with a small bright one inside it, at slice 16 on the right."""
    z, y, x = np.mgrid[:depth, :side, :side] / np.array([depth, side, side]).reshape(3, 1, 1, 1)
    ball = ((z - 0.5) ** 2 + (y - 0.5) ** 2 + (x - 0.5) ** 2) < 0.16
    spot = ((z - 0.68) ** 2 + (y - 0.4) ** 2 + (x - 0.7) ** 2) < 0.006
    values: NDArray[np.float64] = 60.0 * ball + 120.0 * spot
    return values


def evidence(name: str = "nodule") -> ClassEvidence:
    z, y, x = np.mgrid[:6, :6, :6]
    near = np.exp(-((z - 4) ** 2 + (y - 2) ** 2 + (x - 4) ** 2) / 2.0)
    return class_evidence(1, name, (30 * near - 0.5).astype(np.float32), probability=0.74)


def test_a_net_for_volumes_has_exact_maps() -> None:
    torch.manual_seed(0)
    model, x = resnet3d().eval(), torch.randn(2, 1, 8, 12, 12)
    result = explain(model, x, "all")
    assert result.kind == "linear"
    assert result.maps.shape == (2, 3, 4, 6, 6)
    assert result.is_exact
    torch.testing.assert_close(result.evidence + result.bias, model(x).detach())
    assert result.upsample((8, 12, 12)).shape == (2, 3, 8, 12, 12)
    drawn = render_volume(x[0, 0], result.class_evidence(0)[0], count=2)
    assert drawn.width == 2 * 200 + 8 + 24


def test_evidence_between_slices_by_hand() -> None:
    cells = np.array([0.0, 4.0]).reshape(2, 1, 1)
    assert along_slices(cells, 4).ravel().tolist() == [0, 1, 3, 4]
    plane = np.arange(6.0).reshape(1, 2, 3)
    np.testing.assert_array_equal(along_slices(plane, 3), np.repeat(plane, 3, 0))


def test_evidence_between_slices_is_torchs_trilinear() -> None:
    cells = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("f4")
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(cells)[None, None], size=(7, 4, 5), mode="trilinear"
    )[0, 0]
    np.testing.assert_allclose(along_slices(cells, 7), expected, atol=1e-5)


def test_the_strongest_slices_are_chosen_in_order() -> None:
    strengths = np.array([0, 9, 8, 0, 0, 0, 0, 5, 0, -20.0]).reshape(10, 1, 1)
    assert strongest_slices(strengths, 1, "positive") == [1]
    assert strongest_slices(strengths, 2, "positive") == [1, 7]  # 2 is too near to 1
    assert strongest_slices(strengths, 2, "signed") == [1, 9]
    assert strongest_slices(np.zeros((3, 1, 1)), 5, "positive") == [0, 1, 2]


def test_slices_without_evidence_are_spread_evenly() -> None:
    assert strongest_slices(np.zeros((10, 2, 2)), 5, "positive") == [0, 1, 2, 3, 4]


def test_the_slice_with_the_object_is_shown_and_hot_where_it_lies() -> None:
    drawn = np.asarray(render_volume(body(), evidence(), count=1)).astype(int)
    plain = drawn[12 + 17 + 4 :][:200, 12:212]
    laid = drawn[12 + 17 + 4 + 200 + 4 :][:200, 12:212]
    assert (plain[..., 0] == plain[..., 2]).all()
    change = np.abs(laid - plain).sum(-1)
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert abs(row / 200 - 0.42) < 0.12
    assert abs(column / 200 - 0.75) < 0.12
    assert plain[80, 140].tolist() == [255] * 3  # the spot itself, in the slice that was chosen


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_can_be_sliced(axis: int) -> None:
    """The same volume turned, sliced along the axis that it was turned to, looks the same."""
    turned, entry = np.moveaxis(body(), 0, axis), evidence()
    cells = class_evidence(1, "nodule", np.moveaxis(entry.map, 0, axis).copy(), probability=0.74)
    expected = render_volume(body(), entry, count=2)
    assert render_volume(turned, cells, axis=axis, count=2).tobytes() == expected.tobytes()


def test_slices_keep_their_proportions() -> None:
    flat = np.zeros((4, 10, 20))
    entry = class_evidence(0, "a", np.ones((2, 2, 2), np.float32))
    wide = render_volume(flat, entry, count=1)
    tall = render_volume(flat, entry, count=1, spacing=(1, 4, 1))
    assert tall.height - wide.height == 2 * (200 - 100)


def test_a_window_shows_what_lies_in_it() -> None:
    shown = np.asarray(render_volume(body(), evidence(), count=1, window=(0, 60)))
    assert shown[33 + 100, 12 + 60].tolist() == [255] * 3  # the ball is white now
    assert np.asarray(render_volume(body(), evidence(), count=1))[33 + 100, 12 + 60, 0] == 85


def test_nothing_positive_is_drawn_as_nothing() -> None:
    below = class_evidence(0, "a", np.full((2, 2, 2), -3.0, np.float32))
    drawn = np.asarray(render_volume(body(), below, count=1))
    np.testing.assert_array_equal(drawn[33:233, 12:212], drawn[237:437, 12:212])


def test_a_tensor_with_gaps_will_do() -> None:
    volume = torch.zeros(3, 4, 4, requires_grad=True)
    assert render_volume(volume, evidence()).mode == "RGB"
    assert render_volume(np.full((3, 4, 4), np.nan), evidence()).mode == "RGB"


PICTURES: dict[str, Any] = {
    "volume": lambda: render_volume(body(), evidence(), count=4),
    "volume-signed": lambda: render_volume(
        body(), evidence(), axis=2, count=3, style="signed", spacing=(2, 1, 1), against="cyst"
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_golden_volumes(name: str) -> None:
    """Set SEEWHY_UPDATE_GOLDEN=1 to draw them anew; then look at them."""
    path, drawn = GOLDEN / f"{name}.png", PICTURES[name]()
    if os.environ.get("SEEWHY_UPDATE_GOLDEN"):
        drawn.save(path, optimize=True)
    assert path.stat().st_size < 100_000
    with PIL.Image.open(path) as golden:
        assert not differs(drawn, golden)


def test_golden_volumes_tell_a_map_that_is_one_cell_off() -> None:
    right, entry = PICTURES["volume"](), evidence()
    for along in (0, 1, 2):
        moved = class_evidence(1, "nodule", np.roll(entry.map, 1, along), probability=0.74)
        assert differs(right, render_volume(body(), moved, count=4))


WRONG: list[tuple[Any, str]] = [
    (
        lambda: render_volume(np.zeros((1, 2, 3, 4)), evidence()),
        "volume: expected one channel of one volume, (depth, height, width), got shape"
        " (1, 2, 3, 4); draw one channel of one volume at a time",
    ),
    (
        lambda: render_volume(body(), class_evidence(0, "a", np.zeros(4, np.float32))),
        "map: expected evidence in a volume, shape (d, h, w), got shape (4,); draw pictures with"
        " seewhy.render, sequences with render_sequence",
    ),
    (
        lambda: render_volume(body(), evidence(), axis=3),
        "axis: expected 0, 1 or 2, got 3; pass one of these",
    ),
    (
        lambda: render_volume(body(), evidence(), count=0),
        "count: expected 1 or more, got 0; pass another number",
    ),
    (
        lambda: render_volume(body(), evidence(), window=(5, 5)),
        "window: expected the value that is black, then the one that is white, got (5, 5); pass the"
        " smaller one first",
    ),
    (
        lambda: render_volume(body(), evidence(), spacing=(1, 0, 1)),
        "spacing: expected three sizes above 0, got (1, 0, 1); pass the size of a voxel along each"
        " axis",
    ),
]


@pytest.mark.parametrize(("draw", "line"), WRONG)
def test_what_cannot_be_drawn(draw: Any, line: str) -> None:
    with pytest.raises(InputError) as raised:
        draw()
    assert str(raised.value) == line
