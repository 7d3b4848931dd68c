"""Tables are put between their own marks, and nothing else of a page is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import page
from benchmarks.page import DOCS, between, keep_rows, replaced

PAGE = """# Page
<!-- measured: one -->
old
<!-- end of one -->
between
<!-- measured: two -->
<!-- end of two -->
"""


def test_only_what_lies_between_the_marks_of_the_table_changes() -> None:
    made = replaced(PAGE, "one", ["| a |", r"| \1 |"])
    assert made == PAGE.replace("old\n", "\n| a |\n| \\1 |\n\n")
    assert replaced(made, "one", ["old"]) == PAGE.replace("old\n", "\nold\n\n")


def test_a_page_without_the_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="three"):
        replaced(PAGE, "three", [])


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("graft.md", "graft"),
        ("engines.md", "engines"),
        ("engines.md", "kept"),
        ("faithfulness.md", "peers"),
        ("faithfulness.md", "engines"),
        ("faithfulness.md", "hundred"),
        ("audit.md", "speed"),
        ("audit.md", "memory"),
        ("audit.md", "decoders"),
    ],
)
def test_the_pages_have_the_marks_that_the_benchmarks_look_for(name: str, table: str) -> None:
    text = (DOCS / name).read_text("utf-8")
    assert "here it is" in replaced(text, table, ["here it is"])


def test_rows_come_a_network_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DOCS", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(PAGE)

    def there() -> list[str]:
        return between(path.read_text(), "one")

    about, order = ["this machine", "", "| net | speed |"], ["A", "B"]
    keep_rows("page.md", "one", about, ["| B | 3 |", "| B | 4 |"], order)
    assert there() == [*about, "| B | 3 |", "| B | 4 |"]
    keep_rows("page.md", "one", about, ["| A | 1 |"], order)
    assert there() == [*about, "| A | 1 |", "| B | 3 |", "| B | 4 |"]
    keep_rows("page.md", "one", about, ["| B | 5 |"], order)
    assert there() == [*about, "| A | 1 |", "| B | 5 |"]
    other = ["another machine", *about[1:]]
    keep_rows("page.md", "one", other, ["| B | 6 |"], order)
    assert there() == [*other, "| B | 6 |"]
    keep_rows("page.md", "one", about, ["| 1,000 | 7 |", "| 9 | 8 |"], [])
    assert there() == [*about, "| 1,000 | 7 |", "| 9 | 8 |"]
    assert path.read_text().endswith(PAGE[PAGE.index("between") :])
