"""The page around the pictures, and the one public function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from seewhy import render
from seewhy._version import __version__
from seewhy.files import write_whole
from seewhy.report.card import LONGEST_SIDE, card
from seewhy.report.markup import asset, base64_text, embed, escape, hash_source, template
from seewhy.results import PictureEvidence

SCRIPTS = ("numbers.js", "maps.js", "report.js")
SHADES = 511  # odd, so that the middle one is exactly zero evidence


def write_report(
    path: str | Path,
    pictures: Sequence[PictureEvidence],
    *,
    title: str = "What the model looked at",
    model: str,
    errors: Sequence[tuple[str, str]] = (),
    lead: str = "",
    longest: int = LONGEST_SIDE,
) -> Path:
    """Write one self-contained HTML page that shows the evidence in `pictures`.

    The page holds everything: pictures as JPEG (no longer than `longest`), raw maps
    as float32, style and script. Its Content-Security-Policy forbids all network traffic.

    Args:
        path: where to write; its folder has to exist. A file that is there is replaced.
        pictures: what to show, in this order.
        title: the page's heading.
        model: the model's name, shown below the heading.
        errors: pictures that could not be explained, each a path and its one-line error.
        lead: markup that comes before the pictures; whoever passes it has escaped it.
        longest: the longer side of an embedded picture, in pixels.

    Returns:
        The path written to.

    Raises:
        FileError: if the file cannot be written; what was there before is left as it was.
        InputError: if a picture's maps are not all of the same two-dimensional shape.
    """
    page = _page(pictures, title=title, model=model, errors=errors, lead=lead, longest=longest)
    return write_whole(path, (piece.encode() for piece in page))


def _page(
    pictures: Sequence[PictureEvidence],
    *,
    title: str,
    model: str,
    errors: Sequence[tuple[str, str]],
    lead: str,
    longest: int,
) -> Iterator[str]:
    """Yield the page piece by piece: two hundred pictures need not fit in memory twice."""
    style, script = asset("report.css"), "\n".join(map(asset, SCRIPTS))
    page = template("page.html").substitute(
        title=escape(title),
        summary=_summary(model, len(pictures), len(errors)),
        lead=lead,
        errors=_error_list(errors),
        palettes=embed({each: _palette(each) for each in get_args(render.Style)}),
        style=style,
        style_hash=hash_source(style),
        script=script,
        script_hash=hash_source(script),
        version=escape(__version__),
    )
    before, after = page.split("<!-- pictures -->", maxsplit=1)
    yield before
    for index, picture in enumerate(pictures):
        yield card(index, picture, longest)
    yield after


def _summary(model: str, explained: int, failed: int) -> str:
    parts = [f"<bdi>{escape(model)}</bdi>", _count(explained, "picture")]
    if failed:
        parts.append(f'<a href="#errors">{_count(failed, "picture")} could not be read</a>')
    return " · ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _error_list(errors: Sequence[tuple[str, str]]) -> str:
    if not errors:
        return ""
    entries = "\n".join(
        f"<li><code><bdi>{escape(path)}</bdi></code> <bdi>{escape(line)}</bdi></li>"
        for path, line in errors
    )
    heading = "Could not be read"
    return (
        f'<section class="errors" id="errors"><h2>{heading}</h2>\n<ul>\n{entries}\n</ul></section>'
    )


def _palette(style: render.Style) -> str:
    """Return the colours from -1 to 1 of `render`'s scale as RGBA bytes, in base 64."""
    ramp = np.linspace(-1.0, 1.0, SHADES, dtype=np.float32)[None]
    return base64_text(render.colourise(ramp, style=style, limit=1.0).tobytes())
