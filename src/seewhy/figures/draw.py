"""Draw a figure with matplotlib: on one sheet, in dots of 1/200 inch, so that pixels stay whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Sheet
from matplotlib.patches import Rectangle

from seewhy import render
from seewhy.figures import letters
from seewhy.figures.figure import number
from seewhy.figures.layout import (
    BAR_HEIGHT,
    DOTS,
    LINE,
    MARGIN,
    NAME,
    PAIR,
    SMALL,
    SMALL_LINE,
    TEXT,
    TITLE,
    Layout,
    layout_of,
    points,
)
from seewhy.figures.thumbnail import thumbnail

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from seewhy.figures.figure import Cell, Figure, Note


@dataclass(frozen=True)
class Theme:
    """The colours of what is no picture."""

    paper: str
    ink: str
    faint: str
    wrong: str


_BETWEEN = 3.0  # points, between a class and its number

LIGHT = Theme("#ffffff", "#18181b", "#5b5b64", "#c8102e")
DARK = Theme("#141417", "#f4f4f5", "#a8a8b3", "#ff6169")


def draw(figure: Figure, dpi: int) -> Sheet:
    """Draw a figure.

    Args:
        figure: what to draw.
        dpi: of the pictures in it; a multiple of 200.
    """
    layout = layout_of(figure)
    theme = DARK if figure.dark else LIGHT
    pen = _Pen(_sheet(layout, dpi, theme.paper), theme, dpi // DOTS)
    if figure.title:
        _title(pen, figure.title, layout)
    for index, cell in enumerate(figure.cells):
        row, column = divmod(index, figure.columns)
        _cell(
            pen, figure, cell, layout, (layout.left(column), layout.tops[row]), layout.heights[row]
        )
    _caption(pen, layout)
    _bar(pen, figure, layout)
    return pen.sheet


@dataclass(frozen=True)
class _Pen:
    """Draws on a sheet whose coordinates are dots, from the left and from above."""

    sheet: Sheet
    theme: Theme
    zoom: int  # pixels of a picture for a dot

    @property
    def axes(self) -> Axes:
        return self.sheet.axes[0]

    def picture(self, pixels: NDArray[np.uint8], left: float, top: float) -> None:
        height, width = (side / self.zoom for side in pixels.shape[:2])
        self.axes.imshow(
            pixels,
            extent=(left, left + width, top + height, top),
            interpolation="nearest",
            aspect="auto",
            resample=False,
        )

    def text(self, text: str, left: float, baseline: float, size: float, **options: Any) -> None:
        shown = {"color": self.theme.ink, "parse_math": False, **options}
        self.axes.text(left, baseline, text, fontsize=size, va="baseline", **shown)

    def frame(self, left: float, top: float, width: float, height: float, **options: Any) -> None:
        self.axes.add_patch(Rectangle((left, top), width, height, fill=False, **options))


def _sheet(layout: Layout, dpi: int, paper: str) -> Sheet:
    """An empty one, with axes over all of it."""
    size = (layout.width / DOTS, layout.height / DOTS)
    sheet = Sheet(figsize=size, dpi=dpi, facecolor=paper)
    FigureCanvasAgg(sheet)
    axes = sheet.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, layout.width), ylim=(layout.height, 0), autoscale_on=False)
    axes.axis("off")
    return sheet


def _title(pen: _Pen, title: str, layout: Layout) -> None:
    room = points(layout.width - 2 * MARGIN)
    text = letters.elided(letters.legible(title), TITLE, room, bold=True)
    pen.text(text, MARGIN, MARGIN + 28, TITLE, weight="bold")


def _cell(
    pen: _Pen, figure: Figure, cell: Cell, layout: Layout, at: tuple[int, int], height: int
) -> None:
    """A picture, beside it its evidence, below both what was decided."""
    left, top = at
    image, geometry = thumbnail(cell.picture.image, cell.picture.geometry, layout.side * pen.zoom)
    scale = figure.limit if figure.scale == "all" else figure.own_limit(cell)
    shown = render.overlay(image, cell.evidence.map, geometry, style=figure.style, limit=scale)
    inset = (layout.side - image.width / pen.zoom) / 2, (height - image.height / pen.zoom) / 2
    for place, each in enumerate((image, shown)):
        x = left + place * (layout.side + PAIR) + inset[0]
        pen.picture(np.asarray(each), x, top + inset[1])
    if cell.is_wrong:
        pen.frame(left - 4, top - 4, layout.pair + 8, height + 8, lw=1.6, ec=pen.theme.wrong)
    for line, note in enumerate(figure.notes(cell), 1):
        _note(pen, note, left, top + height + TEXT + line * LINE - 7, layout.pair)


def _note(pen: _Pen, note: Note, left: int, baseline: int, width: int) -> None:
    colour = {"plain": pen.theme.ink, "faint": pen.theme.faint, "wrong": pen.theme.wrong}[note.tone]
    share, room = note.number, points(width)
    beside = room - letters.width(share, NAME) - _BETWEEN
    if note.tone != "plain" and letters.width(note.text, NAME) > beside:
        share, beside = "", room  # the second line's name says more than its number
    pen.text(letters.elided(note.text, NAME, beside), left, baseline, NAME, color=colour)
    pen.text(share, left + width, baseline, NAME, color=colour, ha="right")


def _caption(pen: _Pen, layout: Layout) -> None:
    for line, text in enumerate(layout.caption, 1):
        baseline = layout.foot + line * SMALL_LINE - 7
        pen.text(text, MARGIN, baseline, SMALL, color=pen.theme.faint)


def _bar(pen: _Pen, figure: Figure, layout: Layout) -> None:
    """What the colours mean: a line of words, the scale, its ends in logits."""
    (left, top), width = layout.bar, layout.bar_width
    faint = {"color": pen.theme.faint}
    words = letters.elided(_meaning(figure), SMALL, points(width))
    pen.text(words, left, top + SMALL_LINE - 7, SMALL, **faint)
    pen.picture(_ramp(figure, width * pen.zoom, BAR_HEIGHT * pen.zoom, pen), left, top + SMALL_LINE)
    pen.frame(left, top + SMALL_LINE, width, BAR_HEIGHT, lw=0.5, ec=pen.theme.faint)
    for share, label in _ticks(figure):
        align = {0.0: "left", 0.5: "center", 1.0: "right"}[share]
        baseline = top + SMALL_LINE + BAR_HEIGHT + SMALL_LINE - 4
        pen.text(label, left + share * width, baseline, SMALL, ha=align, **faint)


def _meaning(figure: Figure) -> str:
    if figure.against is None:
        return "evidence for the predicted class"
    others = figure.against == "others"
    return f"evidence over {'all others' if others else letters.legible(figure.against)}"


def _ticks(figure: Figure) -> list[tuple[float, str]]:
    if figure.scale == "picture":
        least = "as much against it" if figure.style == "signed" else ""
        return [(0.0, least or "0"), (1.0, "each picture's largest")]
    if not figure.limit:
        return [(0.0, "0"), (1.0, "none is positive")]
    most = f"{number(figure.limit)} logits"
    if figure.style == "positive":
        return [(0.0, "0"), (1.0, most)]
    return [(0.0, f"-{number(figure.limit)}"), (0.5, "0"), (1.0, most)]


def _ramp(figure: Figure, width: int, height: int, pen: _Pen) -> NDArray[np.uint8]:
    """The colours from the least to the largest, laid over the paper."""
    levels = np.linspace(-1.0 if figure.style == "signed" else 0.0, 1.0, width)[None]
    colours = render.colourise(levels, style=figure.style, limit=1.0 if figure.limit else 0.0)
    share = colours[..., 3:] / 255
    paper = 255 * np.array(to_rgb(pen.theme.paper))
    laid = np.rint(colours[..., :3] * share + paper * (1 - share)).astype(np.uint8)
    return np.repeat(laid, height, axis=0)
