"""Labels as class numbers; rows whose label is none are named and left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from seewhy.datasets.split import Rows, Split
from seewhy.errors import DataError

MAX_CLASSES = 2**16


def labelled(
    name: str,
    source: Rows,
    numbers: NDArray[np.float64],
    num_classes: int,
    *,
    shown: Callable[[int], str] | None = None,
) -> Split:
    """Return the rows whose label is a class number, the others named in `skipped`.

    Args:
        name: "train" or "test".
        source: where the pictures lie.
        numbers: (N,), the label of each row; NaN where there is none.
        num_classes: how many classes there are.
        shown: how to show the label of a row in a message.
    """
    good = usable(numbers, num_classes)
    show = shown or (lambda row: f"{numbers[row]:g}")
    wanted = f"a label from 0 to {num_classes - 1}" if num_classes else "a label"
    lines = [
        str(DataError(source.name_of(row), expected=wanted, got=show(row), fix="correct the row"))
        for row in np.flatnonzero(~good).tolist()
    ]
    places = np.flatnonzero(good)
    return Split(name, numbers[places].astype(np.int64), source, places, tuple(lines))


def usable(numbers: NDArray[np.float64], num_classes: int) -> NDArray[np.bool_]:
    """(N,), whether each is a class number; NaN is none, nor is 1.5."""
    inside = (numbers >= 0) & (numbers < num_classes)
    whole: NDArray[np.bool_] = numbers == np.floor(numbers)
    return np.logical_and(inside, whole)
