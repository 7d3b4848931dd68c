"""Regions, cut out and pasted."""

from __future__ import annotations

import numpy as np
import torch

from seewhy.repair.transplants import filled, pixels_of, regions, transplanted

MAPS = torch.tensor([[[4.0, 1.0], [2.0, -9.0]], [[-1.0, -2.0], [0.0, -3.0]]])
CELLS = torch.tensor([[[True, False], [True, False]], [[False, False], [False, False]]])


def test_a_region_is_what_lies_above_a_fifth_of_the_maximum() -> None:
    assert regions(MAPS, 0.5).tolist() == CELLS.tolist()
    every = [[[True, True], [True, False]], [[False, False], [False, False]]]
    assert regions(MAPS).tolist() == every


def test_cells_become_pixels() -> None:
    inside = pixels_of(CELLS, (4, 6))
    assert inside.shape == (2, 4, 6)
    assert inside[0, :, :3].all()
    assert not inside[0, :, 3:].any()
    assert not inside[1].any()


def test_a_region_is_pasted_at_the_same_place() -> None:
    hosts, donors = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 9, np.uint8)
    made = transplanted(hosts, donors, CELLS)
    assert (made[0, :, :2] == 9).all()
    assert not made[0, :, 2:].any()
    assert not made[1].any()
    assert not hosts.any()


def test_a_filled_region_has_the_colour_of_what_is_around() -> None:
    pictures = np.zeros((2, 4, 4, 3), np.uint8)
    pictures[:, :, :2] = 200
    pictures[:, :, 2:] = (10, 20, 30)
    made = filled(pictures, CELLS)
    assert (made[0] == (10, 20, 30)).all()
    np.testing.assert_array_equal(made[1], pictures[1])
