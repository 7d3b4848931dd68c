"""Keep a share of each class aside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose at random, class by class, what is kept aside.

    A class of two pictures or more has at least one on either side; a single one is not kept aside.

    Args:
        labels: (N,), class numbers.
        share: of each class that is kept aside, between 0 and 1.
        seed: the same seed makes the same choice.

    Returns:
        The places of what stays and of what is kept aside, each in ascending order.
    """
    random = np.random.default_rng(seed)
    aside = np.zeros(len(labels), dtype=bool)
    for number in np.unique(labels):
        places = np.flatnonzero(labels == number)
        aside[random.permutation(places)[: _count(len(places), share)]] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def _count(of: int, share: float) -> int:
    return max(min(1, of - 1), min(of - 1, round(of * share)))
