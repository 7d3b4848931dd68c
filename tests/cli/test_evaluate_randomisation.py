"""`seewhy evaluate randomisation`, through the entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.materials import photo

from seewhy.cli import main
from seewhy.cli.evaluate_randomisation import HELP

NET = ("--model", "nets.py:make", "--size", "16", "--class-names", "names.txt")
COMMAND = ("evaluate", "randomisation")


@pytest.fixture
def pictures(here: Path, tmp_path: Path) -> str:
    for number in range(2):
        photo(seed=number).save(tmp_path / f"{number}.png")
    return str(tmp_path)


def test_a_table_and_a_figure(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*COMMAND, pictures, *NET, "--methods", "cam,edges", "--out", str(out)]) == 0
    said = capsys.readouterr()
    names = [f"randomisation{suffix}" for suffix in (".png", ".pdf", ".svg", ".md")]
    assert [line for line in said.out.splitlines() if line.startswith("wrote")] == [
        f"wrote {out / name}" for name in names
    ]
    assert (out / "randomisation.md").read_text(encoding="utf-8") in said.out
    assert said.err == ""


def test_json(pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["--methods", "gradient", "--order", "independent", "--json", "--out", str(tmp_path)]
    assert main([*COMMAND, "--data", pictures, *NET, *typed]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["order"], found["count"], found["layers"]) == ("independent", 2, ["4", "0"])
    assert len(found["files"]) == 4


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--order", "top"], "order: expected cascading or independent, got 'top'"),
        (["--methods", "camm"], "method 'camm'"),
        (["--pictures", "0"], "Invalid value for '--pictures'"),
    ],
)
def test_bad_use(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str], said: str
) -> None:
    assert main([*COMMAND, pictures, *NET, *typed, "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


def test_help_fits_a_terminal_of_80_columns() -> None:
    assert max(map(len, HELP.splitlines())) <= 78
