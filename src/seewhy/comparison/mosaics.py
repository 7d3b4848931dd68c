"""Mosaics for the grid pointing game: four pictures of four classes, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from seewhy.errors import DataError

CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (row, column), in the order of the four pictures


def mosaic(pictures: Tensor) -> Tensor:
    """Four prepared pictures (4, C, H, W) as one of twice the size, (1, C, 2 H, 2 W).

    Nothing is scaled down: a network that averages its last feature maps takes any size.
    """
    upper, lower = torch.cat(list(pictures[:2]), 2), torch.cat(list(pictures[2:]), 2)
    return torch.cat([upper, lower], 1)[None]


def deal(classes: Mapping[int, int], count: int, seed: int) -> list[tuple[int, ...]]:
    """Choose the pictures of `count` mosaics: four of four different classes each, at random.

    No picture comes twice as long as the others suffice; then all are dealt anew.

    Args:
        classes: the class of each picture, by its number.
        count: how many mosaics.
        seed: of the draw.

    Raises:
        DataError: there are not four classes.
    """
    found = len(set(classes.values()))
    if found < len(CELLS):
        raise DataError(
            "mosaics",
            expected="confidently recognised pictures of four classes at least",
            got=f"{len(classes)} pictures of {found} {'class' if found == 1 else 'classes'}",
            fix="pass more pictures, or make no mosaics",
        )
    hands = _hands(classes, np.random.default_rng(seed))
    return [next(hands) for _ in range(count)]


def _hands(classes: Mapping[int, int], rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    numbers = sorted(classes)
    while True:
        deck = [numbers[place] for place in rng.permutation(len(numbers))]
        while len(hand := _first_of_each(classes, deck)) == len(CELLS):
            deck = [number for number in deck if number not in hand]
            yield hand


def _first_of_each(classes: Mapping[int, int], deck: list[int]) -> tuple[int, ...]:
    """The first cards of the deck, no two of a class, as many as there are cells."""
    hand: dict[int, int] = {}
    for number in deck:
        if len(hand) < len(CELLS):
            hand.setdefault(classes[number], number)
    return tuple(hand.values())
