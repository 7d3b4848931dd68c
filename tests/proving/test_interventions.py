"""Regions, paint, projections and tests, beside naive derivations of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles import proving as oracle

from seewhy.proving import regions
from seewhy.proving.project import projected
from seewhy.proving.remove import painted_over
from seewhy.proving.transplant import transplanted
from seewhy.proving.trial import Effect, Trial, holm


def test_a_box_holds_what_hangs_together_with_the_peak() -> None:
    maps = np.random.default_rng(0).random((20, 9, 12), dtype=np.float32)
    boxes = regions.peak_boxes(maps)
    assert boxes.tolist() == [list(oracle.peak_box(each, 0.5)) for each in maps]


def test_a_box_that_is_too_large_is_drawn_closer() -> None:
    plane = np.array([[[0.1, 0.55, 0.65, 1.0, 0.1]]], dtype=np.float32)
    assert regions.peak_boxes(plane).tolist() == [[1, 0, 4, 1]]
    assert regions.peak_boxes(plane, 0.4).tolist() == [[2, 0, 4, 1]]
    assert regions.peak_boxes(plane, 0.2).tolist() == [[3, 0, 4, 1]]
    assert regions.peak_boxes(-plane).tolist() == [[0, 0, 5, 1]]


def test_a_direction_is_found_where_its_features_are() -> None:
    features = torch.zeros(1, 2, 4, 4)
    features[0, 1, 3, 0] = 1
    maps = regions.located(features, torch.tensor([5.0, 2.0]), (16, 16))
    assert maps.shape == (1, 16, 16)
    assert regions.peak_boxes(maps).tolist() == [[0, 12, 4, 16]]
    assert maps.max() == pytest.approx(2)


def test_the_discriminant_spreads_two_groups_the_farthest() -> None:
    generator = torch.Generator().manual_seed(0)
    group = torch.randn(30, 4, generator=generator) + torch.tensor([1.0, 0.0, 0.0, 0.5])
    others = torch.randn(20, 4, generator=generator) * torch.tensor([5.0, 1.0, 1.0, 1.0])
    made = regions.discriminant(group, others).numpy()
    naive = oracle.discriminant(group.numpy(), others.numpy(), regions.SHRINKAGE)
    cosine = made @ naive / np.linalg.norm(made) / np.linalg.norm(naive)
    assert abs(cosine) == pytest.approx(1, abs=1e-4)
    assert made @ (group.mean(0) - others.mean(0)).numpy() > 0


def test_the_discriminant_of_groups_that_do_not_vary_is_their_difference() -> None:
    made = regions.discriminant(torch.eye(3)[:1].expand(5, 3), torch.zeros(5, 3))
    assert made[0] > 0
    assert made[1:].tolist() == [0, 0]


def test_boxes_elsewhere_are_as_large_and_do_not_overlap() -> None:
    boxes = np.array([[0, 0, 4, 6], [5, 5, 10, 9], [8, 8, 16, 16]])
    found = regions.boxes_elsewhere(boxes, (16, 16), np.random.default_rng(0))
    for box, other in zip(boxes.tolist(), found.tolist(), strict=True):
        pixels = {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}
        others = {(x, y) for x in range(other[0], other[2]) for y in range(other[1], other[3])}
        assert len(pixels) == len(others)
        assert not pixels & others
        assert min(other) >= 0
        assert max(other) <= 16


def test_boxes_at_peaks_stay_inside() -> None:
    maps = np.zeros((2, 10, 20), dtype=np.float32)
    maps[0, 0, 19] = maps[1, 5, 9] = 1
    like = np.array([[0, 0, 6, 4], [0, 0, 4, 2]])
    assert regions.boxes_at_peaks(maps, like).tolist() == [[14, 0, 20, 4], [7, 4, 11, 6]]
    np.testing.assert_allclose(regions.shares(like, (20, 10)), [0.12, 0.04])


def test_paint_comes_from_around_the_box() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (4, 7, 9, 3), dtype=np.uint8)
    boxes = np.array([[2, 1, 5, 4], [0, 0, 4, 3], [0, 3, 9, 7], [6, 0, 9, 7]])
    before = frames.copy()
    made = painted_over(frames, boxes)
    np.testing.assert_array_equal(frames, before)
    for picture, painted, box in zip(frames, made, boxes.tolist(), strict=True):
        naive = oracle.painted(picture, box).astype(int)
        np.testing.assert_allclose(painted, naive, atol=1)  # halves are rounded either way


def test_a_box_is_pasted_at_its_place() -> None:
    frames = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    donors = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    made = transplanted(frames, donors, np.array([[1, 2, 3, 4]]))
    assert not frames.any()
    np.testing.assert_array_equal(made[0, 2:4, 1:3], donors[0, 2:4, 1:3])
    assert made.sum() == donors[0, 2:4, 1:3].sum()


def test_projecting_is_what_moving_the_features_does() -> None:
    generator = torch.Generator().manual_seed(0)
    group = torch.randn(6, 5, generator=generator) + 1
    others = torch.randn(8, 5, generator=generator)
    weight, bias = torch.randn(3, 5, generator=generator), torch.randn(3, generator=generator)
    made = projected(group, others, weight, bias, 1)
    towards = group.mean(0) - others.mean(0)
    for pooled, effect in ((group, made.done), (others, made.control)):
        before = pooled @ weight.T + bias
        after = oracle.without(pooled[0], others.mean(0), towards) @ weight.T + bias
        assert effect.change[0] == pytest.approx(float((after - before[0])[1]), abs=1e-5)
        assert effect.changed[0] == ((after.argmax() == 1) != (before[0].argmax() == 1))
    assert made.control.change.mean() == pytest.approx(0, abs=1e-5)


def _effect(changed: list[int]) -> Effect:
    return Effect(np.array(changed, dtype=np.float64), np.array(changed, dtype=np.bool_))


def test_pairs_are_tested_by_their_signs() -> None:
    done, control = _effect([1, 1, 1, 1, 0, 0, 1]), _effect([0, 0, 0, 0, 1, 0, 1])
    assert Trial("remove", done, control).p() == pytest.approx(oracle.sign_test(4, 1))
    assert Trial("remove", control, done).p() == pytest.approx(oracle.sign_test(1, 4))
    assert Trial("remove", control, control).p() == 1


def test_what_is_not_paired_is_tested_by_fishers_test() -> None:
    """3 of 3 against 0 of 3: one of the 20 ways to choose 3 of 6."""
    trial = Trial("project", _effect([1, 1, 1]), _effect([0, 0, 0]), is_paired=False)
    assert trial.p() == pytest.approx(1 / 20)


def test_intervals_are_those_of_the_binomial_distribution() -> None:
    """40 of 100: the mean's deviation is the root of 0.4 * 0.6 / 100, 4.9 points."""
    trial = Trial("remove", _effect([1] * 40 + [0] * 60), _effect([0] * 100))
    estimate, low, high = trial.intervention((0,), 0.5).changed
    assert estimate == pytest.approx(0.4)
    assert low == pytest.approx(0.4 - 1.96 * 0.049, abs=0.015)
    assert high == pytest.approx(0.4 + 1.96 * 0.049, abs=0.015)
    assert trial.more((0,)) == (estimate, low, high)
    assert trial.farther((0,)) == (estimate, low, high)


def test_holms_correction() -> None:
    assert holm([0.01, 0.04, 0.03, 0.6]) == pytest.approx([0.04, 0.09, 0.09, 0.6])
    values = np.random.default_rng(0).random(15).tolist()
    assert holm(values) == pytest.approx(oracle.holm(values))
    assert holm([]) == []
