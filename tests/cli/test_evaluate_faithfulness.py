"""`seewhy evaluate faithfulness`, through the entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.materials import photo

from seewhy.cli import main
from seewhy.cli.evaluate_faithfulness import HELP

NET = ("--model", "nets.py:make", "--size", "16", "--class-names", "names.txt")
QUICK = ("--methods", "cam,gradient", "--metrics", "deletion,increase", "--steps", "3")
COMMAND = ("evaluate", "faithfulness")


@pytest.fixture
def pictures(here: Path, tmp_path: Path) -> str:
    for number in range(3):
        photo(seed=number).save(tmp_path / f"{number}.png")
    return str(tmp_path)


def test_a_table_and_a_figure(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*COMMAND, "--data", pictures, *NET, *QUICK, "--out", str(out)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:7]] == [
        "cam",
        "gradient",
        "*random*",
        "*centre*",
        "*edges*",
    ]
    names = [f"faithfulness{suffix}" for suffix in (".png", ".pdf", ".svg", ".md")]
    assert [line for line in lines if line.startswith("wrote")] == [
        f"wrote {out / name}" for name in names
    ]
    assert (out / "faithfulness.md").read_text(encoding="utf-8") in said.out
    assert "The maps of explain: 100% of 3 exact" in said.out
    assert said.err == ""


def test_json(pictures: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, pictures, *NET, *QUICK, "--pictures", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["count"], found["steps"], found["files"]) == (2, 3, [])
    assert [each["method"] for each in found["methods"]][-3:] == ["random", "centre", "edges"]
    assert set(found["methods"][0]["metrics"]) == {"deletion", "increase"}


def test_without_curves_there_is_no_figure(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--methods", "cam", "--metrics", "increase", "--out", str(tmp_path / "out")]
    assert main([*COMMAND, pictures, *NET, *typed]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["faithfulness.md"]
    assert "wrote" in capsys.readouterr().out


def test_a_data_set_with_labels(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(4):
            photo(seed=number).save(tmp_path / label / f"{number}.png")
    assert main([*COMMAND, "--data", str(tmp_path), *NET, *QUICK, "--pictures", "2"]) == 0
    assert "2 test pictures of" in capsys.readouterr().out


def test_a_broken_picture_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "mixed", *NET, *QUICK]) == 0
    assert "left out mixed/1.png: expected a picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--methods", "camm"], "method 'camm': expected the name of a method"),
        (["--metrics", "delete"], "did you mean deletion or"),
        (["--data", "mixed"], "pictures: expected --data or pictures, got both"),
        (["--area", "0"], "area: expected above 0, up to 1, got 0"),
        (["--steps", "0"], "Invalid value for '--steps'"),
        (["--pictures", "0"], "Invalid value for '--pictures'"),
    ],
)
def test_bad_use(
    pictures: str, capsys: pytest.CaptureFixture[str], typed: list[str], said: str
) -> None:
    assert main([*COMMAND, pictures, *NET, *typed]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


def test_help_fits_a_terminal_of_80_columns() -> None:
    assert max(map(len, HELP.splitlines())) <= 78
