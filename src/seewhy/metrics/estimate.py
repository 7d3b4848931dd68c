"""`Estimate`: a figure over pictures, and how far other pictures might have moved it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from seewhy.errors import InputError
from seewhy.results import finite

Weights = Float64[NDArray[np.float64], "draws pictures"]
# From how often each picture counts, in each of some draws, to the figure of each draw.
Statistic = Callable[[Weights], NDArray[np.float64]]

DRAWS = 1000
CONFIDENCE = 0.95
_AT_ONCE = 2**22  # weights in memory


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval.

    Attributes:
        value: the figure on all pictures.
        low: the lower end of the interval; NaN where there is but one picture.
        high: its upper end.
        n: how many pictures there were.
        confidence: of the interval.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentiles).
    """

    value: float
    low: float
    high: float
    n: int
    confidence: float = CONFIDENCE

    def __str__(self) -> str:
        """In per cent: "66.2 % (62.6 to 69.8)"."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"

    @classmethod
    def of(
        cls,
        statistic: Statistic,
        n: int,
        *,
        seed: int = 0,
        draws: int = DRAWS,
        confidence: float = CONFIDENCE,
    ) -> Estimate:
        """A figure, and the interval that it stays in when pictures are drawn with replacement.

        Args:
            statistic: takes weights (draws, n), how often each picture counts, to one figure a
                draw. Each draw's weights add up to n.
            n: how many pictures there are.
            seed: of the draws: the same seed, the same interval.
            draws: how many.
            confidence: the share of the draws that lie in the interval.

        Raises:
            InputError: there are no pictures, or the confidence is no share.
        """
        if n < 1 or not 0 < confidence < 1:
            raise InputError(
                "estimate",
                expected="at least one picture, and a confidence between 0 and 1",
                got=f"{n} pictures, {confidence}",
                fix="pass more pictures, or another confidence",
            )
        value = float(statistic(np.ones((1, n)))[0])
        if n == 1:
            return cls(value, math.nan, math.nan, n, confidence)
        drawn = np.concatenate([statistic(weights) for weights in _weights(n, seed, draws)])
        low, high = np.quantile(drawn, ((1 - confidence) / 2, (1 + confidence) / 2))
        return cls(value, float(low), float(high), n, confidence)

    @classmethod
    def of_mean(cls, values: Iterable[float], *, seed: int = 0, draws: int = DRAWS) -> Estimate:
        """The mean of one number a picture; where it is right or wrong, the accuracy.

        Args:
            values: the numbers.
            seed: see `of`.
            draws: see `of`.

        Raises:
            InputError: there are none.
        """
        numbers = np.array([float(value) for value in values])
        count = len(numbers)
        return cls.of(lambda weights: weights @ numbers / count, count, seed=seed, draws=draws)

    def to_json(self) -> dict[str, object]:
        """For a JSON document, without NaN."""
        return {
            "value": finite(self.value),
            "low": finite(self.low),
            "high": finite(self.high),
            "confidence": self.confidence,
            "n": self.n,
        }


def _weights(n: int, seed: int, draws: int) -> Iterator[Weights]:
    random = np.random.default_rng(seed)
    chunk = max(1, _AT_ONCE // n)
    for start in range(0, draws, chunk):
        count = min(chunk, draws - start)
        yield random.multinomial(n, np.full(n, 1 / n), size=count).astype(np.float64)
