"""Charts as SVG, drawn in the page's own colours: histograms whose bars are split in two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seewhy.report.markup import escape

WIDTH, HEIGHT = 320, 120  # of the plot; the axis is below it
_AXIS = 18


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width from 0 to 1.

    Attributes:
        title: what is counted.
        parts: the name of each part of the bars, from the bottom up, and its count a bin.
        note: one more line, to read it by.
    """

    title: str
    parts: Mapping[str, Sequence[int]]
    note: str = ""

    def __str__(self) -> str:
        """As markup."""
        totals = [sum(each) for each in zip(*self.parts.values(), strict=True)]
        highest = max(totals, default=0) or 1
        label = f"{self.title}: a histogram of {sum(totals):,} pictures"
        return (
            f'<figure class="chart"><figcaption>{escape(self.title)}{self._legend()}</figcaption>'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT + _AXIS}" role="img" aria-label="{escape(label)}">'
            f"{self._bars(highest)}{_axis()}</svg>"
            f'<p class="note">{escape(self.note)}</p></figure>'
        )

    def _legend(self) -> str:
        if len(self.parts) < 2:
            return ""
        keys = (
            f'<span class="key part-{place}">{escape(name)}</span>'
            for place, name in enumerate(self.parts)
        )
        return f'<span class="legend">{"".join(keys)}</span>'

    def _bars(self, highest: int) -> str:
        bars: list[str] = []
        count = len(next(iter(self.parts.values())))
        stacked = [0] * count
        wide = WIDTH / count
        for place, (name, counts) in enumerate(self.parts.items()):
            for index, number in enumerate(counts):
                stacked[index] += number
                if number:
                    top, tall = (HEIGHT * n / highest for n in (stacked[index], number))
                    span = f"{index / count:.2f} to {(index + 1) / count:.2f}"
                    bars.append(
                        f'<rect class="part-{place}" x="{index * wide + 0.5:.1f}"'
                        f' y="{HEIGHT - top:.2f}" width="{wide - 1:.1f}" height="{tall:.2f}">'
                        f"<title>{span}: {number:,} {escape(name)}</title></rect>"
                    )
        return "".join(bars)


def _axis() -> str:
    places = ((0.0, "start", "0"), (0.5, "middle", "0.5"), (1.0, "end", "1"))
    marks = "".join(
        f'<text x="{share * WIDTH:.0f}" y="{HEIGHT + 14}" text-anchor="{anchor}">{text}</text>'
        for share, anchor, text in places
    )
    return f'<path class="axis" d="M0 {HEIGHT}.5H{WIDTH}"/>{marks}'


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as markup: numbers right-aligned, what is unknown left empty."""
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    rows_of = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{rows_of}</table></div>'


def _cell(value: object) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, int | float):
        text = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
        return f'<td class="number">{text}</td>'
    return f"<td><bdi>{escape(str(value))}</bdi></td>"
