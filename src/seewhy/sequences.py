"""Draw the evidence in a sequence: curves over time, their lines coloured by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from seewhy import render
from seewhy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image

    from seewhy.results import ClassEvidence

    Numbers = NDArray[np.floating[Any]]

_WIDTH = 900  # pixels, if nothing else is asked for
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 12, 10, 34  # white around the curves
_HEIGHT, _GAP, _STRIP = 110, 12, 12  # of a curve, between two, of the strip of cells
_DOTS = 100  # per inch
_QUIET = np.array([0.72, 0.72, 0.74])  # a line where there is no evidence
_INK, _FAINT = "#18181b", "#62626b"


def render_sequence(
    signal: Any,
    evidence: ClassEvidence,
    *,
    names: Sequence[str] | None = None,
    rate: float | None = None,
    limit: float | None = None,
    against: str | None = None,
    width: int = _WIDTH,
) -> Image:
    """Draw a sequence as curves whose lines have the colour of the evidence at each moment.

    Red speaks for the class, blue against it, grey is no evidence. The evidence belongs to a
    moment and not to a channel, so that all channels share it. Below the curves lie the cells of
    the map as they are; along the curves they are interpolated. Then come the scale in logits,
    the class, and how its logit adds up.

    Args:
        signal: what the network was given, shape (T,) or (C, T); an array or a tensor.
        evidence: an entry of `Explanation.class_evidence`, its map of shape (t,).
        names: of the C channels.
        rate: samples per second, to count in seconds.
        limit: the magnitude with the strongest colour; the map's own largest, if not given.
        against: what the evidence is measured against, see `Explanation.against_name`.
        width: of the picture, in pixels.

    Raises:
        InputError: the signal, its names or the map have another shape, or there is no number.
    """
    channels = _channels(signal)
    cells = _cells(evidence)
    if names is not None and len(names) != len(channels):
        raise InputError(
            "names",
            expected=f"{len(channels)}, one for each channel",
            got=str(len(names)),
            fix="name every channel, or none",
        )
    if rate is not None and not rate > 0:
        raise InputError("rate", expected="samples per second", got=f"{rate}", fix="pass above 0")
    scale = render.limit([cells[None]]) if limit is None else limit
    curves = _curves(channels, cells, scale, names, rate, width)
    below = render.legend(evidence, against, scale, style="signed", width=width)
    return render.arrange([curves, *below], down=True, gap=6, margin=12)


def line_colours(cells: Numbers, samples: int, limit: float) -> Numbers:
    """The colour of the line between each sample and the next, RGB from 0 to 1, (samples - 1, 3).

    Args:
        cells: a map, (t,), in logits.
        samples: how many the curve has; a cell's evidence stands in the middle of its samples.
        limit: the magnitude with the strongest colour.
    """
    count = len(cells)
    places = np.arange(1, samples) * (count / samples) - 0.5
    between = np.interp(places, np.arange(count), cells)
    colours = render.colourise(between[None], style="signed", limit=limit)[0] / 255
    laid: Numbers = colours[:, :3] * colours[:, 3:] + _QUIET * (1 - colours[:, 3:])
    return laid


def _channels(signal: Any) -> Numbers:
    """The signal as an array (C, T) of numbers."""
    values = signal.detach().cpu() if hasattr(signal, "detach") else signal
    array = np.atleast_2d(np.asarray(values, dtype=float))
    if array.ndim != 2 or array.shape[1] < 2:
        raise InputError(
            "signal",
            expected="one sequence, (time,) or (channels, time)",
            got=f"shape {array.shape}",
            fix="draw one sequence of the batch at a time",
        )
    if not np.isfinite(array).any(1).all():
        raise InputError(
            "signal", expected="numbers", got="a channel without any", fix="leave that channel out"
        )
    return array


def _cells(evidence: ClassEvidence) -> Numbers:
    if evidence.map.ndim != 1:
        raise InputError(
            "map",
            expected="evidence over time, shape (t,)",
            got=f"shape {evidence.map.shape}",
            fix="draw pictures with seewhy.render, volumes with render_volume",
        )
    return evidence.map


def _curves(
    channels: Numbers,
    cells: Numbers,
    limit: float,
    names: Sequence[str] | None,
    rate: float | None,
    width: int,
) -> Image:
    """The curves one below the other, then the cells of the map, over one axis of time."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rc("font", family="DejaVu Sans", size=8)  # comes with matplotlib
        count, samples = channels.shape
        height = _TOP + count * (_HEIGHT + _GAP) + _STRIP + _BOTTOM
        sheet = _sheet(width, height)
        colours, step = line_colours(cells, samples, limit), 1 / (rate or 1)
        for index, values in enumerate(channels):
            axes = _axes(sheet, _TOP + index * (_HEIGHT + _GAP), _HEIGHT, samples * step)
            _curve(axes, values, colours, step)
            axes.set_ylabel(names[index] if names else "", rotation=0, ha="right", va="center")
        strip = _axes(sheet, height - _BOTTOM - _STRIP, _STRIP, samples * step)
        _strip(strip, cells, limit, samples * step)
        strip.set_xlabel("seconds" if rate else "samples", labelpad=1)
        return _image(sheet)


def _sheet(width: int, height: int) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(width / _DOTS, height / _DOTS), dpi=_DOTS, facecolor="white")
    FigureCanvasAgg(sheet)
    return sheet


def _axes(sheet: Figure, top: int, height: int, end: float) -> Axes:
    """Axes over the width of a sheet, without a frame; times run from 0 to `end`."""
    wide, high = (side * _DOTS for side in sheet.get_size_inches())
    box = (_LEFT / wide, 1 - (top + height) / high, (wide - _LEFT - _RIGHT) / wide, height / high)
    axes = sheet.add_axes(box)
    axes.set_xlim(0, end)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(_FAINT)
    axes.tick_params(colors=_FAINT, length=3, labelbottom=False, bottom=False)
    axes.yaxis.label.set_color(_INK)
    return axes


def _curve(axes: Axes, values: Numbers, colours: Numbers, step: float) -> None:
    """A line whose pieces have their colours; a sample stands in the middle of its time."""
    from matplotlib.collections import LineCollection

    points = np.stack([(np.arange(len(values)) + 0.5) * step, values], 1)
    pieces = np.stack([points[:-1], points[1:]], 1)
    axes.add_collection(
        LineCollection(list(pieces), colors=colours.tolist(), linewidths=1.8, capstyle="round")
    )
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.06 * (high - low) or 0.5
    axes.set_ylim(low - room, high + room)
    axes.locator_params(axis="y", nbins=3)


def _strip(axes: Axes, cells: Numbers, limit: float, end: float) -> None:
    """The map as it is, a rectangle for each cell."""
    colours = render.colourise(cells[None], style="signed", limit=limit)
    axes.imshow(colours, extent=(0, end, 0, 1), aspect="auto", interpolation="nearest")
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(_FAINT)
    axes.spines[:].set_linewidth(0.5)
    axes.tick_params(labelbottom=True, bottom=True)
    axes.xaxis.label.set_color(_FAINT)


def _image(sheet: Figure) -> Image:
    canvas: Any = sheet.canvas
    canvas.draw()
    return PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
