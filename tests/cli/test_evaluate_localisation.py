"""`seewhy evaluate localisation`: what is typed, what is answered, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.datasets.test_boxed import table

from seewhy.cli import main

ROWS = [(n % 10, [[n, 2, 20 + n, 20]]) for n in range(6)]
NET = ("--model", "resnet20-cifar10")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "six.parquet", *ROWS, (1, []))
    return "six.parquet"


def test_a_table_and_what_it_means(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "localisation", *NET, "--data", data, "--out", "found"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "cam, all 6" in lines[0]
    assert lines[2].startswith("| MaxBoxAccV2 ↑ ")
    assert "cam of resnet20-cifar10 at 32 x 32; six." in lines
    assert "Left out: 1." in lines
    assert lines[-2:] == ["wrote found/localisation.md", "wrote found/localisation.png"]
    assert err == (
        "left out six.parquet row 6: expected boxes x0, y0, x1, y1 with x0 < x1 and y0 < y1,"
        " got none; correct the row\n"
    )
    assert Path("found/localisation.md").read_text("utf-8") == "\n".join([*lines[:-2], ""])
    with Image.open("found/localisation.png") as sheet:
        assert sheet.width > 224


def test_json_of_the_refined_map_at_another_size(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--method", "refined", "--size", "48", "--flip", "--json"]
    assert main(["evaluate", "localisation", *NET, "--data", data, *typed]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["method"], document["size"], document["flip"]) == ("refined", [48, 48], True)
    assert document["passes"] > 2 * 48**2 / 32**2  # told in passes at 32 x 32
    assert document["count"] == 6
    assert set(document["all"]) == {"refined", "centre"}


BAD = {
    "no data": ([], "--data: expected pictures with boxes, got none"),
    "a folder": (["--data", "."], "data .: expected a .parquet file with boxes"),
    "no such method": (["--data", "six.parquet", "--method", "cma"], "did you mean cam?"),
    "scales in words": (["--data", "six.parquet", "--scales", "big"], "--scales: expected numbers"),
    "resolution 3": (["--data", "six.parquet", "--resolution", "3"], "resolution: expected 1, 2"),
    "other classes": (["--data", "nine.parquet"], "expected four pictures that can be used"),
}


@pytest.mark.parametrize(("typed", "said"), BAD.values(), ids=BAD)
def test_bad_use_is_one_line(
    typed: list[str], said: str, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data
    table(Path("nine.parquet"), *[(n, [[0, 0, 9, 9]]) for n in range(900, 909)])
    assert main(["evaluate", "localisation", *NET, *typed]) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.count("\n") == 1
    assert said in err


def test_the_american_spelling_is_a_slip(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "localization"]) == 2
    assert "did you mean localisation?" in capsys.readouterr().err
