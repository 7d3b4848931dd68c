"""Two audits of the same pictures by two checkpoints: what they decide otherwise, and for what.

The drift of a picture's evidence is how much of it lies elsewhere. With `p` and `q` the positive
parts of the two maps for the class that the first audit predicted, each divided by its sum, on the
coarser of the two grids:

    drift = 1 - sum over cells of min(p, q)

which is 0 where the evidence lies the same, and 1 where no cell is shared (the total variation,
half the L1 distance). Where one of the maps has no positive evidence it is 1, where both have
none 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from seewhy.audit.opened import Audit
from seewhy.audit.reading import (
    UNKNOWN,
    Floats,
    Numbers,
    as_ids,
    descriptors,
    name_of,
    of_class,
    require_complete,
)
from seewhy.errors import AuditError

Maps = Float[NDArray[np.floating[Any]], "n h w"]


@dataclass(frozen=True)
class Change:
    """What changed over some pictures. Means; None where nothing is known.

    Attributes:
        class_name: of the class they were predicted as by the first; "all" for all pictures.
        pictures: how many.
        agreement: share that both predict the same.
        right: share of right predictions of the first, of the pictures labelled so.
        right_then: the same of the second.
        logit: of the first's predicted class, its change.
        drift: of the evidence.
        cosine: of the evidence descriptors, where both predict the same.
        area: of the evidence for what the first predicted itself, see docs/audit.md.
        area_then: the same of the second.
        concentration: of the evidence for what the first predicted itself.
        concentration_then: the same of the second.
    """

    class_name: str
    pictures: int
    agreement: float | None
    right: float | None
    right_then: float | None
    logit: float | None
    drift: float | None
    cosine: float | None
    area: float | None
    area_then: float | None
    concentration: float | None
    concentration_then: float | None


@dataclass(frozen=True, eq=False)
class Diff:
    """Two audits, picture by picture: the n that both could explain.

    Attributes:
        first: an audit.
        second: another one of the same pictures.
        rows: (n, 2), their rows in the one and the other.
        predicted: (n, 2), classes.
        label: (n,), -1 where it is unknown.
        logits: (n, 2), of the class that the first predicted; NaN where the second kept none.
        drift: (n,), see above; NaN where the second kept no map of that class.
        cosine: (n,), of the evidence descriptors; NaN where the decisions differ, or there are no
            descriptors of the same length. It tells something only where the channels mean the
            same, as those of a fine-tuned network do.
        area: (n, 2), share of the map above 20 % of its maximum, each for its own prediction.
        concentration: (n, 2), share of the positive evidence in the strongest 20 % of the cells.
        unmatched: how many pictures only one of the audits has.
        failed: how many of the others one of them could not explain.
    """

    first: Audit
    second: Audit
    rows: Numbers
    predicted: Numbers
    label: Numbers
    logits: Floats
    drift: Floats
    cosine: Floats
    area: Floats
    concentration: Floats
    unmatched: int
    failed: int

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Where both predict the same, (n,)."""
        same: NDArray[np.bool_] = self.predicted[:, 0] == self.predicted[:, 1]
        return same

    def right(self, which: int) -> Floats:
        """Whether the first (0) or the second (1) is right, (n,); NaN without a label."""
        correct = (self.predicted[:, which] == self.label).astype(np.float64)
        return np.where(self.label == UNKNOWN, np.nan, correct)

    def overall(self) -> Change:
        """What changed over all pictures."""
        every = np.ones(len(self.rows), dtype=bool)
        return self._change("all", every, every)

    def per_class(self) -> tuple[Change, ...]:
        """What changed for each class that the first predicted, the largest drift first."""
        changes = [
            self._change(
                name_of(self.first, number), self.predicted[:, 0] == number, self.label == number
            )
            for number in np.unique(self.predicted[:, 0])
        ]
        return tuple(sorted(changes, key=lambda each: -(each.drift or 0.0)))

    def most_changed(self, count: int, of_class: int | None = None) -> Numbers:
        """The pictures whose evidence drifted most, as places from 0 to n - 1.

        Those of which the second kept no map of the class come first: it is far from probable then.
        """
        drift = np.where(np.isnan(self.drift), np.inf, self.drift)
        order = np.lexsort((self.rows[:, 0], -drift))
        if of_class is not None:
            order = order[self.predicted[order, 0] == of_class]
        return order[:count]

    def _change(self, name: str, chosen: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> Change:
        gained = self.logits[:, 1] - self.logits[:, 0]
        return Change(
            class_name=name,
            pictures=int(chosen.sum()),
            agreement=_mean(self.agrees[chosen]),
            right=_mean(self.right(0)[labelled]),
            right_then=_mean(self.right(1)[labelled]),
            logit=_mean(gained[chosen]),
            drift=_mean(self.drift[chosen]),
            cosine=_mean(self.cosine[chosen]),
            area=_mean(self.area[chosen, 0]),
            area_then=_mean(self.area[chosen, 1]),
            concentration=_mean(self.concentration[chosen, 0]),
            concentration_then=_mean(self.concentration[chosen, 1]),
        )


def diff(first: Audit, second: Audit) -> Diff:
    """Compare two audits of the same pictures, joined by the column `id`.

    Args:
        first: the one before.
        second: the one after.

    Raises:
        AuditError: one is not finished, or they are of other classes, of other pictures, or see
            other parts of them.
        FileError: a shard is missing.
    """
    _require_alike(require_complete(first), require_complete(second))
    before, after = (
        each.table(["id", "predicted", "label", "area", "concentration"]).combine_chunks()
        for each in (first, second)
    )
    rows, unmatched, failed = _joined(before, after)
    if not len(rows):
        raise _unlike(second, "pictures of the first audit", "none of them")
    predicted = _pairs(before["predicted"], after["predicted"], rows)
    logits, drift = _evidence(first, second, rows, predicted[:, 0])
    return Diff(
        first=first,
        second=second,
        rows=rows,
        predicted=predicted,
        label=_pairs(before["label"], after["label"], rows)[:, 0],
        logits=logits,
        drift=drift,
        cosine=_cosine(first, second, rows, predicted),
        area=_both(before["area"], after["area"], rows),
        concentration=_both(before["concentration"], after["concentration"], rows),
        unmatched=unmatched,
        failed=failed,
    )


def drift(first: Maps, second: Maps) -> Floats:
    """How much of the positive evidence lies elsewhere, see above: (n,), 0 to 1.

    Args:
        first: maps on any grid; NaN where there is none.
        second: maps of the same pictures, on any grid.
    """
    grid = (min(first.shape[1], second.shape[1]), min(first.shape[2], second.shape[2]))
    p, q = (_spread(coarsened(np.maximum(maps, 0), grid)) for maps in (first, second))
    shared = np.minimum(p, q).sum((1, 2))
    nothing = (p.sum((1, 2)) == 0) & (q.sum((1, 2)) == 0)
    # clipped: rounding leaves sums a little over 1
    return np.where(nothing, 0.0, np.clip(1 - shared, 0, 1))


def coarsened(maps: Maps, grid: tuple[int, int]) -> Floats:
    """Maps on a grid that is no finer, with the same sum: cells that are cut are shared by area."""
    down, across = (_parts(maps.shape[i + 1], grid[i]) for i in (0, 1))
    return np.asarray(down @ maps.astype(np.float64) @ across.T)


def _parts(cells: int, into: int) -> Floats:
    """Which share of each of a side's cells lies in each of the coarser ones, (into, cells)."""
    edges = np.arange(into + 1) * (cells / into)
    low = np.maximum(edges[:-1, None], np.arange(cells))
    high = np.minimum(edges[1:, None], np.arange(cells) + 1)
    return np.asarray(np.clip(high - low, 0, None))


def _spread(maps: Floats) -> Floats:
    """Each map divided by its sum; all zero stays so."""
    total = maps.sum((1, 2), keepdims=True)
    return maps / np.where(total == 0, 1, total)


def _evidence(
    first: Audit, second: Audit, rows: Numbers, classes: Numbers
) -> tuple[Floats, Floats]:
    """Of each pair the two logits of a class (n, 2), and the drift of its evidence (n,)."""
    kept = []
    for audit, own in ((first, rows[:, 0]), (second, rows[:, 1])):
        wanted = np.full(len(audit), UNKNOWN)
        wanted[own] = classes
        found = of_class(audit, wanted)
        kept.append((found.logits[own], found.maps[own]))
    (logit, maps), (logit_then, maps_then) = kept
    return np.stack([logit, logit_then], 1), drift(maps, maps_then)


def _cosine(first: Audit, second: Audit, rows: Numbers, predicted: Numbers) -> Floats:
    found = np.full(len(rows), np.nan)
    same = predicted[:, 0] == predicted[:, 1]
    one, other = descriptors(first, rows[same, 0]), descriptors(second, rows[same, 1])
    if one is None or other is None or one.shape != other.shape:
        return found
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    products = np.einsum("nk,nk->n", one, other)
    found[same] = np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), np.nan)
    return found


def _joined(before: Any, after: Any) -> tuple[Numbers, int, int]:
    """Pairs of rows that both could explain (n, 2), how many are of one audit only, and failed."""
    import pyarrow.compute as pc

    place = pc.index_in(before["id"], value_set=after["id"].combine_chunks())
    at = as_ids(place.combine_chunks())
    pairs = np.stack([np.arange(len(at)), at], 1)[at >= 0]
    explained = (_pairs(before["predicted"], after["predicted"], pairs) >= 0).all(1)
    unmatched = len(before) + len(after) - 2 * len(pairs)
    return pairs[explained], unmatched, int((~explained).sum())


def _pairs(before: Any, after: Any, rows: Numbers) -> Numbers:
    """Two columns of class numbers, side by side, (n, 2)."""
    one, other = (as_ids(each.combine_chunks()) for each in (before, after))
    return np.stack([one[rows[:, 0]], other[rows[:, 1]]], 1)


def _both(before: Any, after: Any, rows: Numbers) -> Floats:
    """Two columns of numbers, side by side, (n, 2); NaN for null."""
    one, other = (each.to_numpy().astype(np.float64) for each in (before, after))
    return np.stack([one[rows[:, 0]], other[rows[:, 1]]], 1)


def _mean(values: NDArray[Any]) -> float | None:
    """Of what is known."""
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(known.mean(dtype=np.float64)) if len(known) else None


def _require_alike(first: Audit, second: Audit) -> None:
    one, other = first.manifest, second.manifest
    for name in ("num_classes", "class_names"):
        if one.model[name] != other.model[name]:
            raise _unlike(second, f"the {name.replace('_', ' ')} of {first.folder}", "other ones")
    if _seen(one.preprocess) != _seen(other.preprocess):
        raise _unlike(second, f"the same part of each picture as {first.folder} saw", "another one")


def _seen(preprocess: Any) -> tuple[Any, ...]:
    """What settles which part of a picture the network sees."""
    size = preprocess.get("size") or (1, 1)
    return size[0] / size[1], preprocess.get("crop"), preprocess.get("mode")


def _unlike(audit: Audit, expected: str, got: str) -> AuditError:
    return AuditError(
        f"audit {audit.folder}",
        expected=expected,
        got=got,
        fix="compare two audits of the same data by models of the same classes and preprocessing",
    )
