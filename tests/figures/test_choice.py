from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seewhy.figures.choice import Decisions, at_random, mistakes, narrowest, of_classes

seeds = st.integers(0, 2**32)


@st.composite
def decided(draw: st.DrawFn) -> tuple[Decisions, np.ndarray]:
    """Decisions about some of some labelled rows, with many ties."""
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=40)), np.int64)
    rows = np.array(sorted(draw(st.sets(st.integers(0, len(labels) - 1), min_size=1))))
    shares = st.lists(st.integers(0, 8), min_size=len(rows), max_size=len(rows))
    ids = st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))
    probability, margin = np.array(draw(shares)) / 8, np.array(draw(shares)) / 8
    return Decisions(rows, np.array(draw(ids), np.int64), probability, margin), labels


@given(decided())
def test_mistakes_are_all_the_mistakes_the_most_confident_first(
    case: tuple[Decisions, np.ndarray],
) -> None:
    decisions, labels = case
    told = zip(decisions.rows, decisions.predicted, decisions.probability, strict=True)
    wrong = [(row, share) for row, predicted, share in told if predicted != labels[row]]
    expected = [row for row, _ in sorted(wrong, key=lambda pair: -pair[1])]  # stable, too
    assert mistakes(decisions, labels).tolist() == expected


@given(decided())
def test_the_narrowest_margin_comes_first(case: tuple[Decisions, np.ndarray]) -> None:
    decisions, _ = case
    pairs = sorted(zip(decisions.margin, range(len(decisions.rows)), strict=True))
    assert narrowest(decisions).tolist() == [decisions.rows[place] for _, place in pairs]


@given(st.integers(0, 300), seeds)
def test_at_random_is_every_row_once_and_the_same_again(count: int, seed: int) -> None:
    rows = at_random(count, seed)
    assert sorted(rows.tolist()) == list(range(count))
    assert rows.tolist() == at_random(count, seed).tolist()


def test_another_seed_is_another_order() -> None:
    assert at_random(100, 0).tolist() != at_random(100, 1).tolist()


def test_every_row_has_the_same_chance() -> None:
    firsts = np.array([at_random(10, seed)[:3] for seed in range(2000)])
    counts = np.bincount(firsts.ravel(), minlength=10)
    assert (abs(counts - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)).all()


@given(
    st.lists(st.integers(0, 4), max_size=60),
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    seeds,
)
def test_of_classes_is_all_of_these_and_no_others(
    labels: list[int], classes: list[int], seed: int
) -> None:
    rows = of_classes(np.array(labels, np.int64), classes, seed).tolist()
    wanted = [row for row, label in enumerate(labels) if label in classes]
    assert sorted(rows) == wanted
    assert rows == of_classes(np.array(labels, np.int64), classes, seed).tolist()


def test_classes_take_turns_while_they_last() -> None:
    labels = np.array([0] * 5 + [1] * 2 + [2] * 3)
    shown = labels[of_classes(labels, [2, 0], seed=4)].tolist()
    assert shown == [2, 0, 2, 0, 2, 0, 0, 0]
