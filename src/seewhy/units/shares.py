"""Which units the evidence for a class is made of, from an audit's descriptors. No torch.

A picture's evidence for a class is a sum over units (channels of the last features): with `w` the
class's weights and `F` the features, unit `k` gives `w[k] * mean_s F[k, s]`, in logits. A unit's
share of the class is the mean of that over the pictures predicted as the class, over the sum of the
positive means: the shares of the units that speak for the class add up to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from seewhy.audit.opened import Audit
from seewhy.audit.reading import Numbers, as_ids, descriptors
from seewhy.errors import AuditError

ALSO = 3  # other classes that are named
MUCH = 0.5  # of the class's own weight: another class with more uses the unit, too

Weights = Float[NDArray[np.floating], "classes channel"]


@dataclass(frozen=True)
class Unit:
    """One unit of a class.

    Attributes:
        channel: its number.
        evidence: its mean part of the logit, over the pictures predicted as the class.
        share: of the class's positive evidence.
        weight: that the class gives it.
        also: other classes that use it, with their weight over this one's, the largest first.
    """

    channel: int
    evidence: float
    share: float
    weight: float
    also: tuple[tuple[int, float], ...]


@dataclass(frozen=True, eq=False)
class ClassUnits:
    """The units of a class, those with the largest share first.

    Attributes:
        class_id: the class.
        rows: of the pictures predicted as it, ascending.
        parts: of each picture, its units' parts of the logit.
        evidence: the mean of their sum: the logit less the bias.
        units: the first of them.
    """

    class_id: int
    rows: Numbers
    parts: Float[NDArray[np.float32], "n channel"]
    evidence: float
    units: tuple[Unit, ...]


def units_of(audit: Audit, class_id: int, weight: Weights, top: int) -> ClassUnits:
    """The units of a class, from what an audit keeps of the pictures predicted as it.

    Args:
        audit: of a network with linear layers after the pooling.
        class_id: the class.
        weight: of its head.
        top: how many units at most.

    Raises:
        AuditError: nothing was predicted as this class, or the audit has no descriptors.
    """
    rows = np.flatnonzero(
        as_ids(audit.table(["predicted"])["predicted"].combine_chunks()) == class_id
    )
    parts = descriptors(audit, rows) if len(rows) else None
    if parts is None:
        name = audit.class_names[class_id] if audit.class_names else str(class_id)
        raise AuditError(
            f"audit {audit.folder}",
            expected=f"pictures predicted as {name}, with descriptors",
            got="none" if not len(rows) else "no descriptors",
            fix="choose another class, or audit a network with linear layers after the pooling",
        )
    means = parts.mean(0, dtype=np.float64)
    units = _ranked(means, np.asarray(weight, np.float64), class_id)
    chosen = tuple(unit for unit, _ in zip(units, range(top), strict=False))
    return ClassUnits(class_id, rows, parts, float(means.sum()), chosen)


def _ranked(means: NDArray[np.float64], weight: Weights, class_id: int) -> Iterator[Unit]:
    """The units that speak for the class, the largest mean first."""
    whole = np.maximum(means, 0).sum()
    for channel in np.argsort(-means, kind="stable").tolist():
        if means[channel] <= 0:
            return
        yield Unit(
            channel=channel,
            evidence=float(means[channel]),
            share=float(means[channel] / whole),
            weight=float(weight[class_id, channel]),
            also=also_used_by(weight[:, channel], class_id),
        )


def also_used_by(weights: NDArray[np.floating], class_id: int) -> tuple[tuple[int, float], ...]:
    """Other classes to which a unit means much of what it means to one, and how much, (C,)."""
    own = weights[class_id]
    if own == 0:
        return ()
    ratio = np.asarray(weights, np.float64) / own
    ratio[class_id] = -np.inf
    order = np.argsort(-ratio, kind="stable")[:ALSO].tolist()
    return tuple((each, float(ratio[each])) for each in order if ratio[each] >= MUCH)
