"""The curves of a judgement as a figure: what becomes of the class as pixels go or come.

Methods are drawn in colour, the baselines in grey: what lies no better than grey says nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from seewhy.errors import InputError
from seewhy.judging.paper import COLOURS, FAINT, GREYS, INK, plot_axes, saved
from seewhy.tasks import QUANTITIES, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from seewhy.judging.result import Faithfulness

WIDTH, HEIGHT, LEGEND = 3.1, 2.9, 1.5  # of a panel and of the list of names, in inches

_AXES = {
    "deletion": ("deletion: lower is better", "best pixels grey"),
    "insertion": ("insertion: higher is better", "best pixels sharp"),
    "ROAD, most first": ("ROAD, best first: lower is better", "best pixels imputed"),
    "ROAD, least first": ("ROAD, worst first: higher is better", "worst pixels imputed"),
}


def save(result: Faithfulness, path: Path) -> Path:
    """Draw the figure to a PNG, PDF or SVG file; the same result gives the same bytes.

    Raises:
        InputError: the path ends in none of these, or there is no curve.
        FileError: it cannot be written.
    """
    if not result.curves:
        raise InputError(
            "figure",
            expected="a metric that draws curves: deletion, insertion or road",
            got=", ".join(result.metrics),
            fix="choose one of these, too",
        )
    return saved(lambda: draw(result), path)


def draw(result: Faithfulness) -> Figure:
    """Draw a panel for each kind of curve, and the names beside them."""
    panels = len(result.curves)
    width = panels * WIDTH + LEGEND
    figure = Figure(figsize=(width, HEIGHT), facecolor="white")
    for number, (name, curves) in enumerate(result.curves.items()):
        title, below = _AXES.get(name, (name, "pixels changed"))
        left = (number * WIDTH + 0.5) / width
        axes = plot_axes(figure, (left, 0.2, (WIDTH - 0.62) / width, 0.64), title)
        for method, curve in curves.items():
            axes.plot(curve.shares, curve.probabilities, **_style(result, method), label=method)
        _finish(axes, below, result.settings.task, is_first=number == 0)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", fontsize=8, frameon=False, labelcolor=INK)
    note = f"{result.model}, {result.n} {result.what}, predicted classes."
    note += " Grey: maps that know nothing of the model."
    figure.text(0.5 / width, 0.02, note, fontsize=7, color=FAINT)
    return figure


def _finish(axes: Axes, below: str, task: Task, *, is_first: bool) -> None:
    axes.set_xlim(0, 1)
    if task not in QUANTITIES:
        axes.set_ylim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_xlabel(below, fontsize=8, color=FAINT)
    if is_first:
        what = "mean output" if task in QUANTITIES else "mean probability of the class"
        axes.set_ylabel(what, fontsize=8, color=FAINT)


def _style(result: Faithfulness, method: str) -> dict[str, Any]:
    if method in result.baselines:
        number = result.baselines.index(method)
        return {"color": FAINT, "linestyle": GREYS[number % len(GREYS)], "linewidth": 1.1}
    methods = [name for name in result.scores if name not in result.baselines]
    return {"color": COLOURS[methods.index(method) % len(COLOURS)], "linewidth": 1.6}
