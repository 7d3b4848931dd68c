"""docs/kinds.md tells the truth: its example runs, and its table has every kind."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import get_args

import pytest

from seewhy.heads import HeadKind

PAGE = Path(__file__).parents[1] / "docs" / "kinds.md"


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = re.sub(r"^```(python)?$", "", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(page, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 8
    done = doctest.DocTestRunner().run(examples)
    assert done.failed == 0, capsys.readouterr().out


def test_the_table_has_every_kind() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert told == list(get_args(HeadKind))
