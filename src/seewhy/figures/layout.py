"""Where everything stands on the sheet, in whole dots of 1/200 inch.

A picture's side is a multiple of 32 dots, so that one of 32 x 32 pixels is enlarged by a whole
factor when the sheet is drawn at 200 dots per inch, or a multiple of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from seewhy.figures import letters
from seewhy.figures.thumbnail import fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seewhy.figures.figure import Cell, Figure

DOTS = 200  # per inch
TITLE, NAME, SMALL = 12.0, 9.0, 8.0  # points

MARGIN, PAIR, COLUMN, ROW = 16, 4, 28, 22  # white: around all, within a pair, between the cells
LINE, SMALL_LINE, TITLE_LINE = 31, 27, 58
TEXT = 6  # between a picture and the text below it
FOOT, BAR, BAR_HEIGHT = 34, 400, 16
_BESIDE = 48  # between the caption and the colour bar
_PAGE = 1440  # 7.2 inches, about the width of a page's text
_SIDES = (128, 320)  # the smallest and the largest
_STEP = 32
_TOGETHER = re.compile(
    r"(?<=\(seed) |(?<=\d) (?=wrong)| (?=·)|(?<=evidence) |(?<=\+) | (?==)|(?<==) "
)


@dataclass(frozen=True)
class Layout:
    """Where everything stands.

    Attributes:
        width: of the sheet.
        height: of the sheet.
        side: of the square that a picture is fitted into.
        tops: where each row begins.
        heights: of the pictures in each row.
        foot: where the caption begins.
        caption: its lines.
        bar: where the colour bar's block begins, from the left and from above.
        bar_width: how wide it is.
    """

    width: int
    height: int
    side: int
    tops: tuple[int, ...]
    heights: tuple[int, ...]
    foot: int
    caption: tuple[str, ...]
    bar: tuple[int, int]
    bar_width: int

    @property
    def pair(self) -> int:
        """How wide a picture with its evidence is."""
        return 2 * self.side + PAIR

    def left(self, column: int) -> int:
        """Where a column begins."""
        return MARGIN + column * (self.pair + COLUMN)


def layout_of(figure: Figure) -> Layout:
    """Lay a figure out."""
    side = _side(figure.columns)
    width = 2 * MARGIN + figure.columns * (2 * side + PAIR + COLUMN) - COLUMN
    tall = _rows([_height(cell, side) for cell in figure.cells], figure.columns)
    lines = _rows([len(figure.notes(cell)) for cell in figure.cells], figure.columns)
    tops = [MARGIN + (TITLE_LINE if figure.title else 0)]
    for height, count in zip(tall, lines, strict=True):
        tops.append(tops[-1] + height + TEXT + count * LINE + ROW)
    foot = tops.pop() - ROW + FOOT
    grid = Layout(width, 0, side, tuple(tops), tall, foot, (), (0, 0), 0)
    return _with_foot(grid, _TOGETHER.sub("\N{NO-BREAK SPACE}", letters.legible(figure.caption)))


def _side(columns: int) -> int:
    """The largest side with which the columns fit on a page; else the smallest."""
    smallest, largest = _SIDES
    room = (_PAGE - 2 * MARGIN + COLUMN) // columns - COLUMN - PAIR
    return min(max(room // 2 // _STEP * _STEP, smallest), largest)


def _height(cell: Cell, side: int) -> int:
    x0, y0, x1, y1 = cell.picture.geometry.visible
    return fitted((x1 - x0, y1 - y0), side)[1]


def _rows(values: Sequence[int], columns: int) -> tuple[int, ...]:
    """The largest value in each row."""
    starts = range(0, len(values), columns)
    return tuple(max(values[start : start + columns]) for start in starts)


def _with_foot(grid: Layout, caption: str) -> Layout:
    """Caption and colour bar side by side; one below the other where there is no room for that."""
    room = grid.width - 2 * MARGIN
    bar_height = 2 * SMALL_LINE + BAR_HEIGHT
    is_wide = room >= 2 * BAR + _BESIDE
    bar_width = BAR if is_wide else room
    lines = letters.wrapped(caption, SMALL, points(room - BAR - _BESIDE if is_wide else room))
    text_height = len(lines) * SMALL_LINE
    under = grid.foot if is_wide else grid.foot + bar_height + FOOT // 2
    return replace(
        grid,
        height=max(under + text_height, grid.foot + bar_height) + MARGIN,
        foot=under,
        caption=tuple(lines),
        bar=(MARGIN + room - bar_width, grid.foot),
        bar_width=bar_width,
    )


def points(dots: float) -> float:
    """Dots in the unit of letters."""
    return dots * 72 / DOTS
