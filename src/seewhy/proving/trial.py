"""What an intervention did to each picture, and to those of its control; estimates and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from seewhy.audit.findings import Interval, Intervention

DRAWS = 2000
ENDS = (2.5, 97.5)  # percentiles

Changes = Float[NDArray[np.floating], " pictures"]
Changed = Bool[NDArray[np.bool_], " pictures"]
Picks = Int64[NDArray[np.int64], "draws pictures"]


@dataclass(frozen=True, eq=False)
class Effect:
    """What became of some pictures.

    Attributes:
        change: of the class's logit, (n,).
        changed: whether the decision for or against the class is another now, (n,).
    """

    change: Changes
    changed: Changed

    def __len__(self) -> int:
        return len(self.change)


@dataclass(frozen=True, eq=False)
class Trial:
    """An intervention and its control.

    Attributes:
        name: "remove", "transplant" or "project".
        done: what it did.
        control: what the control did.
        is_paired: whether each picture has its control, in the same order.
    """

    name: str
    done: Effect
    control: Effect
    is_paired: bool = True

    def more(self, seed: Sequence[int]) -> Interval:
        """How much more often it changed the decision than the control did."""
        first, second = self._picks(seed)
        drawn = _means(self.done.changed, first) - _means(self.control.changed, second)
        return _interval(self.done.changed.mean() - self.control.changed.mean(), drawn)

    def farther(self, seed: Sequence[int]) -> Interval:
        """How much farther it moved the class's logit than the control did."""
        first, second = self._picks(seed)
        drawn = _means(self.done.change, first) - _means(self.control.change, second)
        return _interval(self.done.change.mean() - self.control.change.mean(), drawn)

    def p(self) -> float:
        """One-sided: that it changes decisions no more often than the control; exact.

        Of pairs McNemar's test (the sign test of those that differ), else Fisher's.
        """
        from scipy import stats

        done, control = self.done.changed, self.control.changed
        if not self.is_paired:
            table = [[done.sum(), (~done).sum()], [control.sum(), (~control).sum()]]
            return float(stats.fisher_exact(table, alternative="greater").pvalue)
        won, lost = int((done & ~control).sum()), int((control & ~done).sum())
        return float(stats.binomtest(won, won + lost, alternative="greater").pvalue) if won else 1.0

    def intervention(self, seed: Sequence[int], p: float | None) -> Intervention:
        """The estimates, with bootstrap intervals of 95 %.

        Args:
            seed: of the bootstrap.
            p: of `p()`, corrected; None where it was no test.
        """
        first, second = self._picks(seed)
        done, control = self.done, self.control
        return Intervention(
            self.name,
            len(done),
            _interval(done.change.mean(), _means(done.change, first)),
            _interval(control.change.mean(), _means(control.change, second)),
            _interval(done.changed.mean(), _means(done.changed, first)),
            _interval(control.changed.mean(), _means(control.changed, second)),
            p,
        )

    def _picks(self, seed: Sequence[int]) -> tuple[Picks, Picks]:
        """Pictures drawn with replacement, (DRAWS, n); pairs stay together."""
        rng = np.random.default_rng(list(seed))
        first = rng.integers(0, len(self.done), (DRAWS, len(self.done)))
        if self.is_paired:
            return first, first
        return first, rng.integers(0, len(self.control), (DRAWS, len(self.control)))


def holm(values: Sequence[float]) -> list[float]:
    """Probabilities corrected for how many tests there were (Holm 1979), in the order given."""
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.maximum.accumulate(np.asarray(values, dtype=np.float64)[order] * factors)
    back = np.empty(len(values))
    back[order] = np.minimum(corrected, 1)
    made: list[float] = back.tolist()
    return made


def _means(values: NDArray[np.generic], picks: Picks) -> NDArray[np.float64]:
    means: NDArray[np.float64] = values.astype(np.float64)[picks].mean(1)
    return means


def _interval(estimate: float | np.floating, drawn: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(drawn, ENDS)
    return float(estimate), float(low), float(high)
