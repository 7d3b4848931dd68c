"""The convention of Choe et al.'s published evaluation, for figures that are to match theirs.

It differs from the rest of this package, where boxes are half-open and maps are not quantised:

- maps are shifted and scaled to run from 0 to 1, then cut to 8 bits: `int(255 * score)`;
- a threshold t keeps the values above `int(t * largest value)`;
- boxes are x0, y0, x1, y1 in whole pixels, and both ends count: IoU is that of boxes one pixel
  wider and higher. A found box ends at x + width, one beyond its last column, but never beyond
  the last column of the picture; a true one is cut to whole pixels after scaling;
- the largest component is the one whose outline, drawn through the centres of its pixels, holds
  the largest area; of equal ones the last, row by row;
- with all components, the outlines of holes give boxes, too;
- where nothing is above the threshold, the box is that of the first pixel.

Their maps are resized with cubic interpolation; pass maps of the final size to do the same.

Source:
    Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020, and
    Evaluation for Weakly Supervised Object Localization: Protocol, Metrics, and Datasets, TPAMI
    2022; github.com/clovaai/wsolevaluation, evaluation.py and inference.py.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int, Int64
from numpy.typing import NDArray
from scipy import ndimage

from seewhy.localize import Boxes, Components, Map, Mask, boxes_of_labels, labelled, sweep

NO_BOX = np.zeros((1, 4))  # where nothing is above the threshold


def normalised(map_: Map) -> Float64[NDArray[np.float64], "height width"]:
    """The map shifted and scaled to run from 0 to 1; all 0 if it is the same everywhere."""
    wide = map_.astype(np.float64)
    low, high = float(wide.min()), float(wide.max())
    return (wide - low) / (high - low) if high > low else np.zeros_like(wide)


def found_boxes(
    map_: Map, thresholds: Float[NDArray[np.floating], " t"]
) -> tuple[Components, Int[NDArray[np.int64], " t"]]:
    """All boxes of a map at all thresholds.

    Args:
        map_: (H, W), of the size that the boxes are to be in.
        thresholds: from 0, below 1, in any order.

    Returns:
        The boxes with their areas, by level; and the level of each threshold, for many share one.
        Areas are twice theirs, to be whole numbers; -1 for the outline of a hole.
    """
    image = (255 * normalised(map_)).astype(np.uint8)
    levels, which = np.unique((thresholds * image.max()).astype(int), return_inverse=True)
    found = sweep(image, levels, outlines)
    height, width = map_.shape
    ends = np.minimum(found.boxes[:, 2:], (width - 1, height - 1))
    return Components(np.hstack([found.boxes[:, :2], ends]), found.areas, found.levels), which


def true_boxes(boxes: Boxes) -> Boxes:
    """Half-open boxes, scaled already, as theirs are: in whole pixels, both ends included."""
    return np.trunc(boxes)


def outlines(mask: Mask) -> Components:
    """The boxes of all outlines in a mask, of components and of holes.

    Areas are twice those of the polygons through the centres of the pixels, holes filled. What
    lies in a hole, and the hole itself, has -1: it is never the largest. Of outlines with one
    area the last, row by row, goes first.
    """
    gaps = ndimage.label(np.pad(~mask, 1, constant_values=True))[0][1:-1, 1:-1]
    outside = 1  # the first label, for the padding comes first
    labels, boxes = labelled(gaps != outside)
    areas = _doubled_areas(labels, len(boxes))
    if gaps.max(initial=0) > outside:
        around_holes = boxes_of_labels(np.maximum(gaps - outside, 0)) + np.array([-1, -1, 1, 1])
        inner = np.concatenate([labelled(mask)[1], around_holes])
        boxes = np.concatenate([inner, boxes])
        areas = np.concatenate([np.full(len(inner), -1), areas])
    return Components(boxes[::-1], areas[::-1], np.zeros(len(boxes), dtype=np.int64))


def _doubled_areas(
    labels: Int[NDArray[np.integer], "height width"], count: int
) -> Int64[NDArray[np.int64], " n"]:
    """Of four pixels in a square, all in a component give a square of 1, three a triangle."""
    squares = np.stack([labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]])
    doubled = np.maximum((squares > 0).sum(0) - 2, 0)
    owners = squares.max(0)  # never two components: they would touch
    return np.bincount(owners.ravel(), doubled.ravel(), count + 1)[1:].astype(np.int64)
