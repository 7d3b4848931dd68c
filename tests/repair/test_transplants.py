"""Regions, cut out and pasted."""

from __future__ import annotations

import numpy as np
import torch

from seewhy.repair.transplants import added, filled, pixels_of, regions, transplanted

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


def test_what_stands_out_in_a_region_is_added() -> None:
    """One pixel of 250, the others 10: the mean around them, over all four cells, is 25."""
    hosts, donors = np.full((2, 4, 4, 3), 100, np.uint8), np.full((2, 4, 4, 3), 10, np.uint8)
    donors[:, 0, 0] = 250
    made = added(hosts, donors, CELLS)
    assert (made[0, 0, 0] == 255).all()
    assert (made[0, 1:, :2] == 85).all()
    assert (made[0, :, 2:] == 100).all()
    assert (made[1] == 100).all()
    assert (hosts == 100).all()
    assert added(hosts[:0], donors[:0], CELLS[:0]).shape == (0, 4, 4, 3)


def test_many_pictures_are_done_in_parts() -> None:
    rng = np.random.default_rng(0)
    hosts, donors = rng.integers(0, 256, (2, 300, 6, 6, 3), dtype=np.uint8)
    cells = torch.from_numpy(rng.integers(0, 2, (300, 3, 3))).bool()
    each = [added(hosts[i : i + 1], donors[i : i + 1], cells[i : i + 1]) for i in range(300)]
    np.testing.assert_array_equal(added(hosts, donors, cells), np.concatenate(each))
