"""Which pictures are shown: some at random, the boldest mistakes, the closest calls, some classes.

Each way puts row numbers in the order in which they are wanted; whoever shows them takes the first.
No torch: a choice is made of numbers that were stored just as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

WAYS = ("random", "mistakes", "narrowest")


@dataclass(frozen=True)
class Decisions:
    """What a model decided about N pictures; every array is of shape (N,).

    Attributes:
        rows: which pictures these are, among all there are.
        predicted: the class of the largest logit.
        probability: the model's probability for it.
        margin: how much more probable it is than the second one.
    """

    rows: Rows
    predicted: Rows
    probability: NDArray[np.float64]
    margin: NDArray[np.float64]


def at_random(count: int, seed: int) -> Rows:
    """All of `count` rows in an order that depends on the seed alone."""
    return np.random.default_rng(seed).permutation(count)


def mistakes(decisions: Decisions, labels: Rows) -> Rows:
    """The rows that were decided wrongly, the most confident first.

    Args:
        decisions: of the model.
        labels: the true class of every row there is.
    """
    wrong = np.flatnonzero(decisions.predicted != labels[decisions.rows])
    return decisions.rows[wrong[np.argsort(-decisions.probability[wrong], kind="stable")]]


def narrowest(decisions: Decisions) -> Rows:
    """All rows, the one that was nearly decided otherwise first."""
    return decisions.rows[np.argsort(decisions.margin, kind="stable")]


def of_classes(labels: Rows, classes: Sequence[int], seed: int) -> Rows:
    """The rows of some classes, at random, the classes taking turns.

    Args:
        labels: the class of every row there is.
        classes: those that are wanted.
        seed: of the order within each class.
    """
    mixed = at_random(len(labels), seed)
    queues = [mixed[labels[mixed] == each] for each in dict.fromkeys(classes)]
    turns = np.concatenate([np.arange(len(queue)) for queue in queues])
    return np.concatenate(queues)[np.argsort(turns, kind="stable")]
