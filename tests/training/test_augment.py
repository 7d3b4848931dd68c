"""Augmentation by index arithmetic, against cutting out of padded pictures one by one."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.augmentation import mixed, painted_over, patched_over, viewed

from seewhy.preprocess import Preprocess
from seewhy.training.augment import (
    HOLE,
    Augmentation,
    Views,
    augmentation,
    gather,
    grey,
    kept,
    mirrored_inside,
    normalise,
)

ROWS = torch.tensor([5, 1, 2])


def noise(count: int, height: int, width: int, channels: int = 3) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    shape = (count, height, width, channels)
    return torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)


@given(
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    step=st.integers(0, 99),
    margin=st.floats(0, 0.49),
    hole=st.floats(0, 0.99),
)
def test_a_batch_is_what_each_picture_gives(
    height: int, width: int, step: int, margin: float, hole: float
) -> None:
    pictures = noise(20, height, width)
    rows = torch.randperm(20, generator=torch.Generator().manual_seed(step))[:7]
    chance = augmentation(step, (height, width), margin=margin, flip=True, count=20, hole=hole)
    views = chance.views(step, step, rows)
    got = gather(pictures, rows, views).numpy()
    for place, row in enumerate(rows.tolist()):
        down, right = int(views.down[place]), int(views.right[place])
        mirrored = bool(views.mirrored[place])
        want = viewed(pictures[row].numpy(), down=down, right=right, mirrored=mirrored)
        if views.holes is not None:
            want = painted_over(want, views.holes[place].tolist(), HOLE)
        np.testing.assert_array_equal(got[place], want)


@given(
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    step=st.integers(0, 99),
    hidden=st.floats(0, 0.99),
    alpha=st.floats(0.1, 4),
    is_grey=st.booleans(),
)
def test_a_batch_is_what_patches_and_neighbours_give(
    height: int, width: int, step: int, hidden: float, alpha: float, is_grey: bool
) -> None:
    pictures, rows = noise(9, height, width), torch.tensor([4, 0, 8, 3])
    mean = (0.5,) if is_grey else (0.25, 0.5, 1.0)
    chance = augmentation(
        step,
        (height, width),
        margin=0,
        flip=False,
        count=9,
        hide_and_seek=hidden,
        cutmix=alpha,
        mean=mean,
    )
    views = chance.views(step, step, rows)
    assert views.mixed is not None
    got, shares = gather(pictures, rows, views).numpy(), kept(views.mixed, height, width)
    shade = [128] * 3 if is_grey else [64, 128, 255]
    every = [pictures[row].numpy() for row in rows]
    if views.hidden is not None:
        hide = views.hidden.tolist()
        every = [patched_over(one, of_it, shade) for one, of_it in zip(every, hide, strict=True)]
    for place, box in enumerate(views.mixed.tolist()):
        want, share = mixed(every[place], every[(place + 1) % 4], box)
        np.testing.assert_array_equal(got[place], want)
        assert float(shares[place]) == pytest.approx(share, abs=1e-6)


def test_one_picture_by_hand() -> None:
    picture = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]])[None, :, :, None]
    one = torch.zeros(1, dtype=torch.int64)

    def seen(down: int, right: int, mirrored: bool) -> list[list[int]]:
        views = Views(one + down, one + right, torch.tensor([mirrored]))
        rows: list[list[int]] = gather(picture, one, views)[0, :, :, 0].tolist()
        return rows

    assert seen(0, 0, False) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert seen(1, 0, False) == [[4, 5, 6], [7, 8, 9], [4, 5, 6]]
    assert seen(0, -1, False) == [[2, 1, 2], [5, 4, 5], [8, 7, 8]]
    assert seen(0, 0, True) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert seen(0, 1, True) == [[2, 3, 2], [5, 6, 5], [8, 9, 8]]


def test_places_beyond_the_edge_are_reflections() -> None:
    places = torch.arange(-3, 7)
    assert mirrored_inside(places, 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_the_draws_of_published_runs() -> None:
    chance = augmentation(0, (32, 32), margin=0.125, flip=True, count=8)
    assert chance.sides is not None
    assert chance.sides.tolist() == [1, 1, 0, 1, 0, 0, 1, 0]
    views = chance.views(3, 0, ROWS)
    assert views.down.tolist() == [1, -3, 0]
    assert views.right.tolist() == [2, 0, -4]
    assert views.mirrored.tolist() == [False, True, False]


def test_every_shift_is_as_likely() -> None:
    chance = augmentation(1, (8, 16), margin=0.25, flip=False, count=1)
    rows = torch.zeros(9000, dtype=torch.int64)
    views = chance.views(0, 0, rows)
    assert (
        torch.unique(views.down, return_counts=True)[1]
        .float()
        .div(1800)
        .allclose(torch.ones(5), atol=0.1)
    )
    assert torch.unique(views.right).tolist() == list(range(-4, 5))


def test_a_picture_is_mirrored_in_every_other_epoch() -> None:
    chance = augmentation(1, (8, 8), margin=0, flip=True, count=100)
    rows = torch.arange(100)
    first, second, third = (chance.views(epoch, epoch, rows).mirrored for epoch in range(3))
    assert 30 < int(first.sum()) < 70
    assert torch.equal(second, ~first)
    assert torch.equal(third, first)


def test_without_flips_none_is_mirrored() -> None:
    chance = augmentation(1, (8, 8), margin=0.25, flip=False, count=9)
    assert not any(chance.views(0, epoch, ROWS).mirrored.any() for epoch in range(2))


def test_holes_are_of_every_size_and_everywhere() -> None:
    chance = augmentation(0, (20, 40), margin=0, flip=False, count=1, hole=0.5)
    holes = chance.views(0, 0, torch.zeros(5000, dtype=torch.int64)).holes
    assert holes is not None
    top, left, bottom, right = holes.T
    high, wide = bottom - top, right - left
    assert torch.bincount(high).tolist() == pytest.approx([5000 / 11] * 11, rel=0.2)
    assert (int(wide.min()), int(wide.max())) == (0, 20)
    middles = torch.stack([top + high // 2, left + wide // 2])
    assert middles.amin(1).tolist() == [0, 0]
    assert middles.amax(1).tolist() == [19, 39]


def test_holes_leave_all_other_draws_as_they_are() -> None:
    without, with_holes = (
        augmentation(0, (32, 32), margin=0.125, flip=True, count=8, hole=hole).views(3, 0, ROWS)
        for hole in (0.0, 0.5)
    )
    assert without.holes is None
    assert with_holes.holes is not None
    for name in ("down", "right", "mirrored"):
        assert torch.equal(getattr(without, name), getattr(with_holes, name))


def test_holes_of_cutout_are_all_as_large_and_everywhere() -> None:
    chance = augmentation(0, (20, 40), margin=0, flip=False, count=1, cutout=0.5)
    holes = chance.views(0, 0, torch.zeros(5000, dtype=torch.int64)).holes
    assert holes is not None
    top, left, bottom, right = holes.T
    assert set((bottom - top).tolist()) == {10}
    assert set((right - left).tolist()) == {20}
    assert (int(top.min()), int(top.max())) == (-5, 14)
    assert (int(left.min()), int(left.max())) == (-10, 29)


def all_of(chance: Augmentation, count: int = 5000) -> Views:
    return chance.views(0, 0, torch.zeros(count, dtype=torch.int64))


def test_each_patch_is_hidden_as_often_as_it_says() -> None:
    chance = augmentation(0, (32, 32), margin=0, flip=False, count=1, hide_and_seek=0.25)
    hidden = all_of(chance).hidden
    assert hidden is not None
    assert hidden.float().mean(0).flatten().tolist() == pytest.approx([0.25] * 16, abs=0.025)
    apart = hidden.flatten(1).float()
    assert float((apart.T.corrcoef() - torch.eye(16)).abs().max()) < 0.06


@pytest.mark.parametrize(("alpha", "spread"), [(1.0, 1 / 12), (0.3, 0.25 / 1.6)])
def test_what_is_mixed_is_distributed_as_beta(alpha: float, spread: float) -> None:
    chance = augmentation(0, (1000, 1000), margin=0, flip=False, count=1, cutmix=alpha)
    boxes = all_of(chance).mixed
    assert boxes is not None
    top, left, bottom, right = boxes.double().T
    taken = (bottom - top) * (right - left) / 1e6  # before its edges are cut off
    assert float(taken.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(taken.var()) == pytest.approx(spread, rel=0.05)
    assert bool(((bottom - top) == (right - left)).all())
    assert float(kept(boxes, 1000, 1000).mean()) > 0.5


def test_patches_and_mixtures_leave_all_other_draws_as_they_are() -> None:
    without, beside = (
        augmentation(
            0,
            (32, 32),
            margin=0.125,
            flip=True,
            count=8,
            hole=0.5,
            hide_and_seek=share,
            cutmix=share,
        ).views(3, 0, ROWS)
        for share in (0.0, 0.5)
    )
    assert without.hidden is without.shades is without.mixed is None
    assert beside.hidden is not None
    assert beside.mixed is not None
    for name in ("down", "right", "mirrored", "holes"):
        assert torch.equal(getattr(without, name), getattr(beside, name))


def test_the_patches_and_mixtures_of_published_runs() -> None:
    chance = augmentation(0, (32, 32), margin=0, flip=False, count=8, hide_and_seek=0.5, cutmix=1.0)
    views = chance.views(3, 0, ROWS)
    assert views.hidden is not None
    assert views.mixed is not None
    assert views.hidden[0].int().tolist() == [
        [1, 1, 0, 1],
        [0, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 1, 0, 0],
    ]
    assert views.mixed.tolist() == [[16, -1, 47, 30], [6, 1, 30, 25], [8, 24, 22, 38]]


def test_the_holes_of_published_runs() -> None:
    chance = augmentation(0, (32, 32), margin=0.125, flip=True, count=8, hole=0.5)
    holes = chance.views(3, 0, ROWS).holes
    assert holes is not None
    assert holes.tolist() == [[2, 2, 18, 18], [12, 25, 24, 37], [20, 24, 26, 30]]


def test_parts_of_a_batch_are_looked_at_as_the_whole_is() -> None:
    pictures, rows = noise(9, 6, 6), torch.arange(8)
    views = augmentation(0, (6, 6), margin=0.3, flip=True, count=9, hole=0.5).views(1, 0, rows)
    whole = gather(pictures, rows, views)
    halves = [gather(pictures, rows[part], views[part]) for part in (slice(4), slice(4, 8))]
    assert torch.equal(torch.cat(halves), whole)


@pytest.mark.parametrize("channels", [1, 3])
def test_networks_are_given_what_explain_gives_them(channels: int) -> None:
    preprocess = Preprocess(
        (8, 6), 1.0, "squash", mean=(0.5, 0.4, 0.3)[:channels], std=(0.2,) * channels
    )
    pictures = noise(4, 6, 8)
    want = [preprocess(PIL.Image.fromarray(each.numpy()))[0] for each in pictures]
    got = normalise(pictures, preprocess.mean, preprocess.std)
    assert got.is_contiguous(memory_format=torch.channels_last)
    rounded = 1e-5 if channels == 3 else 1.01 / 255 / 0.2  # Pillow rounds grey to 8 bits
    np.testing.assert_allclose(got.numpy(), np.stack(want), atol=rounded)


def test_grey_is_what_pillow_calls_so() -> None:
    colours = noise(1, 16, 16)
    want = np.asarray(PIL.Image.fromarray(colours[0].numpy()).convert("L"), dtype=np.float32)
    assert np.abs(grey(colours[0].float())[..., 0].numpy() - want).max() < 1


def test_the_pictures_stay_as_they_are() -> None:
    pictures = noise(4, 6, 6)
    before = pictures.clone()
    normalise(pictures, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
    assert torch.equal(pictures, before)
