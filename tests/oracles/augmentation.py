"""Crops, flips, holes, hidden patches and mixtures, picture by picture and pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def viewed(
    picture: NDArray[np.uint8], *, down: int, right: int, mirrored: bool
) -> NDArray[np.uint8]:
    """Return a picture (height, width, 3) seen through a window that is moved, then mirrored."""
    height, width, _ = picture.shape
    pad = max(abs(down), abs(right))
    padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    window = padded[pad + down : pad + down + height, pad + right : pad + right + width]
    return window[:, ::-1] if mirrored else window


def painted_over(picture: NDArray[np.uint8], hole: list[int], colour: int) -> NDArray[np.uint8]:
    """Return a picture with a hole: top, left, bottom, right, half-open, perhaps beyond it."""
    top, left, bottom, right = hole
    painted = picture.copy()
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            if top <= row < bottom and left <= column < right:
                painted[row, column] = colour
    return painted


def patched_over(
    picture: NDArray[np.uint8], hidden: list[list[bool]], colour: list[int]
) -> NDArray[np.uint8]:
    """Return a picture whose hidden patches have a colour, as hide-and-seek has them."""
    height, width, _ = picture.shape
    painted = picture.copy()
    for row in range(height):
        for column in range(width):
            if hidden[row * len(hidden) // height][column * len(hidden[0]) // width]:
                painted[row, column] = colour
    return painted


def mixed(
    picture: NDArray[np.uint8], other: NDArray[np.uint8], box: list[int]
) -> tuple[NDArray[np.uint8], float]:
    """Return a picture with a box of another one, as CutMix has it, and how much is its own."""
    top, left, bottom, right = box
    made, own = picture.copy(), 0
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            if top <= row < bottom and left <= column < right:
                made[row, column] = other[row, column]
            else:
                own += 1
    return made, own / (picture.shape[0] * picture.shape[1])
