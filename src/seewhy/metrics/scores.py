"""`Scores`: what a metric gives: a number for each picture, their mean, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from seewhy.metrics.estimate import CONFIDENCE, Estimate
from seewhy.results import finite


@dataclass(frozen=True, eq=False)
class Scores:
    """A number for each picture.

    Attributes:
        values: of the pictures, (B,); NaN where the metric says nothing about one.
    """

    values: Float[NDArray[np.float64], " pictures"]

    def __repr__(self) -> str:
        low, high = self.interval()
        return f"Scores({self.mean:.3f}, {low:.3f} to {high:.3f}, {self.n} pictures)"

    @property
    def known(self) -> Float[NDArray[np.float64], " known"]:
        """Those that are numbers."""
        return self.values[~np.isnan(self.values)]

    @property
    def n(self) -> int:
        """How many are numbers."""
        return len(self.known)

    @property
    def mean(self) -> float:
        """The mean of those that are numbers; NaN if none is."""
        return float(self.known.mean()) if self.n else math.nan

    def interval(self, confidence: float = CONFIDENCE, *, seed: int = 0) -> tuple[float, float]:
        """The interval that holds the mean over all such pictures with this confidence.

        By the percentile bootstrap over the pictures, see `Estimate`. NaN for fewer than two.

        Args:
            confidence: between 0 and 1.
            seed: of the draws.
        """
        if self.n < 2:
            return math.nan, math.nan
        known, n = self.known, self.n
        found = Estimate.of(lambda w: w @ known / n, n, seed=seed, confidence=confidence)
        return found.low, found.high

    def to_json(self) -> dict[str, object]:
        """For a JSON document, without NaN."""
        low, high = self.interval()
        return {
            "mean": finite(self.mean),
            "low": finite(low),
            "high": finite(high),
            "n": self.n,
        }


def joined(parts: list[Scores]) -> Scores:
    """The scores of several batches of pictures as one."""
    return Scores(np.concatenate([part.values for part in parts]))
