"""Groups of pictures that a class was decided for by different evidence. numpy only.

A k-means cut through one cloud of points is no group, however often it comes back. So clusters are
only where a search begins, beside directions of extreme skewness or kurtosis: each is followed to
where the pictures fall apart into two heaps, and how deep the valley between them is gets measured
on pictures that had no say in it.

A direction that few pictures give in many coordinates lies askew, and the valley beside it is
filled on others. So the search is made twice, the second time in fewer coordinates.

In coordinates in which the whole class has unit covariance, Fisher's linear discriminant is the
difference of two means (by the Sherman-Morrison formula, from the within-group covariance
`I - s (1 - s) d d'`), so that a step of the search is one product and one histogram.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from seewhy.audit.oddness import rank_biserial

LEAST = 40  # pictures of a class, below which there is no telling
SMALLEST = 10  # pictures on either side of a cut
SMALLEST_SHARE = 0.02  # of the class
SEPARATION = 0.05  # below it there is one heap
MOST = 3  # groups of a class
SAME = 0.8  # shared by this much of the smaller one, two groups are one
STEPS, SWEEPS = 20, 15
PURSUITS = (2, 3, 3) * 3  # which moments
DIMENSIONS = 64
FINE, COARSE = 10, 40  # pictures for each dimension
BINS = 64

Points = Float[NDArray[np.floating], "pictures dimensions"]
Line = Float[NDArray[np.floating], " pictures"]
Members = Bool[NDArray[np.bool_], " pictures"]


@dataclass(frozen=True, eq=False)
class Group:
    """One side of a cut through a class.

    Attributes:
        members: which of the class's pictures.
        separation: 0 to 1, how deep the valley beside it is, on pictures that had no say in where
            the cut lies, less twice its standard error.
        typicality: how far each picture lies on the group's side, in standard deviations.
    """

    members: Members
    separation: float
    typicality: Line


def groups(described: Points, shapes: Points, seed: int) -> list[Group]:
    """The groups of one class, the best separated first; none where the class is of one piece.

    Args:
        described: what each picture was decided by, in logits: see `descriptor` in docs/audit.md.
        shapes: (pictures, cells), where on the map that lay: shares of the positive evidence.
        seed: of the half of the pictures that the cuts are made by, and of where clusters begin.
    """
    if len(described) < LEAST:
        return []
    points = whitened(described)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(points))
    tried, others = order[: len(order) // 2], order[len(order) // 2 :]
    clusters = list(_clusters(described[tried], shapes[tried], rng))
    total, found = described.sum(1), list[Group]()
    for width in sorted({points.shape[1], _bearable(points, COARSE)}, reverse=True):
        seen = points[:, :width]
        for start in (*_cuts(seen[tried], rng), *clusters):
            direction = _followed(seen[tried], start)
            if direction is None:
                continue
            separation = valley(seen[others] @ direction).depth
            if separation >= SEPARATION:
                found.append(_group(seen, total, _whole(seen, direction), separation))
    return _distinct(sorted(found, key=lambda each: -each.separation))


def _bearable(pictures: Points, each: int) -> int:
    """How many dimensions so many pictures can bear."""
    most, dimensions = max(2, len(pictures) // each), int(pictures.shape[1])
    return min(dimensions, most)


def whitened(described: Points) -> Points:
    """Coordinates with unit covariance, along the directions in which there is most to tell.

    As many as the pictures can bear: a tenth of their number, and `DIMENSIONS` at most. The first
    ones are those with the largest variance.
    """
    centred = described - described.mean(0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    values, axes = values[::-1], axes[:, ::-1]
    there = np.count_nonzero(values > 1e-6 * max(values[0], np.finfo(np.float64).tiny))
    kept = min(there, DIMENSIONS, _bearable(described, FINE))
    points: Points = centred @ (axes[:, :kept] / np.sqrt(values[:kept]))
    return points


@dataclass(frozen=True)
class Valley:
    """Where a heap of numbers falls apart.

    Attributes:
        depth: 0 to 1: how much lower it lies than the lower one of the two tops beside it, less
            twice the standard error of that; 0 where there is one top.
        at: the number there.
    """

    depth: float
    at: float


def valley(values: Line) -> Valley:
    """The deepest valley between two tops of a smoothed histogram.

    The width of the smoothing is Silverman's rule for one normal heap, so that two narrower ones
    are rather overlooked than made up.
    """
    low, high = np.quantile(values, [0.001, 0.999])
    if not low < high or len(values) < 2 * SMALLEST:
        return Valley(0.0, float(low))
    counts, edges = np.histogram(values.clip(low, high), BINS, (low, high))
    wide = 0.9 * values.std() * len(values) ** -0.2 / (edges[1] - edges[0])
    density = _smoothed(counts, wide)
    top = np.minimum(
        np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]
    ).clip(np.finfo(np.float64).tiny)
    share = counts.cumsum() / len(values)
    depth = _certain(density, top, 2 * np.sqrt(np.pi) * wide)
    depth[np.minimum(share, 1 - share) < SMALLEST_SHARE] = 0
    best = int(depth.argmax())
    return Valley(float(depth[best]), float(edges[best] + edges[best + 1]) / 2)


def _smoothed(counts: NDArray[np.int64], wide: float) -> NDArray[np.float64]:
    reach = min(int(np.ceil(4 * wide)), BINS // 2 - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(wide, 1e-3)) ** 2)
    smoothed: NDArray[np.float64] = np.convolve(counts, kernel / kernel.sum(), "same")
    return smoothed


def _certain(
    density: NDArray[np.float64], top: NDArray[np.float64], bins: float
) -> NDArray[np.float64]:
    """How deep each place lies below its tops, less twice the error that counting leaves."""
    ratio = density / top
    seen = np.maximum(top * bins, 1)  # pictures that the top rests on
    error = np.sqrt((ratio + 1 / seen + ratio**2) / seen)
    depth: NDArray[np.float64] = np.maximum(1 - ratio - 2 * error, 0)
    depth[ratio >= 1] = 0
    return depth


def jaccard(one: Members, other: Members) -> float:
    """How much two groups share: their intersection over their union."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 0.0


def stability(group: Group, again: Sequence[Sequence[Group]]) -> float | None:
    """How much of a group other seeds find: the median of its best Jaccard index with theirs."""
    if not again:
        return None
    best = (max((jaccard(group.members, o.members) for o in found), default=0.0) for found in again)
    return float(np.median(list(best)))


def _cuts(points: Points, rng: np.random.Generator) -> Iterator[Members]:
    """Cuts across directions in which the pictures are not spread as one heap would be."""
    for power in PURSUITS:
        line = points @ _pursued(points, power, rng)
        yield k_means(line[:, None], 2, rng) == 0


def _clusters(described: Points, shapes: Points, rng: np.random.Generator) -> Iterator[Members]:
    """Clusters of what decided, of its mixture whatever its size, and of where it lay."""
    mixed = described / np.linalg.norm(described, axis=1, keepdims=True).clip(1e-9)
    for kind, counts in ((described, (2, 3, 4, 6)), (mixed, (2, 4)), (np.sqrt(shapes), (6,))):
        for count in counts:
            labels = k_means(kind, count, rng)
            yield from (labels == each for each in range(count if count > 2 else 1))


def _pursued(points: Points, power: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """A direction of extreme skewness (power 2) or kurtosis (3): two heaps have one or the other.

    Heaps alike have low kurtosis, a small one beside a large one skews. The fixed points of
    Hyvärinen and Oja's FastICA: `E[z (w'z)^2]`, and `E[z (w'z)^3] - 3 w`.
    """
    direction: NDArray[np.floating] = rng.standard_normal((points.shape[1],))
    for _ in range(STEPS):
        direction = direction / max(np.linalg.norm(direction), np.finfo(np.float64).tiny)
        pulled = points.T @ (points @ direction) ** power / len(points)
        direction = np.subtract(pulled, (3 if power == 3 else 0) * direction)
    return direction


def k_means(points: Points, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Cluster numbers by Lloyd's algorithm, from points drawn at random."""
    centres = points[rng.choice(len(points), count, replace=False)]
    labels = np.zeros(len(points), np.int64)
    for _ in range(STEPS):
        labels = ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)
        sizes = np.bincount(labels, minlength=count)
        sums = (labels == np.arange(count)[:, None]).astype(points.dtype) @ points
        centres = np.where(sizes[:, None] > 0, sums / sizes.clip(1)[:, None], centres)
    return labels


def _followed(points: Points, start: Members) -> NDArray[np.floating] | None:
    """The direction to which a cluster leads: cut at its valley, and look again."""
    members, direction = start, None
    for _ in range(SWEEPS):
        if _is_small(members):
            return None
        direction = points[members].mean(0) - points[~members].mean(0)
        line = points @ direction
        found = valley(line)
        cut = line > found.at
        if found.depth == 0 or (cut == members).all():
            break
        members = cut
    return direction


def _whole(points: Points, direction: NDArray[np.floating]) -> Members:
    """Which of all pictures lie beyond the valley, all of them having had a say in its place."""
    line = points @ direction
    members: Members = line > valley(line).at
    settled = None if _is_small(members) else _followed(points, members)
    if settled is None:
        return members
    line = points @ settled
    return line > valley(line).at


def _is_small(members: Members) -> bool:
    inside = int(np.count_nonzero(members))
    return min(inside, len(members) - inside) < SMALLEST


def _group(points: Points, total: Line, members: Members, separation: float) -> Group:
    """The side of a cut that is more alike, and has more evidence for the class.

    Whatever is added to pictures and speaks for a class makes them so; what is left varies.
    """
    alike = np.log(_spread(points[~members]) / _spread(points[members]))
    if alike + rank_biserial(total[members], total[~members]) < 0:
        members = ~members
    line = points @ (points[members].mean(0) - points[~members].mean(0))
    return Group(members, separation, line / max(line.std(), np.finfo(np.float64).tiny))


def _spread(points: Points) -> float:
    return max(float(points.var(0).sum()), 1e-12) if len(points) else 1.0


def _distinct(found: Sequence[Group]) -> list[Group]:
    """The best of those that are the same, a part of another being the same."""
    kept: list[Group] = []
    for group in found:
        if not _is_small(group.members) and not any(_is_part(group, each) for each in kept):
            kept.append(group)
    return kept[:MOST]


def _is_part(group: Group, kept: Group) -> bool:
    """Whether the smaller side of a cut lies within a group that is there, or is it."""
    half = group.members if group.members.mean() <= 0.5 else ~group.members
    inside = int(np.count_nonzero(half & kept.members))
    alike = max(jaccard(group.members, each) for each in (kept.members, ~kept.members))
    return inside >= SAME * int(np.count_nonzero(half)) or alike >= SAME
