"""What the maps of a batch say in a few numbers: vectorised, numpy only.

Everything is about the positive evidence `p = max(map, 0)` on the map's own grid; within a cell it
is taken to be the same everywhere. Where nothing is positive there is no number: NaN.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from scipy import ndimage

from seewhy import localize
from seewhy.audit.names import BoxTable
from seewhy.geometry import Geometry, Size

Maps = Float[NDArray[np.floating], "batch h w"]
Numbers = Float64[NDArray[np.float64], " batch"]
Corners = Float64[NDArray[np.float64], "batch 4"]

EDGE = 0.1  # of what the network saw, at each edge
TOP = 0.2  # of the cells
THRESHOLD = localize.THRESHOLD


@dataclass(frozen=True, eq=False)
class Placed:
    """How the pictures of a batch became the network's input: their geometries in columns.

    Attributes:
        prepared: (width, height) of the input, the same for all.
        original: (batch, 2), width and height.
        scale: (batch, 2), prepared = original * scale + offset.
        offset: (batch, 2).
        visible: (batch, 4), what the network saw, in pixels of the original.
    """

    prepared: Size
    original: Float64[NDArray[np.float64], "batch 2"]
    scale: Float64[NDArray[np.float64], "batch 2"]
    offset: Float64[NDArray[np.float64], "batch 2"]
    visible: Corners

    @classmethod
    def of(cls, geometry: Sequence[Geometry]) -> Placed:
        """Of geometries with one size of input, one at least."""
        rows = [(*g.original, *g.scale, *g.offset, *g.visible) for g in geometry]
        placed = np.array(rows, dtype=np.float64)
        parts = (placed[:, i:j] for i, j in ((0, 2), (2, 4), (4, 6), (6, 10)))
        return cls(geometry[0].prepared, *parts)

    def on_input(
        self, boxes: NDArray[np.floating], row: int | slice = slice(None)
    ) -> NDArray[np.float64]:
        """Boxes of originals as shares of the network's input; those of one picture, or of all."""
        corners = np.asarray(boxes, np.float64).reshape(-1, 2, 2)
        scale, offset = (each[row].reshape(-1, 1, 2) for each in (self.scale, self.offset))
        found = np.sort((corners * scale + offset) / self.prepared, axis=1)
        return found.reshape(-1, 4)


def positive(maps: Maps) -> Float64[NDArray[np.float64], "batch h w"]:
    """The positive evidence, in double precision."""
    return np.maximum(maps, 0, dtype=np.float64)


def area(maps: Maps) -> Numbers:
    """The share of the cells above `THRESHOLD` of the map's maximum."""
    p = positive(maps)
    largest = p.max((1, 2))
    above = (p > THRESHOLD * largest[:, None, None]).mean((1, 2))
    return np.where(largest > 0, above, np.nan)


def concentration(maps: Maps) -> Numbers:
    """The share of the evidence that the strongest `TOP` of the cells hold.

    The same as `metrics.concentration.share_of_top`, for a batch.
    """
    p = np.sort(positive(maps).reshape(len(maps), -1), 1)[:, ::-1]
    count = TOP * p.shape[1]
    weights = np.clip(count - np.arange(p.shape[1]), 0, 1)
    return _share(p @ weights, p.sum(1))


def centres(maps: Maps, placed: Placed) -> tuple[Numbers, Numbers]:
    """The centre of mass x, y, from 0 to 1 of the original picture."""
    p, (height, width) = positive(maps), maps.shape[1:]
    total = p.sum((1, 2))
    x = _share(p.sum(1) @ (np.arange(width) + 0.5), total) / width
    y = _share(p.sum(2) @ (np.arange(height) + 0.5), total) / height
    points = np.stack([x, y], 1) * placed.prepared
    found = (points - placed.offset) / placed.scale / placed.original
    return found[:, 0], found[:, 1]


def border(maps: Maps, placed: Placed) -> Numbers:
    """The share of the evidence in the outer `EDGE`, at each edge, of what the network saw.

    What lies in the padding around the picture is outermost of all.
    """
    seen = placed.on_input(placed.visible)
    edge = EDGE * (seen[:, 2:] - seen[:, :2])
    return 1 - share_in(maps, seen + np.concatenate([edge, -edge], 1))


def share_in(maps: Maps, boxes: Corners) -> Numbers:
    """The share of each map's evidence inside one box, in shares of the map's width and height."""
    p, (height, width) = positive(maps), maps.shape[1:]
    across = _covered(boxes[:, 0], boxes[:, 2], width)
    down = _covered(boxes[:, 1], boxes[:, 3], height)
    inside = np.einsum("byx,by,bx->b", p, down, across)
    return _share(inside, p.sum((1, 2)))


def inside(maps: Maps, placed: Placed, boxes: Sequence[NDArray[np.floating] | None]) -> Numbers:
    """The share of the evidence inside the union of a picture's true boxes; NaN without any.

    Args:
        maps: evidence.
        placed: how each picture became the network's input.
        boxes: (m, 4) in pixels of the original.
    """
    found = np.full(len(maps), np.nan)
    for index, corners in enumerate(boxes):
        if corners is not None:
            cover = _union(placed.on_input(corners, index), maps.shape[1:])
            p = positive(maps[index : index + 1])[0]
            found[index] = _share((p * cover).sum(keepdims=True), p.sum(keepdims=True)).item()
    return found


def found_boxes(maps: Maps, placed: Placed) -> BoxTable:
    """The boxes above `THRESHOLD`, largest first, in pixels of the original: see `localize.boxes`.

    The maps are brought to the size of the network's input first; all are looked through at once.
    """
    owner, areas, boxes = _components(_above(maps, placed.prepared))
    order = np.lexsort((-areas, owner))
    owner, corners = owner[order], boxes[order].reshape(-1, 2, 2)
    back = (corners - placed.offset[owner, None]) / placed.scale[owner, None]
    ordered = np.sort(back, axis=1).reshape(-1, 4)
    limits = placed.visible[owner]
    cut = ordered.clip(np.tile(limits[:, :2], 2), np.tile(limits[:, 2:], 2))
    kept = (cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1])
    lengths = np.bincount(owner[kept], minlength=len(maps))
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return BoxTable(np.ones(len(maps), dtype=bool), ends, cut[kept].astype(np.float32))


def _above(maps: Maps, size: Size) -> NDArray[np.bool_]:
    """Which pixels of the network's input lie above the threshold, (batch, height, width)."""
    down, across = _stretch(maps.shape[1], size[1]), _stretch(maps.shape[2], size[0])
    large = down @ maps.astype(np.float32) @ across.T
    largest = np.maximum(large.max((1, 2), keepdims=True), 0)
    above: NDArray[np.bool_] = large > np.float32(THRESHOLD) * largest
    return above


@functools.lru_cache(maxsize=16)
def _stretch(cells: int, pixels: int) -> NDArray[np.float32]:
    """Bilinear weights (pixels, cells), half-pixel centres, edges held: as `render.upsample`."""
    at = np.clip((np.arange(pixels) + 0.5) * (cells / pixels) - 0.5, 0, cells - 1)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(cells)), 0)
    found: NDArray[np.float32] = weights.astype(np.float32)
    return found


def _components(
    masks: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Of each component the picture it is in, its pixels and its box (n, 4)."""
    x0, x1 = _ends(np.asarray(masks.any(1)))
    y0, y1 = _ends(np.asarray(masks.any(2)))
    owner, parts = [], []
    for index in np.flatnonzero(x1):
        left, top = int(x0[index]), int(y0[index])
        found = _pieces(masks[index, top : y1[index], left : x1[index]])
        owner.append(np.full(len(found), index))
        parts.append(found + np.array([left, top, left, top, 0]))
    every = np.concatenate([np.zeros((0, 5)), *parts])
    owners = np.concatenate([np.zeros(0, np.int64), *owner])
    return owners, every[:, 4].astype(np.int64), every[:, :4]


def _ends(any_there: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the first is in each line, and after the last; both 0 where there is none."""
    there = any_there.any(1)
    return any_there.argmax(1), (any_there.shape[1] - any_there[:, ::-1].argmax(1)) * there


def _pieces(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The boxes and the pixels of a mask's components, (n, 5), where the mask has no empty edge.

    Most masks are in one piece, which fills them from edge to edge.
    """
    height, width = mask.shape
    labels, count = ndimage.label(mask, structure=_TOUCHING)
    if count == 1:
        return np.array([[0.0, 0, width, height, np.count_nonzero(mask)]])
    areas = np.bincount(labels.ravel())[1:]
    return np.concatenate([localize.boxes_of_labels(labels), areas[:, None]], 1)


_TOUCHING = np.ones((3, 3), dtype=bool)  # also at a corner


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part over whole; NaN where the whole is nothing."""
    share = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _covered(
    low: NDArray[np.float64], high: NDArray[np.float64], cells: int
) -> NDArray[np.float64]:
    """Which share of each of a side's cells lies between two places of it, (batch, cells)."""
    edges = np.arange(cells)
    start = np.maximum(low[:, None] * cells, edges)
    stop = np.minimum(high[:, None] * cells, edges + 1)
    covered: NDArray[np.float64] = np.clip(stop - start, 0, 1)
    return covered


def _union(boxes: NDArray[np.float64], grid: tuple[int, ...]) -> NDArray[np.float64]:
    """Which share of each cell (h, w) lies in any of the boxes: exactly, strip by strip."""
    height, width = grid
    if len(boxes) == 1:
        x0, y0, x1, y1 = boxes.T
        return np.outer(_covered(y0, y1, height), _covered(x0, x1, width))
    cuts = np.unique(np.clip(boxes[:, [1, 3]], 0, 1))
    cover: NDArray[np.float64] = np.zeros(grid)
    for top, bottom in itertools.pairwise(cuts):
        there = boxes[(boxes[:, 1] <= top) & (boxes[:, 3] >= bottom)]
        if len(there):
            down = _covered(np.array([top]), np.array([bottom]), height)[0]
            cover += down[:, None] * _length(there[:, [0, 2]], width)
    return cover


def _length(spans: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """Which share of each cell of a side lies in any of the spans (m, 2)."""
    cuts = np.unique(np.clip(spans, 0, 1))
    low, high = cuts[:-1], cuts[1:]
    taken = ((spans[:, :1] <= low) & (spans[:, 1:] >= high)).any(0)
    length: NDArray[np.float64] = _covered(low[taken], high[taken], cells).sum(0)
    return length
