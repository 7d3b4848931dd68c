"""Tables are put between their own marks, and nothing else of a page is touched."""

from __future__ import annotations

import pytest
from benchmarks.page import DOCS, between

PAGE = """# Page
<!-- measured: one -->
old
<!-- end of one -->
between
<!-- measured: two -->
<!-- end of two -->
"""


def test_only_what_lies_between_the_marks_of_the_table_changes() -> None:
    made = between(PAGE, "one", ["| a |", r"| \1 |"])
    assert made == PAGE.replace("old\n", "\n| a |\n| \\1 |\n\n")
    assert between(made, "one", ["old"]) == PAGE.replace("old\n", "\nold\n\n")


def test_a_page_without_the_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="three"):
        between(PAGE, "three", [])


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("graft.md", "graft"),
        ("engines.md", "engines"),
        ("audit.md", "speed"),
        ("audit.md", "memory"),
        ("audit.md", "decoders"),
    ],
)
def test_the_pages_have_the_marks_that_the_benchmarks_look_for(page: str, table: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert "here it is" in between(text, table, ["here it is"])
