from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
import pytest
from tests.audit.materials import lay_out, picture

from seewhy.cli import main

CODE = """
from tests.audit.materials import HEADS, Tiny


def net():
    return Tiny(HEADS["linear"]).eval()
"""
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = tmp_path_factory.mktemp("code") / "tiny.py"
    file.write_text(CODE)
    return [f"{file}:net"]


@pytest.fixture(scope="module")
def run(model: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    pictures = lay_out(tmp_path_factory.mktemp("pictures"), 8)
    out = tmp_path_factory.mktemp("runs") / "run"
    asked = ["audit", str(pictures), "--model", *model, "--size", "24x16", "--out", str(out)]
    assert main([*asked, "--engine", "torch", "--threads", "1"]) == 0
    return str(out)


def test_units_of_every_class(run: str, capsys: Captured) -> None:
    capsys.readouterr()
    assert main(["units", run, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "pictures, evidence" in lines[0]
    assert lines[1].split() == ["unit", "share", "evidence", "weight", "also", "for"]
    assert lines[2].split()[1].endswith("%")


def test_units_of_one_class_with_their_crops(run: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["units", run, "--json"]) == 0
    every = json.loads(capsys.readouterr().out)["classes"]
    assert every[0]["units"][0]["crops"] is None
    number, sheet = every[0]["id"], tmp_path / "sheet.png"
    asked = ["units", run, "--class", str(number), "--top", "1", "--crops", "2"]
    assert main([*asked, "--out", str(sheet), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["classes"]
    (unit,) = found["units"]
    assert unit["share"] == every[0]["units"][0]["share"]
    assert len(unit["crops"]) == min(2, found["pictures"])
    assert len(unit["field"]["radius"]) == 2
    with PIL.Image.open(sheet) as drawn:
        assert drawn.height > 96
    assert main(asked) == 0
    assert "looks at" in capsys.readouterr().out


def test_a_sheet_for_each_class(run: str, tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "sheets"
    assert main(["units", run, "--top", "1", "--crops", "1", "--out", str(folder), "--json"]) == 0
    classes = json.loads(capsys.readouterr().out)["classes"]
    assert len(list(folder.iterdir())) == len(classes)
    if len(classes) > 1:
        assert main(["units", run, "--out", str(folder / "one.png")]) == 2
        assert "pass --class, or a folder" in capsys.readouterr().err


def test_the_units_of_one_decision(model: list[str], tmp_path: Path, capsys: Captured) -> None:
    file, sheet = tmp_path / "p.png", tmp_path / "sheet.png"
    picture(1).save(file)
    asked = ["units", *model, "--picture", str(file), "--top", "2"]
    assert main([*asked, "--json", "--out", str(sheet)]) == 0
    found = json.loads(capsys.readouterr().out)
    total = sum(found["evidence"]) + found["bias"]
    assert total == pytest.approx(found["logit"], rel=1e-4)
    assert sheet.is_file()
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split()[0] == "bias"
    assert lines[-3].split()[:3] == ["6", "other", "units"]


def test_the_model_of_an_audit_decides(run: str, tmp_path: Path, capsys: Captured) -> None:
    picture(1).save(tmp_path / "p.png")
    assert main(["units", run, "--picture", str(tmp_path / "p.png")]) == 0
    assert "adds up to" in capsys.readouterr().out


def test_a_model_without_a_picture_is_no_audit(model: list[str], capsys: Captured) -> None:
    assert main(["units", *model]) == 2
    assert "expected a folder with a manifest.json" in capsys.readouterr().err
    assert main(["units", *model, "--picture", "nowhere.png"]) == 2
    assert "nowhere.png" in capsys.readouterr().err
