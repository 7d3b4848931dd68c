"""`--output` and `--task` of the commands that figure, compare and judge."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seewhy.cli import main

SEVERAL = ("--model", "nets.py:Several", "--size", "32")
FEW = {
    "figure": ("good.jpg",),
    "compare": ("good.jpg", "--methods", "cam", "--mosaics", "0", "--rounds", "1", "--shown", "0"),
    "evaluate faithfulness": ("good.jpg", "--methods", "cam", "--metrics", "average-drop"),
    "evaluate randomisation": ("good.jpg", "--methods", "cam"),
}


def run(command: str, *typed: str) -> int:
    return main([*command.split(), *FEW[command], *SEVERAL, *typed])


@pytest.mark.parametrize("command", FEW)
def test_one_of_several_outputs_is_used(
    command: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = () if command == "evaluate faithfulness" else ("--out", str(tmp_path / "x.png"))
    assert run(command, "--output", "kind", *out, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["model"] == "nets.py:Several"


@pytest.mark.parametrize("command", FEW)
def test_an_unknown_output_is_one_line(
    command: str, here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(command, "--output", "knd", "--out", str(tmp_path / "x.png")) == 2
    line = capsys.readouterr().err
    assert line.startswith("seewhy: output 'knd': expected one of those that the model returns")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("figure", "classes to predict, got a regression; draw with seewhy explain --out"),
        (
            "compare",
            "two classes at least, to show one picture's maps for both, got quantities;"
            " judge its maps with seewhy evaluate faithfulness",
        ),
    ],
)
def test_a_quantity_is_nothing_for_these(
    command: str,
    expected: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    typed = ("--output", "age", "--task", "regression", "--out", str(tmp_path / "x.png"))
    assert run(command, *typed) == 2
    assert capsys.readouterr().err == f"seewhy: {command}: expected {expected}\n"


def test_the_figure_of_labels(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    typed = ("--output", "kind", "--task", "multi-label", "--out", str(tmp_path / "x.png"))
    assert run("figure", *typed, "--json") == 0
    (picture,) = json.loads(capsys.readouterr().out)["pictures"]
    assert 0 < picture["predicted"]["probability"] < 1


def test_accuracy_is_of_classes(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from seewhy.models import Classifier, load_model

    def labels(*given: Any, **options: Any) -> Classifier:
        return replace(load_model(*given, **options), task="multi-label")

    monkeypatch.setattr("seewhy.models.load_model", labels)
    monkeypatch.setattr("seewhy.datasets.load_dataset", lambda *_, **__: [])
    assert main(["evaluate", "nets.py:make", "--size", "32", "--data", "x"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("seewhy: accuracy: expected a model of classes that exclude each other")


def test_labels_are_compared(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    typed = ("--output", "kind", "--task", "multi-label", "--out", str(tmp_path / "x"))
    assert run("compare", *typed, "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"] == "nets.py:Several"
