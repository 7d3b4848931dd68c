"""The sums in docs/scale.md are what its own formulas give."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"


def test_the_page_prints_what_its_program_prints() -> None:
    text = PAGE.read_text("utf-8")
    found = re.search(r"```python\n(?P<code>.*?)```\n\n```\n(?P<said>.*?)```", text, re.DOTALL)
    assert found is not None
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(found["code"], str(PAGE), "exec"), {})
    assert said.getvalue() == found["said"]


def test_the_table_of_sizes_follows_the_formula() -> None:
    rows = re.findall(
        r"\| ([\d.]+) \| (\d+) x (\d+) \| ([\d,]+) \| ([\d,]+) bytes \| ([\d,]+) bytes \|",
        PAGE.read_text("utf-8"),
    )
    assert len(rows) == 2
    for classes, height, width, channels, formula, measured in rows:
        k, h, w = float(classes), int(height), int(width)
        row = k * (2 * h * w + 24) + 2 * int(channels.replace(",", "")) + 120
        assert abs(row - int(formula.replace(",", ""))) <= 1
        assert 0.7 * row < int(measured.replace(",", "")) < row
