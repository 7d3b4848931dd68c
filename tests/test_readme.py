"""README tells the truth: its tables are those that the benchmarks wrote, its links lead on."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_table_row_is_quoted_from_the_pages_that_the_benchmarks_write() -> None:
    pages = [(ROOT / "docs" / name).read_text("utf-8") for name in ("benchmarks.md", "zoo.md")]
    written = {line for page in pages for line in page.splitlines()}
    quoted = [line for line in README.splitlines() if line.startswith("|")]
    assert len(quoted) > 10
    assert [line for line in quoted if line not in written] == []


def test_links_to_files_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) >= 4
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_commands_that_it_shows_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
