"""Who takes part: pictures of the group, of the class's others, and of other classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from seewhy.audit.findings import Finding
from seewhy.audit.opened import Audit

PICTURES = 200  # of each kind, at most
POOL = 5000  # of the class's others, of which those like the group's are taken

Rows = Int64[NDArray[np.int64], " rows"]


@dataclass(frozen=True, eq=False)
class Cast:
    """Rows of an audit, drawn at random.

    Attributes:
        group: of the finding.
        others: predicted as its class, too, but not of the finding.
        alike: of those, as strongly decided as the ones of the group in the same places.
        recipients: predicted as other classes, rightly where labels tell.
    """

    group: Rows
    others: Rows
    alike: Rows
    recipients: Rows

    @property
    def pairs(self) -> int:
        """How many of the class there are, in the group and beside it."""
        return min(len(self.group), len(self.others))

    @property
    def triples(self) -> int:
        """How many of each there are for all three."""
        return min(len(self.group), len(self.alike), len(self.recipients))

    def those(self, which: NDArray[np.int64]) -> Cast:
        """Some of the group, those that are like them, and as many recipients."""
        recipients = self.recipients[: len(which)]
        return Cast(self.group[which], self.others, self.alike[which], recipients)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What an audit's pictures were decided for.

    Attributes:
        predicted: the class by row; -1 where the picture failed.
        is_right: whether it agrees with the label, or there is none.
        logits: of the predicted class.
    """

    predicted: Int64[NDArray[np.int64], " rows"]
    is_right: Bool[NDArray[np.bool_], " rows"]
    logits: Float32[NDArray[np.float32], " rows"]

    @classmethod
    def of(cls, audit: Audit) -> Predictions:
        """Read them."""
        table: Any = audit.table(["predicted", "correct", "logits"])
        predicted = table["predicted"].fill_null(-1).to_numpy().astype(np.int64)
        is_right = table["correct"].fill_null(True).to_numpy().astype(np.bool_)
        logits = np.zeros(len(predicted), dtype=np.float32)
        logits[predicted >= 0] = _firsts(table["logits"])
        return cls(predicted, is_right, logits)

    def others(self, finding: Finding) -> Rows:
        """The class's pictures that are not of the finding."""
        is_other = self.predicted == finding.class_id
        is_other[list(finding.rows)] = False
        return np.flatnonzero(is_other)

    def recipients(self, class_id: int) -> Rows:
        """Pictures that were decided for other classes, rightly."""
        is_known = self.predicted >= 0
        return np.flatnonzero(is_known & self.is_right & (self.predicted != class_id))

    def cast(self, finding: Finding, others: Sequence[int] | None, seed: Sequence[int]) -> Cast:
        """Who takes part for a finding.

        Args:
            finding: whose group it is.
            others: of its class, that it is compared with; by default all that there are.
            seed: of the draw.
        """
        rng = np.random.default_rng(list(seed))
        group = rng.permutation(np.array(finding.rows, dtype=np.int64))[:PICTURES]
        rest = self.others(finding) if others is None else np.array(others, dtype=np.int64)
        rest = rng.permutation(rest)[:POOL]
        group, alike = self._matched(group, rest)
        recipients = rng.permutation(self.recipients(finding.class_id))[:PICTURES]
        return Cast(group, rest[:PICTURES], alike, recipients)

    def _matched(self, group: Rows, rest: Rows) -> tuple[Rows, Rows]:
        """The group, and of the others one for each that was decided as strongly, in order.

        The two are matched so that their logits differ by the least in all. Without that, pictures
        that are plainly of the class would be compared with doubtful ones, and win. Where there
        are fewer others, the last of the group have none.
        """
        from scipy.optimize import linear_sum_assignment

        apart = np.abs(self.logits[group][:, None] - self.logits[rest][None])
        with_one, their = linear_sum_assignment(apart)
        return np.concatenate([group[with_one], np.delete(group, with_one)]), rest[their]


def _firsts(lists: Any) -> NDArray[np.float32]:
    """The first number of each list of a column; nulls are left out."""
    present = lists.drop_null().combine_chunks()
    starts = present.offsets.to_numpy()[:-1] - present.offsets[0].as_py()
    numbers: NDArray[np.float32] = present.flatten().to_numpy()[starts]
    return numbers
