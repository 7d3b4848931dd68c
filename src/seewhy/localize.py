"""Where it is: from a map to a mask, boxes, contours and points. No torch, no picture.

A map is thresholded at the resolution it is given in: upsample first, then threshold (`size` does
it). What lies *above* the threshold is kept, as in the paper. Pixels that touch, also at a corner,
are one component (8-connected); holes are what touches along an edge (4-connected). Coordinates
are those of pixel edges: the pixel in column 3 spans 3 to 4, and boxes are half-open.

A map without positive evidence has no box, no contour and no point: never the whole picture.

Source:
    Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, section 3.2:
    "segment the regions of which the value is above 20% of the max value of the CAM. Then we take
    the bounding box that covers the largest connected component".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, Num
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from seewhy.errors import InputError
from seewhy.geometry import Geometry, Size
from seewhy.wording import near_or

Map = Float[NDArray[np.floating], "height width"]
Mask = Bool[NDArray[np.bool_], "height width"]
Labels = Int[NDArray[np.integer], "height width"]
Boxes = Float64[NDArray[np.float64], "n 4"]
Points = Float64[NDArray[np.float64], "n 2"]
Values = Num[NDArray[Any], "height width"]
Which = Literal["largest", "all"]
Unit = Literal["share", "logits"]

Choice = TypeVar("Choice", bound=str)
Grid = TypeVar("Grid", bound=Values)

THRESHOLD = 0.2  # of the maximum: the paper's
_TOUCHING = np.ones((3, 3), dtype=bool)  # also at a corner


@dataclass(frozen=True, eq=False)
class Components:
    """What hangs together in masks, each piece with its box and its size.

    Attributes:
        boxes: x0, y0, x1, y1 in pixel edges, (n, 4).
        areas: how many pixels each has, (n,).
        levels: which threshold each was found at; all 0 where there was but one, (n,).
    """

    boxes: Boxes
    areas: Int64[NDArray[np.int64], " n"]
    levels: Int64[NDArray[np.int64], " n"]

    def __len__(self) -> int:
        return len(self.areas)


def mask(map_: Map, threshold: float = THRESHOLD, *, unit: Unit = "share") -> Mask:
    """The pixels above a threshold, and above 0.

    Args:
        map_: evidence, (H, W).
        threshold: a share of the map's maximum, from 0 and below 1; or logits, from 0.
        unit: which of the two.

    Raises:
        InputError: the map is no finite matrix, or the threshold is none of these.
    """
    checked_map(map_)
    _check_threshold(threshold, unit)
    level = threshold * max(float(map_.max()), 0.0) if unit == "share" else threshold
    above: Mask = map_ > level
    return above


def boxes(
    map_: Map,
    threshold: float = THRESHOLD,
    components: Which = "largest",
    *,
    unit: Unit = "share",
    size: Size | None = None,
) -> Boxes:
    """The boxes around what lies above a threshold, those of the largest components first.

    Args:
        map_: evidence, (H, W).
        threshold: see `mask`.
        components: "largest", the paper's, or "all".
        unit: see `mask`.
        size: (width, height) to bring the map to first, bilinearly; the boxes are in its pixels.

    Returns:
        (n, 4) in pixel edges; (0, 4) where nothing is positive. Of components of one size the
        one that begins further up, then further left, goes first.

    Raises:
        InputError: as `mask`; or there is no such choice of components.
    """
    checked_choice("components", components, Which)
    found = components_of(mask(_sized(map_, size), threshold, unit=unit))
    order = np.argsort(-found.areas, kind="stable")
    return found.boxes[order[:1] if components == "largest" else order]


def components_of(mask_: Mask) -> Components:
    """The components of a mask, in the order in which their first pixels come, row by row."""
    labels, corners = labelled(mask_)
    areas = np.bincount(labels.ravel(), minlength=len(corners) + 1)[1:].astype(np.int64)
    return Components(corners, areas, np.zeros(len(corners), dtype=np.int64))


def labelled(mask_: Mask) -> tuple[Labels, Boxes]:
    """The component that each pixel belongs to, from 1, 0 for none; and the components' boxes."""
    labels: Labels = ndimage.label(mask_, structure=_TOUCHING)[0]
    return labels, boxes_of_labels(labels)


def boxes_of_labels(labels: Labels) -> Boxes:
    """The box around each label from 1 on, (n, 4)."""
    slices = ndimage.find_objects(labels)
    corners = [(x.start, y.start, x.stop, y.stop) for y, x in slices]
    return np.array(corners, dtype=np.float64).reshape(-1, 4)


def sweep(
    map_: Values,
    levels: Num[NDArray[Any], " n"],
    find: Callable[[Mask], Components] = components_of,
) -> Components:
    """The components above each of many levels, in the units of the map.

    What lies above a level lies above all lower ones: each level looks only at the part of the
    map that the one before it left over.

    Args:
        map_: (H, W), of any sign.
        levels: in ascending order.
        find: what to find in the mask of each level.

    Raises:
        InputError: the map is no finite matrix, or the levels do not ascend.
    """
    checked_map(map_)
    if not bool(np.all(np.diff(levels) >= 0)):
        fix = "sort them"
        raise InputError("levels", expected="ascending ones", got="others", fix=fix)
    found, left, top = [], 0, 0
    for number, level in enumerate(levels):
        above = find(map_ > level)
        if not len(above):
            break
        found.append(Components(above.boxes + (left, top) * 2, above.areas, above.levels + number))
        x0, y0 = above.boxes[:, :2].min(0).astype(int)
        x1, y1 = above.boxes[:, 2:].max(0).astype(int)
        left, top, map_ = left + int(x0), top + int(y0), map_[y0:y1, x0:x1]
    return _joined(found)


def _joined(parts: Sequence[Components]) -> Components:
    none = Components(np.zeros((0, 4)), *(np.zeros(0, dtype=np.int64) for _ in range(2)))
    parts = [none, *parts]
    return Components(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.areas for part in parts]),
        np.concatenate([part.levels for part in parts]),
    )


def contours(
    map_: Map,
    threshold: float = THRESHOLD,
    components: Which = "largest",
    *,
    unit: Unit = "share",
    size: Size | None = None,
) -> list[Points]:
    """The outlines of what lies above a threshold, largest component first; holes are left out.

    Each is a closed polygon along pixel edges, (n, 2) points x, y, without the first one again
    at its end; clockwise as seen on the screen. Where pixels touch at a corner only, it passes
    that corner twice.

    Args:
        map_: evidence, (H, W).
        threshold: see `mask`.
        components: see `boxes`.
        unit: see `mask`.
        size: see `boxes`.

    Raises:
        InputError: as `boxes`.
    """
    checked_choice("components", components, Which)
    labels, _ = labelled(mask(_sized(map_, size), threshold, unit=unit))
    areas = np.bincount(labels.ravel())[1:]
    order = np.argsort(-areas, kind="stable")
    return [_outline(labels == k + 1) for k in (order[:1] if components == "largest" else order)]


def _outline(piece: Mask) -> Points:
    """Walk around a component along its pixels' edges, it being on the right hand."""
    inside = np.pad(piece, 1)
    y, x = (int(places[0]) for places in np.nonzero(piece))
    place, heading, corners = (x + 1, y), (1, 0), [(x, y)]
    while place != (x, y):
        turned = _turn(inside, place, heading)
        if turned != heading:
            corners.append(place)
        place, heading = (place[0] + turned[0], place[1] + turned[1]), turned
    return np.array(corners, dtype=np.float64)


def _turn(inside: Mask, place: tuple[int, int], heading: tuple[int, int]) -> tuple[int, int]:
    """Left if there is a pixel ahead on the left, be it only at the corner; else on, or right."""
    (x, y), (dx, dy) = place, heading
    left, right = (dy, -dx), (-dy, dx)
    for side, way in ((left, left), (right, heading)):
        column, row = x + (dx + side[0] + 1) // 2, y + (dy + side[1] + 1) // 2
        if inside[row, column]:
            return way
    return right


def peak(map_: Map, *, size: Size | None = None) -> tuple[float, float] | None:
    """The centre (x, y) of the strongest cell; None where nothing is positive.

    Of several equal ones it is the first, row by row. Upsampling first would not move it, but at
    the border, where it would leave a plateau without a centre.

    Args:
        map_: evidence, (H, W).
        size: the (width, height) that the map covers, and that the point is measured in; its own
            if not given.

    Raises:
        InputError: the map is no finite matrix.
    """
    height, width = checked_map(map_).shape
    across, down = (1.0, 1.0) if size is None else (size[0] / width, size[1] / height)
    row, column = np.unravel_index(int(map_.argmax()), map_.shape)
    is_there = float(map_.max()) > 0
    return ((float(column) + 0.5) * across, (float(row) + 0.5) * down) if is_there else None


def centre_of_mass(map_: Map, *, size: Size | None = None) -> tuple[float, float] | None:
    """The centre (x, y) of a map's positive evidence; None where nothing is positive.

    Args:
        map_: evidence, (H, W).
        size: (width, height) to bring the map to first.

    Raises:
        InputError: the map is no finite matrix.
    """
    positive = np.maximum(_sized(map_, size).astype(np.float64), 0)
    total = float(positive.sum())
    if not total:
        return None
    rows, columns = (np.arange(side) + 0.5 for side in positive.shape)
    return float(positive.sum(0) @ columns) / total, float(positive.sum(1) @ rows) / total


def clip(boxes_: ArrayLike, to: ArrayLike) -> Boxes:
    """Boxes cut to another one; those that have nothing in it are left out.

    Args:
        boxes_: (n, 4).
        to: the box that counts, (4,).
    """
    limits = np.asarray(to, dtype=np.float64)
    corners = np.asarray(boxes_, dtype=np.float64).reshape(-1, 4)
    cut = corners.clip(np.tile(limits[:2], 2), np.tile(limits[2:], 2))
    return cut[(cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1])]


def to_original(boxes_: ArrayLike, geometry: Geometry) -> Boxes:
    """Boxes of the network's input in pixels of the original, cut to what the network saw of it.

    Args:
        boxes_: (n, 4).
        geometry: how the original became that input.
    """
    return clip(geometry.boxes_to_original(np.asarray(boxes_).reshape(-1, 4)), geometry.visible)


def checked_map(map_: Grid) -> Grid:
    """The map, which is a finite matrix.

    Raises:
        InputError: it is none.
    """
    if map_.ndim != 2 or 0 in map_.shape:
        got, fix = f"shape {map_.shape}", "pass one map at a time"
    elif not bool(np.isfinite(map_).all()):
        got, fix = "NaN or infinite values", "check the model's features for NaN"
    else:
        return map_
    raise InputError("map", expected="finite evidence, (height, width)", got=got, fix=fix)


def checked_choice(name: str, value: Choice, choices: object) -> Choice:
    """The value, which is one of the choices of a `Literal`.

    Raises:
        InputError: it is none.
    """
    expected = get_args(choices)
    if value not in expected:
        fix = near_or(value, expected, f"pass another {name}")
        raise InputError(name, expected=" or ".join(map(repr, expected)), got=repr(value), fix=fix)
    return value


def mask_on_original(
    map_: Map, geometry: Geometry, threshold: float = THRESHOLD, *, unit: Unit = "share"
) -> Mask:
    """The pixels of the original picture above a threshold; none where the network saw nothing.

    Args:
        map_: evidence on the feature grid, (h, w), over the whole of the network's input.
        geometry: how the picture became that input.
        threshold: see `mask`; a share is one of the map's maximum at the size of that input.
        unit: see `mask`.

    Returns:
        (height, width) of the original.

    Raises:
        InputError: as `mask`.
    """
    from seewhy.render import on_original, upsample

    _check_threshold(threshold, unit)
    largest = float(upsample(checked_map(map_), geometry.prepared).max())
    level = threshold * max(largest, 0.0) if unit == "share" else threshold
    above: Mask = np.nan_to_num(on_original(map_, geometry), nan=-np.inf) > level
    return above


def _sized(map_: Map, size: Size | None) -> Map:
    if size is None:
        return checked_map(map_)
    from seewhy.render import upsample

    return upsample(checked_map(map_), size)


def _check_threshold(threshold: float, unit: Unit) -> None:
    is_share = checked_choice("unit", unit, Unit) == "share"
    if not 0 <= threshold < (1 if is_share else np.inf):
        raise InputError(
            "threshold",
            expected="a share of the maximum from 0, below 1" if is_share else "logits from 0",
            got=f"{threshold}",
            fix='pass another one, or unit="logits"' if is_share else "pass another one",
        )
