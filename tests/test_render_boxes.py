"""Boxes on pictures: a white line between dark ones, where the box is, with a label."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.handmade import class_evidence, hill

from seewhy import render
from seewhy.geometry import Box
from seewhy.regions import Region
from seewhy.results import ClassEvidence

GREY = (120, 120, 120)


def entry(*boxes: Box, size: tuple[int, int] = (200, 100), name: str = "cat") -> ClassEvidence:
    found = tuple(Region(box, 1.0, 1.0, (), size) for box in boxes)
    return replace(class_evidence(0, name, hill(3, 3)), regions=found)


def drawn(evidence: ClassEvidence, size: tuple[int, int] = (200, 100)) -> Any:
    return np.asarray(render.outlined(Image.new("RGB", size, GREY), evidence))


def test_by_hand() -> None:
    """A box from 50, 40 to 150, 90: its outermost pixels are dark, the next ones white."""
    shown = drawn(entry((50.0, 40.0, 150.0, 90.0)))
    across = shown[60, :, 0].tolist()
    assert across[49:54] == [120, 24, 255, 24, 120]
    assert across[146:151] == [120, 24, 255, 24, 120]
    down = shown[:, 140, 0].tolist()
    assert down[39:44] == [120, 24, 255, 24, 120]
    assert down[86:91] == [120, 24, 255, 24, 120]
    label = shown[24:40, 50:80, 0]
    assert set(np.unique(label)) >= {24}
    assert label.max() > 200  # letters
    assert (shown[:23] == 120).all()


def test_a_copy_of_another_size() -> None:
    shown = drawn(entry((50.0, 40.0, 150.0, 90.0)), size=(400, 200))
    assert shown[120, 99:103, 0].tolist() == [120, 24, 255, 24]
    assert shown[120, 297:301, 0].tolist() == [24, 255, 24, 120]


def test_nothing_to_draw() -> None:
    for regions in (None, ()):
        evidence = replace(class_evidence(0, "cat", hill(3, 3)), regions=regions)
        assert (drawn(evidence) == 120).all()


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((195.0, 0.0, 200.0, 5.0), (200, 100)),  # no room for the label to the right or above
        ((0.2, 0.2, 0.4, 0.4), (200, 100)),  # no pixel at all
        ((0.0, 0.0, 3.0, 900.0), (3, 900)),  # no room for a letter
        ((0.0, 0.0, 200.0, 100.0), (200, 100)),
    ],
)
def test_what_leaves_little_room(box: Box, size: tuple[int, int]) -> None:
    shown = drawn(entry(box, size=size, name="a name that is long " * 20), size)
    assert shown.shape == (size[1], size[0], 3)
    assert (shown != 120).any()


def test_the_largest_lies_on_top() -> None:
    one, other = (20.0, 20.0, 120.0, 80.0), (70.0, 40.0, 190.0, 95.0)
    shown = drawn(entry(one, other))
    assert shown[30, 117:120, 0].tolist() == [24, 255, 24]
    assert shown[60, 117:120, 0].tolist() == [24, 255, 24]  # within the second one
    assert shown[40, 118].tolist() == [255, 255, 255]  # across the second one's upper line
