"""What the figures of judgements share: ink, colours, and a file with the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seewhy import files
from seewhy.figures.save import check_suffix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, RULE = "#18181b", "#5b5b64", "#d4d4d8"
# Okabe and Ito's, which people who see fewer colours can tell apart, the palest left out.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#8c510a")
GREYS = ("-", "--", ":")
DOTS = 150  # per inch

_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    ".svg": {"Date": None, "Creator": None},
}


def saved(draw: Callable[[], Figure], path: Path) -> Path:
    """Draw to a PNG, PDF or SVG file.

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
        figure = draw()
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=suffix[1:], dpi=DOTS, metadata=_METADATA[suffix])
    return files.write_whole(path, [buffer.getvalue()])


def plot_axes(figure: Figure, box: tuple[float, float, float, float], title: str) -> Axes:
    """A panel to plot in, with as little around it as can be."""
    axes = figure.add_axes(box)
    axes.set_title(title, fontsize=8.5, color=INK, loc="left", weight="bold")
    axes.tick_params(labelsize=7.5, colors=FAINT, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    return axes
