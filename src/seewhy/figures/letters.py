"""Letters before they are drawn: how wide they are, what fits, which of them there are at all."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

_MEASURED = 100  # pixels; large, so that widths are not rounded to whole pixels


def width(text: str, points: float, *, bold: bool = False) -> float:
    """How wide a line is, in points."""
    return _font(bold).getlength(text) * points / _MEASURED


def elided(text: str, points: float, room: float, *, bold: bool = False) -> str:
    """A line that fits into `room` points: its end gives way."""
    if width(text, points, bold=bold) <= room:
        return text
    fitting = (
        f"{text[:kept].rstrip()}…"
        for kept in range(len(text) - 1, 0, -1)
        if width(f"{text[:kept].rstrip()}…", points, bold=bold) <= room
    )
    return next(fitting, "…")


def wrapped(text: str, points: float, room: float) -> list[str]:
    """Lines of whole words that fit into `room` points; a longer word is elided.

    A no-break space keeps words together.
    """
    lines: list[str] = []
    for word in text.split(" "):
        if lines and width(f"{lines[-1]} {word}", points) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(elided(word, points, room))
    return lines


def legible(text: str, otherwise: str = "") -> str:
    """The text in one line, without what the font has no letters for.

    Args:
        text: whatever the user calls things.
        otherwise: what to write where no letter or digit is left.
    """
    known = _letters()
    kept = "".join(each for each in " ".join(text.split()) if ord(each) in known)
    kept = " ".join(kept.split())
    return kept if any(map(str.isalnum, kept)) or kept == text else otherwise


@cache
def _letters() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_path(bold=False))).get_charmap())


@cache
def _font(bold: bool) -> FreeTypeFont:
    return ImageFont.truetype(_path(bold=bold), _MEASURED)


def _path(*, bold: bool) -> Path:
    import matplotlib as mpl

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / name
