"""docs/outputs.md tells the truth: every example runs, says what it says, and draws its picture."""

from __future__ import annotations

import doctest
import os
import re
from pathlib import Path

import PIL.Image
import pytest
from tests.test_render import differs

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "outputs.md"


def test_the_examples_run_and_draw_their_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set SEEWHY_UPDATE_GOLDEN=1 to draw the pictures anew; then look at them."""
    monkeypatch.chdir(tmp_path)
    page = re.sub(r"^```(python)?$", "", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(page, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 40
    done = doctest.DocTestRunner().run(examples)
    assert done.failed == 0, capsys.readouterr().out
    drawn = sorted(path.name for path in tmp_path.glob("*.png"))
    assert drawn == sorted(re.findall(r"\]\((\w+\.png)\)", page))
    for name in drawn:
        if os.environ.get("SEEWHY_UPDATE_GOLDEN"):
            (DOCS / name).write_bytes((tmp_path / name).read_bytes())
        with PIL.Image.open(tmp_path / name) as made, PIL.Image.open(DOCS / name) as shown:
            assert not differs(made, shown)
