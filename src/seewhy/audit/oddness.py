"""How odd a group of pictures is: where its evidence lies, how it differs from the class's others.

numpy only. All comparisons are of ranks, so that no unit and no outlier has a say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from seewhy.audit.findings import Place
from seewhy.audit.gathering import Gathered, shapes_of
from seewhy.audit.statistics import Maps

Numbers = Float[NDArray[np.floating], " pictures"]

NOTABLE = 0.3  # a rank-biserial correlation, or a share of peaks elsewhere, that is worth a word
PLACED = 0.4  # how far maps have to differ before a place is spoken of
FIXED = 0.5  # share of the peaks in one place
NOWHERE = "no place: its peaks lie where those of the others do, so maps cannot name one"
ACCURACY = 0.05  # a difference worth a word


@dataclass(frozen=True)
class Contrast:
    """A group beside the other pictures of its class; each from -1 to 1, 0 for no difference.

    Attributes:
        area: rank-biserial correlation: 1 where the evidence of every picture of the group covers
            more than that of any other.
        concentration: the same.
        border: the same.
        moved: 0 to 1: what share of the group's maps has its peak where those of others have none,
            less what two random halves would have.
        accuracy: the group's less the others'; NaN without labels.
    """

    area: float
    concentration: float
    border: float
    moved: float
    accuracy: float

    @property
    def is_placed(self) -> bool:
        """Whether maps can tell where the group's evidence lies: they have peaks of their own.

        They lie elsewhere, or the evidence is gathered in fewer cells. Evidence that covers more
        than it does elsewhere, without lying elsewhere, has no place.
        """
        return max(self.moved, self.concentration, -self.area) >= PLACED

    @property
    def size(self) -> float:
        """How much there is to see, 0 to 1: the mean of what differs."""
        seen = (-self.area, self.concentration, self.border, self.moved)
        return float(np.clip(seen, 0, 1).mean())


def contrast(inside: Gathered, outside: Gathered) -> Contrast:
    """Compare a group with the class's other pictures."""
    area, concentration, border = (
        rank_biserial(getattr(inside, name), getattr(outside, name))
        for name in ("area", "concentration", "border")
    )
    accuracy = mean(inside.correct) - mean(outside.correct)
    return Contrast(area, concentration, border, moved(inside, outside), accuracy)


def rank_biserial(inside: Numbers, outside: Numbers) -> float:
    """P(a number inside is larger) - P(it is smaller), of all pairs; 0 where there are none.

    It is the effect size of the Mann-Whitney U test: 2 U / (n m) - 1.
    """
    inside, outside = inside[np.isfinite(inside)], outside[np.isfinite(outside)]
    if not len(inside) or not len(outside):
        return 0.0
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, "left").mean()
    above = len(outside) - np.searchsorted(ordered, inside, "right").mean()
    return float(below - above) / len(outside)


def moved(inside: Gathered, outside: Gathered) -> float:
    """The total variation distance of where the peaks lie, less what chance makes of it.

    Two samples of one distribution over cells differ, too, by about
    `sum sqrt(p (1 - p) (1 / n + 1 / m) / (2 pi))`.
    """
    cells = inside.maps[0].size
    ours, theirs = (np.bincount(peaks(each.maps), minlength=cells) for each in (inside, outside))
    p, q = (each / max(each.sum(), 1) for each in (ours, theirs))
    both = (ours + theirs) / max(ours.sum() + theirs.sum(), 1)
    spread = both * (1 - both) * (1 / max(ours.sum(), 1) + 1 / max(theirs.sum(), 1))
    chance = np.sqrt(spread / (2 * np.pi)).sum()
    return float(max(0.5 * np.abs(p - q).sum() - chance, 0))


def peaks(maps: Maps) -> NDArray[np.int64]:
    """The number of the strongest cell of each map, where there is positive evidence."""
    flat = maps.reshape(len(maps), -1)
    found: NDArray[np.int64] = flat.argmax(1)[flat.max(1) > 0]
    return found


def place(maps: Maps, area: Numbers, border: Numbers, *, localised: bool) -> Place:
    """Where the evidence of some pictures lies.

    Args:
        maps: (n, h, w).
        area: (n,), of each.
        border: (n,), of each.
        localised: whether it is a place.
    """
    average = shapes_of(maps).mean(0)
    height, width = average.shape
    y, x = np.unravel_index(int(average.argmax()), average.shape)
    rows, columns = np.divmod(peaks(maps), width)
    near = (np.abs(rows - y) <= 1) & (np.abs(columns - x) <= 1)
    return Place(
        mean=tuple(tuple(round(float(v), 6) for v in row) for row in average),
        peak=((int(x) + 0.5) / width, (int(y) + 0.5) / height),
        fixed=float(near.mean()) if len(near) else 0.0,
        localised=localised,
        area=median(area),
        border=median(border),
    )


def reasons(seen: Contrast, separation: float, where: Place) -> list[str]:
    """Why a group is odd, in words, the strongest last but the place."""
    return [*_apart(separation), *_where(seen, where), *_shape(seen), *_accuracy(seen)]


def _apart(separation: float) -> list[str]:
    how = "clearly" if separation >= 0.5 else "partly"
    return [f"decided by evidence of its own, {how} apart from the class's other pictures"]


def _where(seen: Contrast, where: Place) -> list[str]:
    if not where.localised:
        return [NOWHERE]
    if where.fixed >= FIXED:
        return [f"in one place: {where.fixed:.0%} of its maps have their peak there"]
    if seen.moved >= NOTABLE:
        return [f"in places of its own: {seen.moved:.0%} of its peaks lie where others' do not"]
    return ["gathered around a point, which is another one in each picture"]


def _shape(seen: Contrast) -> list[str]:
    told = {
        "smaller": -seen.area,
        "larger": seen.area,
        "more concentrated": seen.concentration,
        "more at the border": seen.border,
    }
    words = [name for name, size in told.items() if size >= NOTABLE]
    return [f"its evidence is {', '.join(words)} than in the others"] if words else []


def _accuracy(seen: Contrast) -> list[str]:
    if np.isnan(seen.accuracy) or abs(seen.accuracy) < ACCURACY:
        return []
    word = "more" if seen.accuracy > 0 else "less"
    return [f"{word} often right than elsewhere, by {100 * abs(seen.accuracy):.0f} points"]


def mean(values: Numbers) -> float:
    """Of those that are known; NaN for none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def median(values: Numbers) -> float:
    """Of those that are known; 0 for none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
