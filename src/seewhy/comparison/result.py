"""`Comparison`: what came out, as a value that can be printed, written and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seewhy.results import Prediction, finite

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from numpy.typing import NDArray

VERSION = 1


@dataclass(frozen=True)
class Mean:
    """The mean of some numbers.

    Attributes:
        value: the mean.
        error: its standard error; NaN for fewer than two numbers.
        n: how many there were.
    """

    value: float
    error: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Mean:
        """The mean of those that are numbers; NaN if there are none."""
        known = np.array([value for value in values if not math.isnan(value)])
        if not len(known):
            return cls(math.nan, math.nan, 0)
        error = known.std(ddof=1) / math.sqrt(len(known)) if len(known) > 1 else math.nan
        return cls(float(known.mean()), float(error), len(known))

    def to_json(self) -> dict[str, object]:
        """For a JSON document, without NaN."""
        return {"mean": finite(self.value), "standard_error": finite(self.error), "n": self.n}


@dataclass(frozen=True)
class Cost:
    """What one map costs.

    Attributes:
        seconds: the median over the rounds, for one picture and one class.
        passes: that over the median of a bare forward pass in the same rounds.
    """

    seconds: float
    passes: float


@dataclass(frozen=True)
class Score:
    """What one method got.

    Attributes:
        method: its name in `METHODS`.
        cost: of one map.
        difference: of the maps for a picture's two top classes, see `class_difference`.
        pointing: the share of positive evidence in the right cell of a mosaic, see
            `grid_pointing`; None where no mosaics were made.
    """

    method: str
    cost: Cost
    difference: Mean
    pointing: Mean | None


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture with maps of every method, for two classes: a part of the figure.

    Attributes:
        name: what the picture is called.
        pixels: what the network saw of it, (H, W, 3).
        classes: the two classes, with the model's probabilities for them.
        maps: by method, one for each class, (2, H, W).
        cells: for a mosaic, the (row, column) of each class's picture.
    """

    name: str
    pixels: UInt8[NDArray[np.uint8], "height width 3"]
    classes: tuple[Prediction, Prediction]
    maps: Mapping[str, Float[NDArray[np.floating], "2 height width"]]
    cells: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """How methods fared on the same model and pictures.

    Attributes:
        model: its name.
        what: the pictures, in words.
        forward_seconds: the median time of a bare forward pass of one picture.
        scores: one for each method that could be used.
        refused: why the others could not.
        shown: some pictures with their maps.
        note: why there are no mosaics, or what the mosaics are made of.
        seed: of what was chosen at random.
        skipped: a line for each picture that could not be read.
    """

    model: str
    what: str
    forward_seconds: float
    scores: tuple[Score, ...]
    refused: Mapping[str, str]
    shown: tuple[Shown, ...]
    note: str
    seed: int
    skipped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Comparison({len(self.scores)} methods on {self.model}, {self.what})"

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods that could be used."""
        return tuple(score.method for score in self.scores)

    def table(self) -> str:
        """The numbers as a table in Markdown, with what they mean below it."""
        from seewhy.comparison.table import table

        return table(self)

    def save(self, path: str | Path) -> Path:
        """Draw the figure as PNG, PDF or SVG.

        Raises:
            InputError: the path ends in none of these.
            FileError: it cannot be written.
        """
        from seewhy.comparison.figure import save

        return save(self, Path(path))

    def to_json(self) -> dict[str, object]:
        """All numbers, for a JSON document."""
        return {
            "version": VERSION,
            "model": self.model,
            "pictures": self.what,
            "note": self.note,
            "seed": self.seed,
            "forward_seconds": self.forward_seconds,
            "methods": [_score(score) for score in self.scores],
            "refused": dict(self.refused),
            "skipped": list(self.skipped),
        }


def _score(score: Score) -> dict[str, object]:
    return {
        "method": score.method,
        "seconds": score.cost.seconds,
        "passes": score.cost.passes,
        "class_difference": score.difference.to_json(),
        "right_cell": score.pointing.to_json() if score.pointing else None,
    }
