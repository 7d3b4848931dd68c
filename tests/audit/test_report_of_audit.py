from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.audit.stores import failed, make_store, row

from seewhy import open_audit
from seewhy.audit.opened import Audit
from seewhy.audit.page import Choice, geometry_of, write_page
from seewhy.audit.schema import Row
from seewhy.cli import main
from seewhy.errors import ImageError, InputError
from seewhy.preprocess import Preprocess


def opener(row: Row) -> Image.Image:
    return Image.new("RGB", (row["width"], row["height"]), "teal")


def gone(row: Row) -> Image.Image:
    raise ImageError(row["path"], expected="a picture", got="no such file", fix="find it")


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    rows = [row(number, border=number / 8, correct=number % 2 == 0) for number in range(8)]
    return open_audit(make_store(tmp_path / "run", [*rows, failed(8)]))


def written(audit: Audit, tmp_path: Path, choice: Choice, opened: object = opener) -> str:
    path = write_page(audit, tmp_path / "page.html", choice, opened)  # type: ignore[arg-type]
    return path.read_text("utf-8")


def shown(page: str) -> list[int]:
    """The numbers of the pictures, in order."""
    return [int(each) for each in re.findall(r'<h2 id="name-\d+"><bdi>a/(\d+)', page)]


def test_the_pictures_of_a_question_are_shown_in_its_order(audit: Audit, tmp_path: Path) -> None:
    page = written(audit, tmp_path, Choice("border", count=2))
    assert shown(page) == [7, 6]
    assert "2 of them: more than 50% of the evidence" in page


def test_random_ones_depend_on_the_seed_alone(audit: Audit, tmp_path: Path) -> None:
    first, again, other = (
        shown(written(audit, tmp_path, Choice(count=3, seed=seed))) for seed in (0, 0, 1)
    )
    assert first == again == sorted(first)
    assert first != other
    assert len(shown(written(audit, tmp_path, Choice(count=99)))) == 8  # the failed one is not


def test_a_condition_in_sql_chooses(audit: Audit, tmp_path: Path) -> None:
    assert shown(written(audit, tmp_path, Choice(where="row IN (5, 2)"))) == [2, 5]
    with pytest.raises(InputError, match=r"SQL: expected a question that DuckDB understands"):
        written(audit, tmp_path, Choice(where="row ="))
    with pytest.raises(InputError, match="one SELECT"):
        written(audit, tmp_path, Choice(where="true); DROP VIEW audit; --"))


def test_maps_are_those_of_the_store(audit: Audit, tmp_path: Path) -> None:
    page = written(audit, tmp_path, Choice(where="row = 0"))
    data = re.search(r'class="evidence">(.*?)</script>', page)
    assert data
    first, second = json.loads(data[1])["classes"]
    assert (first["name"], second["name"]) == ("dog", "cat")
    assert first["evidence"] == pytest.approx(np.mean([0, 2, 4, 6, 8, 10]))


def test_charts_count_every_picture_and_the_page_stays_small(audit: Audit, tmp_path: Path) -> None:
    page = written(audit, tmp_path, Choice(count=1))
    assert page.count("a histogram of 8 pictures") == 3
    assert page.count("a histogram of 4 pictures") == 1  # half have boxes
    assert "50.0% right" in page
    assert "1 pictures failed" in page
    assert len(shown(page)) == 1


def test_a_picture_that_is_gone_leaves_its_map(audit: Audit, tmp_path: Path) -> None:
    page = written(audit, tmp_path, Choice(where="row = 0"), gone)
    assert "(not shown: no such file)" in page
    assert shown(page) == [0]


def test_the_geometry_is_that_of_preparing_the_picture() -> None:
    preprocess = Preprocess(size=(24, 16), crop=0.8, mode="crop")
    document = {"size": [24, 16], "crop": 0.8, "mode": "crop", "mean": [0.5], "std": [1.0]}
    _, expected = preprocess.frame(Image.new("RGB", (100, 31)))
    assert geometry_of(document, (100, 31)) == expected


def test_the_command_writes_the_page(
    audit: Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.html"
    assert main(["report", str(audit.folder), "--question", "worst", "--out", str(out)]) == 0
    assert "wrote" in capsys.readouterr().err
    assert shown(out.read_text("utf-8"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--question", "wurst"], "--question: expected one of worst, narrow"),
        (["--question", "failed"], "--question: expected one of worst, narrow"),
        (["--where", "true", "--class", "cat"], "--where: expected no --question"),
        (["--out", "/nowhere/page.html"], "/nowhere/page.html: expected a file that can be writ"),
    ],
)
def test_bad_use_of_report_is_one_line(
    audit: Audit, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(audit.folder), *arguments]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
