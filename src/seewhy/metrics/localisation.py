"""Whether maps point at the right place, and whether they tell classes apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from seewhy.errors import InputError

Map = Float[NDArray[np.floating], "height width"]


def share_in_cell(map_: Map, cell: tuple[int, int], cells: tuple[int, int] = (2, 2)) -> float:
    """The share of a map's positive part that lies in one cell of a mosaic.

    `sum of max(map, 0) in the cell / sum of max(map, 0)`. A map without positive evidence points
    nowhere, and gets 0. A map that is the same everywhere gets 1 / (number of cells).

    Args:
        map_: the map of the class that is in the cell, (H, W).
        cell: its (row, column).
        cells: how many (rows, columns) the mosaic has; they divide H and W.

    Raises:
        InputError: the map cannot be divided so, or has no such cell.

    Source:
        Boehle, Fritz and Schiele, Convolutional Dynamic Alignment Networks for Interpretable
        Classifications, CVPR 2021 (the localisation metric); Rao, Boehle and Schiele, Towards
        Better Understanding Attribution Methods, CVPR 2022 (GridPG).
    """
    (row, column), (rows, columns) = cell, cells
    height, width = map_.shape
    if height % rows or width % columns or not (0 <= row < rows and 0 <= column < columns):
        raise InputError(
            "map",
            expected=f"{rows} x {columns} equal cells, and one at {cell}",
            got=f"a map of {height} x {width}",
            fix="pass the map of a mosaic, and a cell of it",
        )
    positive = np.maximum(map_.astype(np.float64), 0)
    total = float(positive.sum())
    inside = positive.reshape(rows, height // rows, columns, width // columns)[row, :, column]
    return float(inside.sum()) / total if total else 0.0


def grid_pointing(maps: Sequence[Map], cells: tuple[int, int] = (2, 2)) -> float:
    """The grid pointing game on one mosaic: the mean share of positive evidence in the right cell.

    Chance is 1 / (number of cells).

    Args:
        maps: one for each cell, row by row: of the class of the picture in it, over the whole
            mosaic.
        cells: how many (rows, columns) the mosaic has.

    Raises:
        InputError: there are not as many maps as cells.

    Source:
        see `share_in_cell`.
    """
    places = [(row, column) for row in range(cells[0]) for column in range(cells[1])]
    if len(maps) != len(places):
        raise InputError(
            "maps",
            expected=f"{len(places)}, one for each cell",
            got=str(len(maps)),
            fix="pass the map of each cell's class, row by row",
        )
    shares = [share_in_cell(m, place, cells) for m, place in zip(maps, places, strict=True)]
    return float(np.mean(shares))


def class_difference(first: Map, second: Map) -> float:
    """How different a picture's maps for two classes are: 1 - their rank correlation.

    Spearman's: the correlation of the ranks of the pixels, so that neither a scale nor a few
    strong pixels matter. 0 where both maps order the pixels alike, whatever the class; 1 where
    they have nothing to do with each other; 2 where what speaks for one speaks against the other.
    NaN where a map is the same everywhere.

    To differ is not yet to be right, as noise differs, too: see `grid_pointing` for that.

    Args:
        first: the map of one class, (H, W).
        second: the map of another class for the same picture.

    Raises:
        InputError: the maps are of different sizes.

    Source:
        Spearman, The Proof and Measurement of Association between Two Things, 1904; to compare
        maps with: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3.
    """
    if first.shape != second.shape:
        raise InputError(
            "maps",
            expected="two of one size",
            got=f"{first.shape} and {second.shape}",
            fix="pass maps of one picture",
        )
    one, other = (_centred(ranks(each)) for each in (first, second))
    norm = float(np.sqrt((one @ one) * (other @ other)))
    return 1 - float(one @ other) / norm if norm else float("nan")


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rank of each value, from 1, flat; equal values share the mean of their ranks."""
    _, which, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: NDArray[np.float64] = (last - (counts - 1) / 2)[which.ravel()]
    return shared


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = values - values.mean()
    return centred
