"""`seewhy evaluate`: the group of judgements, and what is run where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from seewhy.cli import main


@pytest.mark.parametrize("typed", [["-h"], ["--help"]])
def test_the_help_lists_the_judgements(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *typed]) == 0
    out = capsys.readouterr().out
    assert "accuracy" in out
    assert "Judge a model and its maps" in out


@pytest.mark.parametrize(
    "typed",
    [
        ["resnet20-cifar10"],
        ["accuracy", "resnet20-cifar10"],
        ["--split", "train", "resnet20-cifar10"],
    ],
)
def test_a_model_alone_is_judged_by_its_accuracy(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *typed]) == 2
    assert "--data: expected pictures with labels, got none" in capsys.readouterr().err


def test_nothing_typed_is_a_missing_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate"]) == 2
    assert "Missing argument 'MODEL'" in capsys.readouterr().err


def test_a_slip_in_a_judgement_s_name_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "acuracy", "--data", "data"]) == 2
    assert capsys.readouterr().err == (
        "seewhy: evaluate 'acuracy': expected accuracy, localisation, faithfulness, randomisation,"
        " or a model, got none of these; did you mean accuracy?\n"
    )


def test_unless_there_is_such_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acuracy").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "acuracy"]) == 2
    assert "--data: expected" in capsys.readouterr().err
