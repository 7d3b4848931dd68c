"""How well a map's boxes cover the true ones, at every threshold at once.

`box_overlaps` is the costly part, and what all accuracies are made of: see `box_accuracy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike, NDArray

from seewhy.errors import InputError
from seewhy.geometry import Size
from seewhy.localize import (
    Boxes,
    Components,
    Map,
    Which,
    checked_choice,
    checked_map,
    clip,
    sweep,
)
from seewhy.metrics import choe
from seewhy.metrics.iou import Convention, checked_boxes, iou
from seewhy.render import upsample

SIZE = (224, 224)
THRESHOLDS = np.arange(100) / 100

Thresholds = Float[NDArray[np.floating], " t"]
Row = Float64[NDArray[np.float64], " t"]
Rows = Float64[NDArray[np.float64], "components t"]


@dataclass(frozen=True, eq=False)
class Overlaps:
    """The IoU of what maps found with what is there.

    Attributes:
        values: for each picture and threshold the largest IoU between a found box and a true
            one; 0 where none was found, (n, t).
        thresholds: shares of the maximum, (t,).
        components: whether only the box of the largest component counts, or the best of all.
        convention: of what a box is.
        cut: how many true boxes reached beyond their picture, and were cut to it; of some of the
            pictures (`of`) still the number for all.
    """

    values: Float64[NDArray[np.float64], "n t"]
    thresholds: Thresholds
    components: Which
    convention: Convention
    cut: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def of(self, pictures: Sequence[int] | NDArray[np.integer]) -> Overlaps:
        """Those of some of the pictures: to choose on some, and to report on others."""
        chosen = self.values[np.asarray(pictures, dtype=np.intp)]
        return Overlaps(chosen, self.thresholds, self.components, self.convention, self.cut)

    def at(self, threshold: float) -> Float64[NDArray[np.float64], " n"]:
        """The column of the threshold that lies nearest."""
        return self.values[:, int(np.abs(self.thresholds - threshold).argmin())]


def box_overlaps(
    maps: Sequence[Map] | Float[NDArray[np.floating], "n height width"],
    truths: Sequence[ArrayLike],
    *,
    frame: Size | Sequence[Size],
    size: Size = SIZE,
    thresholds: Thresholds = THRESHOLDS,
    components: Which = "largest",
    convention: Convention = "half-open",
) -> Overlaps:
    """Compare the boxes of maps with the true ones, at many thresholds.

    Each map is brought to `size`, then thresholded at shares of its maximum; only positive
    evidence counts, and a map without any finds nothing. (With "choe", see `seewhy.metrics.choe`.)
    True boxes that reach beyond their picture are cut to it.

    Args:
        maps: of the true class, (h, w) each, over the whole picture.
        truths: for each map the true boxes, half-open x0, y0, x1, y1, (m, 4), at least one.
        frame: the (width, height) of the picture that the true boxes are measured in; one for
            all, or one for each.
        size: the (width, height) to bring maps to.
        thresholds: shares of the maximum, from 0, below 1.
        components: "largest" for the box of the largest component, "all" for the best of all.
        convention: "half-open" or "choe".

    Raises:
        InputError: there are not as many truths as maps, or none; a map is no finite matrix;
            boxes that are none, or none within the picture; or an option has no meaning.
    """
    checked_choice("components", components, Which)
    options: dict[str, Any] = {
        "frame": frame,
        "size": size,
        "thresholds": thresholds,
        "convention": convention,
    }
    (found,) = _overlaps(maps, truths, (components,), **options)
    return found


def both_overlaps(
    maps: Sequence[Map] | Float[NDArray[np.floating], "n height width"],
    truths: Sequence[ArrayLike],
    *,
    frame: Size | Sequence[Size],
    size: Size = SIZE,
    thresholds: Thresholds = THRESHOLDS,
    convention: Convention = "half-open",
) -> tuple[Overlaps, Overlaps]:
    """What `box_overlaps` gives for "largest" and for "all" components, at the cost of one.

    Args:
        maps: see `box_overlaps`.
        truths: likewise.
        frame: likewise.
        size: likewise.
        thresholds: likewise.
        convention: likewise.

    Raises:
        InputError: see `box_overlaps`.
    """
    options: dict[str, Any] = {
        "frame": frame,
        "size": size,
        "thresholds": thresholds,
        "convention": convention,
    }
    largest, every = _overlaps(maps, truths, ("largest", "all"), **options)
    return largest, every


def _overlaps(
    maps: Sequence[Map] | Float[NDArray[np.floating], "n height width"],
    truths: Sequence[ArrayLike],
    components: Sequence[Which],
    *,
    frame: Size | Sequence[Size],
    size: Size,
    thresholds: Thresholds,
    convention: Convention,
) -> list[Overlaps]:
    """Those of each choice of components: what lies above the thresholds is found once."""
    found_by = _CONVENTIONS[checked_choice("convention", convention, Convention)]
    _check_thresholds(thresholds)
    rows, cut = [], 0
    for map_, (boxes, beyond) in zip(maps, paired(len(maps), truths, frame, size), strict=True):
        rows.append(found_by(upsample(checked_map(map_), size), boxes, thresholds, components))
        cut += beyond
    values, levels = np.stack(rows, axis=1), np.asarray(thresholds)
    return [
        Overlaps(of, levels, which, convention, cut)
        for which, of in zip(components, values, strict=True)
    ]


def paired(
    count: int, truths: Sequence[ArrayLike], frame: Size | Sequence[Size], size: Size
) -> list[tuple[Boxes, int]]:
    """The true boxes of each picture in pixels of `size`, and how many had to be cut.

    Args:
        count: how many maps there are.
        truths: see `box_overlaps`.
        frame: see `box_overlaps`.
        size: see `box_overlaps`.

    Raises:
        InputError: see `box_overlaps`.
    """
    if not count or count != len(truths):
        raise InputError(
            "truths",
            expected="true boxes for each of at least one map",
            got=f"{len(truths)} for {count} maps",
            fix="pass one array (m, 4) for each map",
        )
    pairs = []
    for index, (truth, picture) in enumerate(zip(truths, _frames(frame, count), strict=True)):
        boxes, cut = within(truth, picture, f"picture {index}")
        pairs.append((boxes * np.tile(np.divide(size, picture), 2), cut))
    return pairs


def within(truth: ArrayLike, frame: Size, name: str = "boxes") -> tuple[Boxes, int]:
    """True boxes cut to their picture, and how many had to be.

    Args:
        truth: half-open x0, y0, x1, y1, (m, 4).
        frame: (width, height) of the picture.
        name: what a message calls them.

    Raises:
        InputError: there are none, they are no boxes, or none has an area within the picture.
    """
    boxes = checked_boxes(truth)
    kept = clip(boxes, (0.0, 0.0, *frame))
    if not len(kept):
        raise InputError(
            name,
            expected=f"a box within {frame[0]} x {frame[1]} pixels",
            got=f"{boxes.tolist()!r:.100}" if len(boxes) else "none",
            fix="leave out pictures without boxes, and check the order x0, y0, x1, y1",
        )
    reaches_beyond = (boxes < 0) | (boxes > np.tile(frame, 2))
    return kept, int(reaches_beyond.any(1).sum())


def _half_open(
    map_: Map, truth: Boxes, thresholds: Thresholds, components: Sequence[Which]
) -> Rows:
    largest = float(map_.max())
    if largest <= 0:
        return np.zeros((len(components), len(thresholds)))
    levels, level_of = np.unique(thresholds * largest, return_inverse=True)
    found = sweep(map_, levels)
    overlap = iou(found.boxes, truth).max(1)
    return np.stack([_by_level(found, overlap, len(levels), each)[level_of] for each in components])


def _choe(map_: Map, truth: Boxes, thresholds: Thresholds, components: Sequence[Which]) -> Rows:
    found, level_of = choe.found_boxes(map_, thresholds)
    whole = choe.true_boxes(truth)
    nothing = float(iou(choe.NO_BOX, whole, convention="choe").max())
    overlap, count = iou(found.boxes, whole, convention="choe").max(1), int(level_of.max()) + 1
    return np.stack(
        [_by_level(found, overlap, count, each, nothing)[level_of] for each in components]
    )


_CONVENTIONS: Mapping[str, Callable[[Map, Boxes, Thresholds, Sequence[Which]], Rows]] = {
    "half-open": _half_open,
    "choe": _choe,
}


def _by_level(
    found: Components, overlap: Row, count: int, components: Which, nothing: float = 0.0
) -> Row:
    """The overlap of each level's largest component, or the best of all its components."""
    of_level = np.full(count, nothing)
    if components == "largest":
        order = np.lexsort((-found.areas, found.levels))  # stable: of equal ones the first
        levels, firsts = np.unique(found.levels[order], return_index=True)
        of_level[levels] = overlap[order[firsts]]
    else:
        of_level[found.levels] = 0.0
        np.maximum.at(of_level, found.levels, overlap)
    return of_level


def _frames(frame: Size | Sequence[Size], count: int) -> list[Size]:
    sizes = np.asarray(frame)
    sizes = np.broadcast_to(sizes, (count, 2)) if sizes.ndim == 1 else sizes
    frames = [(int(width), int(height)) for width, height in sizes]
    if len(frames) != count or any(min(each) < 1 for each in frames):
        raise InputError(
            "frame",
            expected=f"(width, height) above 0, one for all or one for each of {count} pictures",
            got=f"{len(frames)} of them" if len(frames) != count else f"{frames!r:.80}",
            fix="pass the size that the true boxes are measured in",
        )
    return frames


def _check_thresholds(thresholds: Thresholds) -> None:
    if not len(thresholds) or not bool(np.all((thresholds >= 0) & (thresholds < 1))):
        raise InputError(
            "thresholds",
            expected="shares of the maximum from 0, below 1",
            got=f"{np.asarray(thresholds)!r:.80}",
            fix="pass such, as np.arange(100) / 100",
        )
