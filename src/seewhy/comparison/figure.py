"""The figure of a comparison: methods side by side, two classes one below the other.

Units are inches. Maps are drawn signed, red for the class and blue against it, over a faint grey
picture. Of one picture and method both classes share a scale, so that a method to which the class
makes no difference shows twice the same.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from seewhy import files
from seewhy.comparison.table import CHANCE, cost
from seewhy.figures import letters
from seewhy.figures.save import check_suffix
from seewhy.render import colourise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from seewhy.comparison.result import Comparison, Score, Shown
    from seewhy.results import Prediction

MAP, GAP, MARGIN = 1.28, 0.06, 0.12  # a map's side, white between maps and around all
CLASS, PICTURE_GAP = 0.20, 0.16  # the line above two classes' maps, white between pictures
HEAD, LINE = 0.26, 0.19  # the methods' names, a line of numbers
FOOT, TEXT = 0.56, 0.16  # the colour bar, a line of the caption beside it
FEWEST = 3  # columns, for the caption's sake
DOTS = 150  # per inch: a map of 32 x 32 pixels is drawn six times as large
STRONGEST = 99.5  # per cent of a map's pixels are weaker than the strongest colour

INK, FAINT, RULE = "#18181b", "#5b5b64", "#d4d4d8"
_FADE = 0.15  # of the grey picture below a map is left

_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    ".svg": {"Date": None, "Creator": None},
}


def save(comparison: Comparison, path: Path) -> Path:
    """Draw the figure to a PNG, PDF or SVG file; the same comparison gives the same bytes.

    Raises:
        InputError: the path ends in none of these.
        FileError: it cannot be written.
    """
    suffix = check_suffix(path)
    buffer = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc("font", family="DejaVu Sans")  # comes with matplotlib: looks the same everywhere
        mpl.rc("pdf", fonttype=42)
        mpl.rc("svg", fonttype="path", hashsalt="seewhy")
        draw(comparison).savefig(buffer, format=suffix[1:], dpi=DOTS, metadata=_METADATA[suffix])
    return files.write_whole(path, [buffer.getvalue()])


def draw(comparison: Comparison) -> Figure:
    """Draw the figure."""
    sheet = _Sheet(comparison)
    sheet.heads()
    for number, shown in enumerate(comparison.shown):
        sheet.picture(number, shown)
    sheet.foot()
    return sheet.figure


def scale(maps: NDArray[np.floating]) -> float:
    """The strength that gets the strongest colour in some maps, which share it."""
    return float(np.percentile(np.abs(maps), STRONGEST)) or float(np.abs(maps).max())


class _Sheet:
    """A figure with nothing on it yet, and where everything goes, in inches from the upper left."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.side = 2 * MAP + CLASS  # of a picture: as high as its two rows of maps
        self.row = 2 * (MAP + CLASS) + PICTURE_GAP
        numbers = 3 if any(score.pointing for score in comparison.scores) else 2
        self.top = MARGIN + HEAD + numbers * LINE + 0.08
        columns = max(FEWEST, len(comparison.scores))
        self.width = 2 * MARGIN + self.side + 0.14 + columns * (MAP + GAP) - GAP
        room = 72 * (self.width - MARGIN - self.left(0))
        self.caption = letters.wrapped(letters.legible(_caption(comparison)), 7, 0.98 * room)
        self.under = FOOT + max(0, len(self.caption) - 2) * TEXT
        self.height = self.top + len(comparison.shown) * self.row + self.under
        self.figure = Figure(figsize=(self.width, self.height), facecolor="white")
        FigureCanvasAgg(self.figure)

    def left(self, column: int) -> float:
        """Where a method's maps begin."""
        return MARGIN + self.side + 0.14 + column * (MAP + GAP)

    def text(self, x: float, y: float, words: str, size: float = 8, **how: Any) -> None:
        """Write a line whose middle is at y."""
        how = {"va": "center", "color": INK, **how}
        self.figure.text(x / self.width, 1 - y / self.height, words, fontsize=size, **how)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """A rectangle to draw in, from its upper left corner."""
        box = (x / self.width, 1 - (y + height) / self.height)
        axes = self.figure.add_axes((*box, width / self.width, height / self.height))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        return axes

    def heads(self) -> None:
        """The methods' names and numbers, a column each."""
        names = ["forward passes for a map", "difference between classes"]
        names += [f"evidence in the right cell ({CHANCE:.0%}: chance)"]
        right = MARGIN + self.side
        for line, name in enumerate(names[: round((self.top - MARGIN - HEAD) / LINE)]):
            y = MARGIN + HEAD + (line + 0.5) * LINE
            self.text(right, y, name, 7, ha="right", color=FAINT)
        for column, score in enumerate(self.comparison.scores):
            middle = self.left(column) + MAP / 2
            self.text(middle, MARGIN + HEAD / 2, score.method, 8, ha="center", weight="bold")
            for line, number in enumerate(_numbers(score)):
                y = MARGIN + HEAD + (line + 0.5) * LINE
                self.text(middle, y, number, 8, ha="center")

    def picture(self, number: int, shown: Shown) -> None:
        """One picture, and below each method its maps for two classes."""
        top = self.top + number * self.row
        tall, wide = shown.pixels.shape[:2]
        side = self.side
        axes = self.axes(
            MARGIN, top + CLASS, side * min(1, wide / tall), side * min(1, tall / wide)
        )
        _show(axes, shown.pixels)
        for row, decided in enumerate(shown.classes):
            y = top + row * (MAP + CLASS)
            self._class(y + CLASS / 2, decided, shown, row)
            for column, method in enumerate(self.comparison.methods):
                maps = shown.maps[method]
                axes = self.axes(self.left(column), y + CLASS, MAP, MAP)
                _show(axes, blended(shown.pixels, maps[row], scale(maps)))
                _outline(axes, shown, row)

    def _class(self, y: float, decided: Prediction, shown: Shown, row: int) -> None:
        name = letters.elided(letters.legible(decided.name, "?"), 8, 72 * 3 * MAP, bold=True)
        where = f", {_PLACES[shown.cells[row]]}" if shown.cells else ""
        self.text(self.left(0), y, name, 8, weight="bold", va="center")
        after = self.left(0) + 0.08 + letters.width(name, 8, bold=True) / 72
        self.text(after, y, f"{100 * decided.probability:.1f} %{where}", 8, color=FAINT)

    def foot(self) -> None:
        """The scale, and what it means."""
        y, width = self.height - self.under + 0.16, 0.8 * self.side
        ramp = np.linspace(-1, 1, 255, dtype=np.float32)[None]
        axes = self.axes(MARGIN, y, width, 0.09)
        _show(axes, _on_white(colourise(ramp, style="signed", limit=1)), aspect="auto")
        axes.spines[:].set_visible(True)
        axes.spines[:].set(color=RULE, linewidth=0.5)
        for share, words, anchor in _TICKS:
            self.text(MARGIN + share * width, y + 0.19, words, 7, ha=anchor, color=FAINT)
        for line, words in enumerate(self.caption):
            self.text(self.left(0), y + 0.02 + line * TEXT, words, 7, color=FAINT)


_TICKS = ((0, "against", "left"), (0.5, "0", "center"), (1, "for", "right"))
_PLACES = {
    (0, 0): "upper left",
    (0, 1): "upper right",
    (1, 0): "lower left",
    (1, 1): "lower right",
}


def _caption(comparison: Comparison) -> str:
    return (
        "Each method has a scale of its own for each picture, the same for both classes: cam is in"
        " logits, the others' units differ or are arbitrary."
        f" The strongest {100 - STRONGEST:g} % of the pixels have the strongest colour."
        f" {comparison.model}, {comparison.what}, seed {comparison.seed}."
    )


def _numbers(score: Score) -> list[str]:
    lines = [cost(score.cost.passes), f"{score.difference.value:.2f}"]
    return [*lines, f"{score.pointing.value:.0%}"] if score.pointing else lines


def blended(
    pixels: NDArray[np.uint8], evidence: NDArray[np.floating], limit: float
) -> NDArray[np.uint8]:
    """A map, signed, over its picture in faint grey."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)[..., None]
    faint = 255 - _FADE * (255 - grey)
    colours = colourise(evidence, style="signed", limit=limit).astype(np.float32)
    opacity = colours[..., 3:] / 255
    mixed = colours[..., :3] * opacity + faint * (1 - opacity)
    drawn: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return drawn


def _on_white(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(colours)
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, (0, 0), image)
    return np.asarray(paper)


def _show(
    axes: Axes, pixels: NDArray[np.uint8], aspect: Literal["equal", "auto"] = "equal"
) -> None:
    """Pixels as they are: small ones stay squares, many are averaged."""
    is_small = max(pixels.shape[:2]) <= MAP * DOTS / 2
    axes.imshow(pixels, interpolation="nearest" if is_small else "antialiased", aspect=aspect)


def _outline(axes: Axes, shown: Shown, row: int) -> None:
    """Frame the cell that the class's picture is in."""
    if shown.cells:
        height, width = (side / 2 for side in shown.pixels.shape[:2])
        y, x = shown.cells[row]
        frame = Rectangle(
            (x * width - 0.5, y * height - 0.5), width, height, fill=False, color=INK, lw=0.9
        )
        axes.add_patch(frame)
