"""Write a figure as PNG, PDF or SVG: letters in the file, nothing outside it, the same bytes."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seewhy import files
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.figures.figure import Figure

SLIDE, PRINT = 200, 400  # dots per inch, of pixels in PNG and of pictures in the others

# What is written about the file itself: no date, nothing that another machine would write otherwise
_FORMATS: dict[str, tuple[int, dict[str, Any]]] = {
    ".png": (SLIDE, {"Software": None}),
    ".pdf": (PRINT, {"Creator": None, "Producer": None, "CreationDate": None}),
    ".svg": (PRINT, {"Date": None, "Creator": None, "Format": None, "Type": None}),
}

_SETTINGS: Any = {
    "pdf.fonttype": 42,  # TrueType, so that text can be found, copied and edited
    "svg.fonttype": "path",  # who reads it may not have the font
    "svg.hashsalt": "seewhy",
    "image.composite_image": False,  # each picture for itself
    "font.family": "DejaVu Sans",  # comes with matplotlib: looks the same everywhere
}


def check_suffix(path: Path) -> str:
    """Return a path's suffix, in lower case.

    Raises:
        InputError: it is none of the formats that can be written.
    """
    suffix = path.suffix.lower()
    if suffix in _FORMATS:
        return suffix
    raise InputError(
        str(path),
        expected=f"a name that ends in {', '.join(_FORMATS)}",
        got=f"'{path.suffix}'" if path.suffix else "none",
        fix="choose one of these formats",
    )


def save(figure: Figure, path: Path) -> Path:
    """Draw a figure to a file.

    Raises:
        InputError: its suffix is of no format that can be written.
        FileError: it cannot be written.
    """
    return files.write_whole(path, [encoded(figure, check_suffix(path))])


def encoded(figure: Figure, suffix: str) -> bytes:
    """Draw a figure, and return the bytes of a file with this suffix."""
    import matplotlib as mpl

    from seewhy.figures.draw import draw

    dpi, about = _FORMATS[suffix]
    buffer = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()  # the user's own settings are for the user's own figures
        mpl.rcParams.update(_SETTINGS)
        drawn = draw(figure, dpi)
        drawn.savefig(buffer, format=suffix[1:], dpi=dpi, metadata=about)
    content = buffer.getvalue()
    # the document type is the address of a file elsewhere; no reader of today asks for it
    return re.sub(rb"<!DOCTYPE[^>]*>\s*", b"", content, count=1) if suffix == ".svg" else content
