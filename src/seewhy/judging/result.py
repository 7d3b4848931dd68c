"""`Faithfulness`: what came out, as a value that can be printed, written and drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seewhy.metrics.scores import Scores

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import NDArray

    from seewhy.metrics.faithfulness.completeness import Completeness
    from seewhy.metrics.faithfulness.table import Settings

VERSION = 1


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """The class's mean probability as ever more pixels are changed.

    Attributes:
        shares: of the pixels.
        probabilities: the means, one for each share; of a regression those of the output.
    """

    shares: Float[NDArray[np.float64], " steps"]
    probabilities: Float[NDArray[np.float64], " steps"]


@dataclass(frozen=True, eq=False, repr=False)
class Faithfulness:
    """How faithful the maps of several methods are to one model, on the same pictures.

    Attributes:
        model: its name.
        what: the pictures, in words.
        scores: of each method that could be used, and of the baselines, for each metric.
        baselines: the names of those that know nothing of the model; they come last.
        curves: by name, those of each method.
        completeness: how well the maps of `explain` add up; None where it gives none.
        refused: why the other methods could not be used.
        settings: of the metrics.
        skipped: a line for each picture that could not be read.
    """

    model: str
    what: str
    scores: Mapping[str, Mapping[str, Scores]]
    baselines: tuple[str, ...]
    curves: Mapping[str, Mapping[str, MeanCurve]]
    completeness: Completeness | None
    refused: Mapping[str, str]
    settings: Settings
    skipped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        methods = len(self.scores) - len(self.baselines)
        return f"Faithfulness({methods} methods on {self.model}, {self.n} {self.what})"

    @property
    def n(self) -> int:
        """How many pictures there were."""
        first = next(iter(next(iter(self.scores.values())).values()))
        return len(first.values)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics."""
        return tuple(next(iter(self.scores.values())))

    def beats(self, method: str, metric: str) -> bool:
        """Whether a method is better than each baseline, on the same pictures, with confidence.

        It is if the interval for the mean difference, picture by picture, lies on the right side
        of zero for each.
        """
        from seewhy.metrics.faithfulness.table import METRICS

        sign = 1 if METRICS[metric].is_higher_better else -1
        own = self.scores[method][metric].values
        others = (self.scores[name][metric].values for name in self.baselines if name != method)
        return all(Scores(sign * (own - other)).interval()[0] > 0 for other in others)

    def table(self) -> str:
        """The numbers as a table in Markdown, with what they mean below it."""
        from seewhy.judging.table import table

        return table(self)

    def save(self, path: str | Path) -> Path:
        """Draw the curves as PNG, PDF or SVG.

        Raises:
            InputError: the path ends in none of these, or no metric drew a curve.
            FileError: it cannot be written.
        """
        from seewhy.judging.curves import save

        return save(self, Path(path))

    def to_json(self) -> dict[str, object]:
        """All numbers, for a JSON document."""
        return {
            "version": VERSION,
            "model": self.model,
            "pictures": self.what,
            "count": self.n,
            "steps": self.settings.steps,
            "area": self.settings.area,
            "seed": self.settings.seed,
            "task": self.settings.task,
            "precision": self.settings.precision,
            "methods": [self._method(name) for name in self.scores],
            "completeness": self.completeness and self.completeness.to_json(),
            "refused": dict(self.refused),
            "skipped": list(self.skipped),
        }

    def _method(self, name: str) -> dict[str, object]:
        return {
            "method": name,
            "is_baseline": name in self.baselines,
            "metrics": {
                metric: {**scores.to_json(), "beats_baselines": self.beats(name, metric)}
                for metric, scores in self.scores[name].items()
            },
            "curves": {
                curve: {
                    "shares": each[name].shares.tolist(),
                    "probabilities": each[name].probabilities.tolist(),
                }
                for curve, each in self.curves.items()
            },
        }
