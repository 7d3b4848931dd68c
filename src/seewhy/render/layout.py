"""Text and images on white, one below the other or side by side."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image
from PIL import ImageDraw, ImageFont
from PIL.Image import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.ImageFont import FreeTypeFont

CELL = 256  # pixels; the side of the square that a picture is fitted into
LINE = 17
INK, FAINT, PAPER = (24, 24, 27), (98, 98, 107), (255, 255, 255)


def written(lines: Sequence[str], *, width: int = CELL, zoom: int = 1) -> Image:
    """Lines of text, the first one bold, each cut to the width."""
    height = LINE * zoom
    canvas = PIL.Image.new("RGB", (width, height * len(lines)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        font, ink = (font_of(11 * zoom), FAINT) if number else (font_of(12 * zoom, bold=True), INK)
        draw.text((0, number * height), elided(line, font, width), fill=ink, font=font)
    return canvas


def elided(line: str, font: FreeTypeFont, width: int) -> str:
    """A line that fits: its middle gives way, so that name and number both stay."""
    line = " ".join(line.split())
    if font.getlength(line) <= width:
        return line
    kept = next(n for n in range(len(line), 0, -1) if font.getlength(_cut(line, n)) <= width)
    return _cut(line, kept)


def _cut(line: str, kept: int) -> str:
    tail = min(7, kept // 3)  # " 62.1 %", or ".jpeg"
    return f"{line[: kept - tail]}…{line[len(line) - tail :]}"


def arrange(images: Sequence[Image], *, down: bool, gap: int, margin: int = 0) -> Image:
    """Images one below the other, or side by side, on white."""
    axis = int(down)
    along = sum(image.size[axis] for image in images) + gap * (len(images) - 1) + 2 * margin
    across = max(image.size[1 - axis] for image in images) + 2 * margin
    canvas = PIL.Image.new("RGB", (across, along) if down else (along, across), PAPER)
    start = margin
    for image in images:
        canvas.paste(image, (margin, start) if down else (start, margin))
        start += image.size[axis] + gap
    return canvas


@lru_cache
def font_of(size: int, *, bold: bool = False) -> FreeTypeFont:
    """The letters of everything that is drawn, of a height in pixels."""
    import matplotlib as mpl

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)
