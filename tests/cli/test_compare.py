"""`seewhy compare`, through the entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.materials import photo

from seewhy.cli import main
from seewhy.cli.compare import HELP, METHODS_HELP
from seewhy.methods import METHODS, USUAL

NET = ("--model", "nets.py:make", "--size", "16", "--class-names", "names.txt")
QUICK = ("--methods", "cam,deconvnet", "--rounds", "1", "--samples", "2", "--shown", "1")


@pytest.fixture
def pictures(here: Path, tmp_path: Path) -> str:
    for number in range(3):
        photo(seed=number).save(tmp_path / f"{number}.png")
    return str(tmp_path)


def test_a_table_and_a_figure(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["compare", pictures, *NET, *QUICK, "--out", str(out)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[2].startswith("| cam ")
    assert lines[3].startswith("| deconvnet ")
    assert "no mosaics: mosaics: expected confidently recognised pictures of four" in said.out
    names = [f"comparison{suffix}" for suffix in (".png", ".pdf", ".svg", ".md")]
    assert [line for line in lines if line.startswith("wrote")] == [
        f"wrote {out / name}" for name in names
    ]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert (out / "comparison.md").read_text(encoding="utf-8") in said.out
    assert said.err == ""


def test_json(pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    typed = ["compare", pictures, *NET, *QUICK, "--mosaics", "0", "--shown", "0", "--json"]
    assert main([*typed, "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["method"] for each in found["methods"]] == ["cam", "deconvnet"]
    assert found["methods"][0]["right_cell"] is None
    assert found["methods"][0]["passes"] > 0
    assert found["methods"][0]["class_difference"]["n"] == 2
    assert found["files"] == [str(out / "comparison.md")]


def test_methods_that_are_not_among_the_usual(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["grad-cam", "grad-cam++", "score-cam", "ablation-cam", "eigen-cam"]
    quick = ["--rounds", "1", "--samples", "1", "--mosaics", "0", "--shown", "0", "--json"]
    typed = ["compare", pictures, *NET, "--methods", ",".join(names), *quick]
    assert main([*typed, "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["method"] for each in found["methods"]] == names
    assert found["methods"][-1]["class_difference"]["mean"] == pytest.approx(0)  # of eigen-cam


def test_the_help_names_every_method() -> None:
    listed = METHODS_HELP.replace(";", ",").replace(".", ",").replace(" ", ",").split(",")
    assert set(METHODS) <= set(listed)
    assert METHODS_HELP.startswith(f"By default {', '.join(USUAL)}.")


def test_a_broken_picture_is_named(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["compare", "mixed", *NET, *QUICK, "--mosaics", "0", "--shown", "0"]
    assert main([*typed, "--samples", "3", "--out", str(tmp_path)]) == 0
    assert "left out mixed/1.png: expected a picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["--methods", "camm"],
            "method 'camm': expected the name of a method, got an unknown one; did",
        ),
        (["--methods", ","], "method ''"),
        (["--data", "mixed"], "compare: expected --data or pictures, got both"),
        (["--mosaics", "1"], "mosaics: expected confidently recognised pictures of four classes"),
        (["--rounds", "0"], "Invalid value for '--rounds'"),
    ],
)
def test_bad_use(
    pictures: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str], said: str
) -> None:
    options = ["--methods", "cam", "--samples", "1", "--rounds", "1", *typed]
    assert main(["compare", pictures, *NET, *options, "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert not list((tmp_path / "out").glob("*"))


def test_without_pictures_it_takes_samples(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["compare", *NET, "--out", str(tmp_path)]
    assert main(typed) == 2
    assert "only models of 10 or 1000 classes have samples" in capsys.readouterr().err


def test_help_fits_a_terminal_of_80_columns() -> None:
    assert max(map(len, HELP.splitlines())) <= 78
