"""Whether the pixels of an object score higher than the rest: PxAP."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int
from numpy.typing import NDArray

from seewhy.errors import InputError
from seewhy.localize import checked_map
from seewhy.metrics.choe import normalised
from seewhy.metrics.estimate import Estimate
from seewhy.metrics.pointing import Maps
from seewhy.render import upsample

IGNORED = 255
THRESHOLDS = np.arange(1000) / 1000

Truth = Int[NDArray[np.integer], "height width"]
Counts = Float64[NDArray[np.float64], "n bins"]


def pixel_average_precision(
    maps: Maps,
    masks: Sequence[Truth],
    *,
    thresholds: Float[NDArray[np.floating], " t"] = THRESHOLDS,
    seed: int = 0,
) -> Estimate:
    """PxAP: the area under the precision-recall curve over the pixels of all pictures together.

    Each map is brought to the size of its mask, then shifted and scaled to run from 0 to 1. At a
    threshold the pixels that score as much or more are taken for the object:
    `sum over thresholds, from high to low, of precision * (recall - recall at the one above)`.

    Args:
        maps: of the object's class, (h, w) each, over the whole picture.
        masks: 1 for the object, 0 for the rest, 255 where pixels do not count, (H, W) each.
        thresholds: ascending, from 0, below 1; 1 is added.
        seed: of the interval.

    Raises:
        InputError: there are not as many masks as maps; a mask holds something else, or no mask
            has a pixel of an object; or a map is no finite matrix.

    Source:
        Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020,
        section 3.2; the bins are those of github.com/clovaai/wsolevaluation.
    """
    _check(maps, masks)
    edges = np.append(thresholds, 1.0)
    hits, false_alarms = np.zeros((2, len(masks), len(edges)))
    for row, (map_, mask) in enumerate(zip(maps, masks, strict=True)):
        scores = normalised(upsample(checked_map(map_), mask.shape[::-1]))
        bins = np.searchsorted(edges, scores, side="right") - 1
        for value, counts in ((1, hits), (0, false_alarms)):
            counts[row] = np.bincount(bins[mask == value], minlength=len(edges))
    return Estimate.of(
        lambda weights: _average_precision(weights @ hits, weights @ false_alarms),
        len(masks),
        seed=seed,
    )


def _average_precision(hits: Counts, false_alarms: Counts) -> NDArray[np.float64]:
    """Of counts of pixels in bins of rising scores, one row each."""
    right = hits[:, ::-1].cumsum(1)
    taken = right + false_alarms[:, ::-1].cumsum(1)
    precision = np.divide(right, taken, out=np.zeros_like(right), where=taken > 0)
    recalled = np.diff(right, axis=1, prepend=0) / np.maximum(right[:, -1:], 1)
    area: NDArray[np.float64] = (precision * recalled).sum(1)
    return area


def _check(maps: Maps, masks: Sequence[Truth]) -> None:
    if len(maps) != len(masks) or not len(masks):
        raise InputError(
            "masks",
            expected="one for each of at least one map",
            got=f"{len(masks)} for {len(maps)} maps",
            fix="pass one (height, width) for each map",
        )
    for index, mask in enumerate(masks):
        others = set(np.unique(mask).tolist()) - {0, 1, IGNORED}
        if others or mask.ndim != 2:
            raise InputError(
                f"mask {index}",
                expected=f"(height, width) of 0, 1 and {IGNORED}",
                got=f"a value of {min(others)}" if others else f"shape {mask.shape}",
                fix="write 1 for the object, 0 for the rest",
            )
    if not any((mask == 1).any() for mask in masks):
        fix = "pass the masks of objects that are there"
        raise InputError("masks", expected="an object in at least one", got="none", fix=fix)
