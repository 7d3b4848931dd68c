"""The figure of a randomisation test: maps in a row for each method, and what is left of them.

Units are inches. Each map has a scale of its own, for only its pattern can be compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seewhy.comparison.figure import blended, scale
from seewhy.judging.paper import COLOURS, FAINT, INK, plot_axes, saved
from seewhy.metrics.similarity import MEASURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seewhy.judging.randomisation import Randomisation

Box = tuple[float, float, float, float]

COLUMNS = 8  # maps in a row, at most
MAP, GAP, LABEL, MARGIN = 1.0, 0.05, 1.25, 0.12
HEAD, PLOT, ROOM = 0.50, 1.5, 1.05  # the layers' names, the curves, and what is around them


def save(test: Randomisation, path: Path) -> Path:
    """Draw the figure to a PNG, PDF or SVG file; the same test gives the same bytes.

    Raises:
        InputError: the path ends in none of these.
        FileError: it cannot be written.
    """
    return saved(lambda: draw(test), path)


def draw(test: Randomisation) -> Figure:
    """Draw the maps, and below them a panel of curves for each measure."""
    sheet = _Sheet(test)
    sheet.heads()
    for row, method in enumerate(test.similarity):
        sheet.row(row, method)
    sheet.curves()
    return sheet.figure


def steps(layers: int) -> list[int]:
    """Which states are shown: the network as it is (0), and layers spread from the first down."""
    spread = np.rint(np.linspace(1, layers, min(COLUMNS - 1, layers)))
    return [0, *sorted({int(each) for each in spread})]


class _Sheet:
    """A figure with nothing on it yet, and where everything goes, from the upper left."""

    def __init__(self, test: Randomisation) -> None:
        self.test, self.steps = test, steps(len(test.layers))
        self.left = MARGIN + LABEL
        columns = max(5, len(self.steps))
        self.width = self.left + (columns + 1) * (MAP + GAP) + MARGIN
        self.bottom = MARGIN + HEAD + len(test.similarity) * (MAP + GAP)
        self.height = self.bottom + PLOT + ROOM
        self.figure = Figure(figsize=(self.width, self.height), facecolor="white")

    def heads(self) -> None:
        """The picture, and above each map the layer that was redrawn last."""
        shown = self.test.shown
        self._picture(self.left, MARGIN + HEAD, shown.pixels)
        self._text(self.left, MARGIN + HEAD - 0.1, shown.of, weight="bold")
        for column, step in enumerate(self.steps):
            x = self._x(column)
            name = self.test.layers[step - 1] if step else "as it is"
            self._text(x, MARGIN + HEAD - 0.1, _short(name), weight="bold" if not step else None)
        word = "redrawn from the logits down to" if self.test.order == "cascading" else "redrawn"
        self._text(self._x(1), MARGIN + 0.22, f"{word}:", color=FAINT)

    def row(self, row: int, method: str) -> None:
        """A method's name, its colour in the curves, and its maps."""
        y = MARGIN + HEAD + row * (MAP + GAP)
        self._text(MARGIN, y + MAP / 2, method, weight="bold", color=_colour(row))
        for column, step in enumerate(self.steps):
            map_ = self.test.shown.maps[method][step]
            self._picture(self._x(column), y, _drawn(self.test.shown.pixels, map_))

    def curves(self) -> None:
        """A panel for each measure: the similarity after each layer."""
        wide = (self.width - self.left - MARGIN + 0.25) / len(MEASURES)
        for number, measure in enumerate(MEASURES):
            x, y = self.left + number * wide, self.bottom + 0.35
            box = self._box(x, y, wide - 0.35, PLOT)
            axes = plot_axes(self.figure, box, measure)
            places = np.arange(1, len(self.test.layers) + 1)
            for row, similarity in enumerate(self.test.similarity.values()):
                means = [scores.mean for scores in similarity[measure]]
                low, high = np.transpose([scores.interval() for scores in similarity[measure]])
                axes.plot([0, *places], [1, *means], color=_colour(row), linewidth=1.6)
                axes.fill_between(places, low, high, color=_colour(row), alpha=0.15, linewidth=0)
            axes.set_ylim(min(-0.25, axes.get_ylim()[0]), 1.02)
            axes.set_xlim(0, len(self.test.layers))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        note = (
            f"{self.test.model}, {self.test.n} {self.test.what}, {self.test.order}. Maps: red for"
            " the class, blue against it, each on its own scale."
        )
        self._text(self.left, self.height - 0.30, note, color=FAINT)
        note = (
            "Curves: similarity to the map as it is, over the number of layers redrawn, with 95 %"
            " intervals; 1: nothing changed."
        )
        self._text(self.left, self.height - 0.14, note, color=FAINT)

    def _x(self, column: int) -> float:
        return self.left + (column + 1) * (MAP + GAP)

    def _box(self, x: float, y: float, wide: float, tall: float) -> Box:
        bottom = 1 - (y + tall) / self.height
        return x / self.width, bottom, wide / self.width, tall / self.height

    def _picture(self, x: float, y: float, pixels: NDArray[np.uint8]) -> None:
        axes = self.figure.add_axes(self._box(x, y, MAP, MAP))
        axes.set_axis_off()
        axes.imshow(pixels, interpolation="nearest" if max(pixels.shape) < 100 else "antialiased")

    def _text(
        self, x: float, y: float, words: str, *, color: str = INK, weight: str | None = None
    ) -> None:
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            words,
            fontsize=7.5,
            color=color,
            weight=weight or "normal",
            va="center",
        )


def _colour(row: int) -> str:
    return COLOURS[row % len(COLOURS)]


def _short(name: str, longest: int = 15) -> str:
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _drawn(pixels: NDArray[np.uint8], map_: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A map over the faint picture; the picture alone where there is no map."""
    if not np.isfinite(map_).all():
        map_ = np.zeros_like(map_)
    return blended(pixels, map_, scale(map_) or 1.0)
