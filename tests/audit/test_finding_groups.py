"""A cut through one cloud is no group; two heaps are, whatever lies across them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.oracles import groups as oracle

from seewhy.audit.grouping import Group, groups, jaccard, k_means, stability, valley, whitened
from seewhy.audit.oddness import rank_biserial
from seewhy.audit.singles import robust_z

RNG = np.random.default_rng(0)


def cloud(count: int, share: float, apart: float, seed: int = 1) -> NDArray[np.float64]:
    """Ten dimensions, long in the first; the first pictures lie apart in the last."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 10)) * np.linspace(5, 0.5, 10)
    points[: round(share * count), -1] += apart * 0.5
    return points


def shapes(count: int) -> NDArray[np.float64]:
    return np.full((count, 4), 0.25)


def of_rows(*rows: int) -> NDArray[np.bool_]:
    return np.isin(np.arange(6), rows)


def found(points: NDArray[np.float64], seed: int = 0) -> list[Group]:
    return groups(points, shapes(len(points)), seed)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_two_heaps_are_told_apart_across_a_long_cloud(share: float) -> None:
    points = cloud(1500, share, 9)
    carrying = np.arange(1500) < share * 1500
    best = found(points)[0]
    assert max(jaccard(best.members, carrying), jaccard(best.members, ~carrying)) > 0.98
    assert best.separation > 0.4


def evidence(count: int, share: float, seed: int) -> NDArray[np.float64]:
    """64 units; the first pictures share one mixture of them beside a little of the usual."""
    rng = np.random.default_rng(seed)
    usual = rng.gamma(2.0, 0.5, (count, 64)) * np.exp(rng.normal(0, 0.3, (count, 1)))
    added = np.abs(rng.normal(size=64))
    added *= 4 * (usual @ added).std() / (added @ added)
    carrying = np.arange(count)[:, None] < round(share * count)
    made: NDArray[np.float64] = np.where(carrying, 0.6 * usual + added, usual)
    return made


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_a_group_that_is_most_of_its_class_is_found_in_few_pictures_too(
    share: float, seed: int
) -> None:
    carrying = np.arange(500) < share * 500
    best = found(evidence(500, share, seed))[0]
    assert jaccard(best.members, carrying) > 0.9


@pytest.mark.parametrize("seed", range(8))
def test_few_pictures_of_one_piece_have_no_groups_in_fewer_coordinates_either(seed: int) -> None:
    assert found(evidence(500, 0, seed), seed) == []


@pytest.mark.parametrize("count", [40, 100, 400, 2000])
def test_one_cloud_has_no_groups(count: int) -> None:
    made_up = [len(found(cloud(count, 0, 0, seed), seed)) for seed in range(8)]
    assert sum(made_up) <= 1


def test_few_pictures_tell_nothing() -> None:
    assert found(cloud(39, 0.5, 50)) == []


def test_pictures_that_are_all_the_same_have_no_groups() -> None:
    assert found(np.ones((100, 5))) == []
    assert found(np.zeros((100, 5))) == []


def test_the_seed_decides_and_nothing_else() -> None:
    points = cloud(1500, 0.3, 9)
    first, again = found(points, 5), found(points, 5)
    assert [each.separation for each in first] == [each.separation for each in again]
    np.testing.assert_array_equal(first[0].members, again[0].members)


def test_no_unit_and_no_turn_of_the_axes_changes_the_groups() -> None:
    points = cloud(1500, 0.3, 9)
    turned = points @ np.linalg.qr(np.random.default_rng(4).normal(size=(10, 10)))[0] * 1e-3
    one, other = found(points)[0].members, found(turned)[0].members
    assert max(jaccard(one, other), jaccard(one, ~other)) > 0.98


def test_the_side_that_is_alike_is_the_group() -> None:
    points = cloud(1500, 0.3, 9)
    points[:450, :5] *= 0.3
    best = found(points)[0]
    assert jaccard(best.members, np.arange(1500) < 450) > 0.95
    assert best.typicality[best.members].min() > best.typicality[~best.members].max() - 1


def test_of_two_sides_as_alike_the_one_with_more_evidence_is_the_group() -> None:
    points = cloud(1500, 0.3, 9) * [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1]
    for sign in (1, -1):
        best = found(points * sign)[0]
        assert jaccard(best.members, (np.arange(1500) < 450) == (sign > 0)) > 0.95


def test_in_whitened_coordinates_fishers_discriminant_is_the_difference_of_means() -> None:
    points = cloud(300, 0.4, 3)
    members = np.arange(300) < 120
    white = whitened(points)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(10), atol=1e-10)
    difference = white[members].mean(0) - white[~members].mean(0)
    expected = oracle.fisher(white, members)
    np.testing.assert_allclose(difference / np.linalg.norm(difference), expected, atol=1e-8)


def test_dimensions_are_as_many_as_the_pictures_can_bear() -> None:
    assert whitened(RNG.normal(size=(60, 30))).shape == (60, 6)
    assert whitened(RNG.normal(size=(2000, 100))).shape == (2000, 64)


def test_a_valley_lies_between_two_tops() -> None:
    values = np.concatenate([RNG.normal(-3, 1, 500), RNG.normal(3, 1, 500)])
    between = valley(values)
    assert abs(between.at) < 0.7
    assert between.depth > 0.6


@pytest.mark.parametrize("values", [np.zeros(50), np.arange(5.0), RNG.normal(size=500)])
def test_one_top_has_no_valley(values: NDArray[np.float64]) -> None:
    assert valley(values).depth < 0.05


def test_k_means_finds_what_is_far_apart() -> None:
    points = np.repeat([[0.0, 0], [10, 0], [0, 10]], 20, axis=0) + RNG.normal(size=(60, 2))
    labels = k_means(points, 3, np.random.default_rng(0))
    assert sorted(np.bincount(labels)) == [20, 20, 20]


def test_jaccard_against_a_count_by_hand() -> None:
    assert jaccard(of_rows(0, 1, 2), of_rows(2, 3)) == oracle.jaccard([0, 1, 2], [2, 3]) == 0.25
    assert jaccard(of_rows(), of_rows()) == 0


def test_stability_is_the_median_of_the_best() -> None:
    def group(*rows: int) -> Group:
        return Group(of_rows(*rows), 1.0, np.zeros(6))

    again = [[group(0, 1, 2, 3)], [group(5), group(0, 1)], []]
    assert stability(group(0, 1, 2, 3), again) == 0.5
    assert stability(group(0), []) is None


def test_rank_biserial_against_all_pairs() -> None:
    ours, theirs = RNG.integers(0, 6, 30), RNG.integers(2, 8, 20)
    expected = oracle.rank_biserial(ours.tolist(), theirs.tolist())
    assert rank_biserial(ours.astype(float), theirs.astype(float)) == pytest.approx(expected)
    assert rank_biserial(np.array([1.0, np.nan]), np.array([0.0])) == 1
    assert rank_biserial(np.array([]), np.array([0.0])) == 0


def test_robust_distances_do_not_feel_an_outlier() -> None:
    values = np.array([*np.linspace(-1, 1, 101), 50])
    assert robust_z(values)[-1] == pytest.approx(50 / (1.4826 * 0.505), rel=0.02)
    np.testing.assert_array_equal(robust_z(np.ones(4)), np.zeros(4))
    assert np.isnan(robust_z(np.full(3, np.nan))).all()
