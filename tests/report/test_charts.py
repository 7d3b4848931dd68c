from __future__ import annotations

import re

from seewhy.report.charts import HEIGHT, Histogram, table


def bars(markup: str) -> list[tuple[float, float]]:
    """The top and the height of every bar."""
    found = re.findall(r'<rect [^>]*y="([^"]+)"[^>]*height="([^"]+)"', markup)
    return [(float(y), float(height)) for y, height in found]


def test_bars_stand_on_each_other_and_the_highest_fills_the_plot() -> None:
    drawn = bars(str(Histogram("p", {"right": [0, 6], "wrong": [2, 2]})))
    assert drawn == [
        (HEIGHT * 2 / 8, HEIGHT * 6 / 8),  # 6 right, under
        (HEIGHT * 6 / 8, HEIGHT * 2 / 8),  # 2 wrong, on the ground
        (0.0, HEIGHT * 2 / 8),  # 2 wrong, on the 6
    ]


def test_every_bar_says_what_it_counts() -> None:
    markup = str(Histogram("p", {"right": [0, 1234]}))
    assert "<title>0.50 to 1.00: 1,234 right</title>" in markup
    assert 'aria-label="p: a histogram of 1,234 pictures"' in markup


def test_nothing_is_no_bar_and_no_error() -> None:
    assert bars(str(Histogram("p", {"pictures": [0, 0]}))) == []


def test_names_are_escaped() -> None:
    markup = str(Histogram("<b>", {"<i>": [1], "&": [1]}, "<u>")) + table(["<s>"], [["<q>"]])
    assert not re.search("<[bisuq]>", markup)


def test_a_table_sets_numbers_right_and_leaves_the_unknown_empty() -> None:
    markup = table(["class", "n"], [["cat", 1500], ["dog", None], ["owl", 0.25]])
    assert '<td class="number">1,500</td>' in markup
    assert "<td></td>" in markup
    assert '<td class="number">0.25</td>' in markup
