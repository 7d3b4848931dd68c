"""Whether maps add up to what they explain: statistics of their certificates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seewhy.results import finite

if TYPE_CHECKING:
    from torch import Tensor

    from seewhy.explanation import Explanation


@dataclass(frozen=True)
class Completeness:
    """How well many maps add up.

    Attributes:
        n: how many maps there were.
        exact: the share whose certificate is explained by rounding.
        median: of the certificates: the deviation over the scale of the picture's logits.
        worst: the largest; NaN if any is.
        residual: the median share of the target less the bias that the evidence leaves over; NaN
            where explanations do not give it.
        worst_residual: the largest share.
    """

    n: int
    exact: float
    median: float
    worst: float
    residual: float
    worst_residual: float

    def to_json(self) -> dict[str, object]:
        """For a JSON document, without NaN."""
        return {"n": self.n} | {
            name: finite(getattr(self, name))
            for name in ("exact", "median", "worst", "residual", "worst_residual")
        }


def completeness(explanations: Iterable[Explanation]) -> Completeness:
    """Statistics of the certificates and residuals of many explanations.

    They are looked at one after the other; of each only the numbers are kept.

    Args:
        explanations: what `explain` returned, of any number of pictures and classes.

    Returns:
        NaN for every statistic where there is no map.

    Source:
        Completeness: Sundararajan et al., ICML 2017, section 3; the certificate: `seewhy.evidence`.
    """
    certificates, exact, residuals = [], [], []
    for each in explanations:
        certificates.append(_flat(each.certificate))
        exact.append(_flat(each.certificate <= each.tolerance))
        residuals.append(_flat(getattr(each, "residual_share", each.certificate.new_empty(0))))
    every, left = (np.concatenate([np.empty(0), *parts]) for parts in (certificates, residuals))
    return Completeness(
        n=len(every),
        exact=float(np.concatenate(exact).mean()) if len(every) else math.nan,
        median=_or_nan(np.median, every),
        worst=_or_nan(np.max, every),
        residual=_or_nan(np.median, left),
        worst_residual=_or_nan(np.max, left),
    )


def _or_nan(statistic: object, values: np.ndarray) -> float:
    return float(statistic(values)) if len(values) else math.nan  # type: ignore[operator]


def _flat(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().flatten().numpy()
