"""Where a unit fires most: pictures, cells, and what the unit looks at there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from seewhy.audit.revisit import Revisit
from seewhy.units.field import Cells, Field, field_of, influence
from seewhy.units.shares import ClassUnits, Unit

CANDIDATES = 64  # pictures that are looked through for a unit: those that it gives most overall


@dataclass(frozen=True)
class Crop:
    """A place where a unit fires.

    Attributes:
        row: of the audit.
        id: of the picture.
        cell: x, y on the feature grid.
        evidence: for the class at that cell, in logits.
        box: x0, y0, x1, y1 that the unit looks at, in pixels of the network's input; it may reach
            over the edges.
    """

    row: int
    id: str
    cell: tuple[int, int]
    evidence: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Fired:
    """A unit, and where it fires most.

    Attributes:
        unit: see there.
        field: how far it looks around a cell.
        crops: one a picture, the strongest first.
    """

    unit: Unit
    field: Field
    crops: tuple[Crop, ...]


def fired(again: Revisit, found: ClassUnits, count: int) -> tuple[Fired, ...]:
    """Where each unit of a class fires most, among the pictures predicted as it.

    A unit is looked for in the pictures to whose logit it gives most.

    Args:
        again: the audit, its network and its pictures.
        found: the units.
        count: how many crops of each, at most.

    Raises:
        DataError: a picture is not the one that was audited.
        ImageError: one cannot be read.
    """
    candidates = [_candidates(found, unit) for unit in found.units]
    rows = np.unique(np.concatenate([*candidates, np.empty(0, np.int64)]))
    values, cells = _strongest(again, rows, found.units)
    return tuple(
        _fired(again, unit, rows[kept], values[kept, place], cells[kept, place])
        for place, unit in enumerate(found.units)
        for kept in [_best(rows, candidates[place], values[:, place], count)]
    )


def _candidates(found: ClassUnits, unit: Unit) -> NDArray[np.int64]:
    order = np.argsort(-found.parts[:, unit.channel], kind="stable")
    return found.rows[order[:CANDIDATES]]


def _best(
    rows: NDArray[np.int64], own: NDArray[np.int64], values: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """The places in `rows` of those candidates that the unit fires in most."""
    places = np.searchsorted(rows, own)
    order = np.argsort(-values[places], kind="stable")[:count]
    return np.asarray(places[order])


def _strongest(
    again: Revisit, rows: NDArray[np.int64], units: Sequence[Unit]
) -> tuple[Float[NDArray[np.float32], "n unit"], NDArray[np.int64]]:
    """Of each picture and unit the largest evidence of a cell, and which cell (n, unit, 2)."""
    channels = [unit.channel for unit in units]
    weights = np.array([unit.weight for unit in units], dtype=np.float32)[:, None, None]
    values = np.zeros((len(rows), len(units)), dtype=np.float32)
    cells = np.zeros((len(rows), len(units), 2), dtype=np.int64)
    for start in range(0, len(rows), again.batch_size):
        part = slice(start, start + again.batch_size)
        ran = again.run(again.inputs(again.frames(rows[part].tolist())))
        evidence = ran.features[:, channels].numpy() * weights
        flat = evidence.reshape(*evidence.shape[:2], -1)
        values[part] = flat.max(2)
        cells[part] = np.stack(np.unravel_index(flat.argmax(2), evidence.shape[2:]), 2)
    return values, cells


def _fired(
    again: Revisit,
    unit: Unit,
    rows: NDArray[np.int64],
    values: NDArray[np.float32],
    cells: Cells,
) -> Fired:
    frames = again.frames(rows.tolist())
    size, grid = (frames.shape[2], frames.shape[1]), again.head.grid
    moved = influence(again.classifier, again.head, again.inputs(frames), unit.channel, cells)
    field = field_of(moved, cells, grid)
    crops = (
        Crop(row, again.listing.ids[row], (x, y), value, _box(field, (x, y), size, grid))
        for row, (y, x), value in zip(rows.tolist(), cells.tolist(), values.tolist(), strict=True)
    )
    return Fired(unit, field, tuple(crops))


def _box(
    field: Field, cell: tuple[int, int], size: tuple[int, int], grid: tuple[int, ...]
) -> tuple[float, float, float, float]:
    """The field around the middle of a cell."""
    x, y = ((cell[i] + 0.5) * size[i] / grid[1 - i] for i in (0, 1))
    across, down = field.radius
    return x - across, y - down, x + across, y + down


def cut(
    frame: UInt8[NDArray[np.uint8], "height width 3"], box: tuple[float, float, float, float]
) -> UInt8[NDArray[np.uint8], "h w 3"]:
    """What lies in a box; grey where it reaches over the edges."""
    x0, y0, x1, y1 = (round(each) for each in box)
    beyond = max(0, -x0, -y0, x1 - frame.shape[1], y1 - frame.shape[0])
    sides = ((beyond, beyond), (beyond, beyond), (0, 0))
    wide = np.pad(frame, sides, constant_values=192)
    return np.asarray(wide[y0 + beyond : y1 + beyond, x0 + beyond : x1 + beyond])
