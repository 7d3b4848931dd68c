"""Single pictures of a class that were decided by less than is usual. numpy only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from seewhy.audit.findings import Kind
from seewhy.audit.gathering import Gathered
from seewhy.audit.statistics import positive

Numbers = Float[NDArray[np.floating], " pictures"]

FAR = 3.5  # robust standard deviations: Iglewicz and Hoaglin's rule for outliers
CONFIDENT = 0.9  # probability
OUTSIDE = 0.1  # share of the evidence inside the boxes
MOST = 20  # pictures of a kind and class


@dataclass(frozen=True, eq=False)
class Singles:
    """Pictures of one class that are odd in the same way, each by itself.

    Attributes:
        kind: in which way.
        places: which of the class's pictures, the oddest first.
        reason: in words.
        oddness: 0 to 1.
    """

    kind: Kind
    places: NDArray[np.int64]
    reason: str
    oddness: float


def singles(pictures: Gathered) -> Iterator[Singles]:
    """The odd single pictures of one class, a kind at a time."""
    for kind, (how_odd, words) in _KINDS.items():
        oddness = how_odd(pictures)
        order = np.argsort(-oddness, kind="stable")[:MOST]
        places = order[oddness[order] >= 1]
        if len(places):
            largest = float(oddness[places[0]])
            yield Singles(kind, places, words, largest / (largest + 1))


def robust_z(values: Numbers) -> Numbers:
    """Distances from the median, in standard deviations that few outliers have a say in.

    1.4826 times the median absolute deviation is the standard deviation of a normal distribution;
    where most values are the same that is 0, and 1.2533 times the mean one stands in (Iglewicz and
    Hoaglin, 1993). NaN stays.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(len(values), np.nan)
    apart = values - np.median(known)
    usual = np.abs(known - np.median(known))
    deviation = 1.4826 * np.median(usual) or 1.2533 * usual.mean() or 1.0
    return apart / deviation


def _narrow(pictures: Gathered) -> Numbers:
    """How far below the class's usual area, and how concentrated: 1 where it is worth a word."""
    smaller = -robust_z(np.log(np.maximum(pictures.area, 1e-9)))
    return _known(np.minimum(smaller, robust_z(pictures.concentration))) / FAR


def _outside(pictures: Gathered) -> Numbers:
    """1 where `OUTSIDE` of the evidence lies inside the boxes, more where less does."""
    return _known(OUTSIDE / np.maximum(pictures.inside, 1e-3))


def _weak(pictures: Gathered) -> Numbers:
    """How far below the class's usual the positive evidence of a confident decision is."""
    evidence = positive(pictures.maps).mean((1, 2))
    far = -robust_z(np.log(np.maximum(evidence, 1e-9))) / FAR
    return np.where(pictures.probability >= CONFIDENT, _known(far), 0.0)


def _known(values: Numbers) -> Numbers:
    return np.where(np.isfinite(values), values, 0.0)


_KINDS: Mapping[Kind, tuple[Callable[[Gathered], Numbers], str]] = {
    "narrow": (_narrow, "decided by far less of the picture than is usual for the class"),
    "outside": (_outside, f"less than {OUTSIDE:.0%} of the evidence lies inside the given boxes"),
    "weak": (_weak, "confident, with far less positive evidence than is usual for the class"),
}
