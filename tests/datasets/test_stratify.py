from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seewhy.datasets.stratify import stratified

LABELS = st.lists(st.integers(0, 6), max_size=80).map(lambda each: np.array(each, dtype=np.int64))
SHARES = st.floats(0.001, 0.999)


@given(LABELS, SHARES, st.integers(0, 2**32))
def test_both_parts_are_a_partition_with_every_class(
    labels: np.ndarray, share: float, seed: int
) -> None:
    stay, aside = stratified(labels, share, seed)
    assert sorted([*stay, *aside]) == list(range(len(labels)))
    assert list(stay) == sorted(stay)
    assert list(aside) == sorted(aside)
    for number in set(labels.tolist()):
        count = int((labels == number).sum())
        kept = int((labels[aside] == number).sum())
        assert kept == 0 if count == 1 else 1 <= kept <= count - 1
        assert abs(kept - count * share) <= 1


@given(LABELS, SHARES, st.integers(0, 2**32))
def test_the_same_seed_makes_the_same_choice(labels: np.ndarray, share: float, seed: int) -> None:
    for once, again in zip(
        stratified(labels, share, seed), stratified(labels, share, seed), strict=True
    ):
        np.testing.assert_array_equal(once, again)


def test_a_choice_by_hand() -> None:
    labels = np.repeat([0, 1, 2], [10, 5, 1])
    stay, aside = stratified(labels, 0.2, seed=0)
    assert np.bincount(labels[aside], minlength=3).tolist() == [2, 1, 0]
    assert np.bincount(labels[stay], minlength=3).tolist() == [8, 4, 1]


def test_another_seed_makes_another_choice() -> None:
    labels = np.zeros(1_000, np.int64)
    choices = {tuple(stratified(labels, 0.2, seed)[1]) for seed in range(5)}
    assert len(choices) == 5
