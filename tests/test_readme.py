"""README tells the truth: its tables are those that the benchmarks wrote, its links lead on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_table_row_is_quoted_from_the_pages_that_the_benchmarks_write() -> None:
    pages = [
        (ROOT / "docs" / name).read_text("utf-8")
        for name in ("benchmarks.md", "zoo.md", "heads.md")
    ]
    written = {line for page in pages for line in page.splitlines()}
    quoted = [line for line in README.splitlines() if line.startswith("|")]
    assert len(quoted) > 10
    assert [line for line in quoted if line not in written] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/cifar10.md"])
def test_links_to_files_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text("utf-8"))
    assert links or page == "CONTRIBUTING.md"
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_card_of_the_shipped_net_says_what_its_model_file_says() -> None:
    folder = ROOT / "src/seewhy/models/weights_of/resnet20-cifar10"
    trained = json.loads((folder / "model.json").read_text("utf-8"))["trained"]
    accuracy = f"{trained['test_accuracy']:.2%}".replace("%", " %")
    for page in (folder / "README.md", ROOT / "docs/cifar10.md"):
        assert f"**{accuracy}**" in page.read_text("utf-8")


def test_the_commands_that_it_shows_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
