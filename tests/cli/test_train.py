"""`seewhy train` and `seewhy evaluate`: what is typed, what is answered, what is refused."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.training.materials import lay_out

from seewhy.cli import main

SHORT = ("--size", "16", "--epochs", "2", "--batch-size", "16", "--device", "cpu")
ONE = ("nets.py:Normed", "--data", "data", *SHORT)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    lay_out(folder)
    return folder


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="module")
def trained(place: Path) -> str:
    """A finished run, by the command."""
    before = Path.cwd()
    os.chdir(place)
    try:
        assert main(["train", *ONE, "--out", "trained"]) == 0
    finally:
        os.chdir(before)
    return "trained"


def test_training_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *ONE, "--out", str(tmp_path), "--validation", "0.2"]) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first.startswith("test accuracy ")
    assert first.endswith("  24 pictures")
    assert second == f"model {tmp_path}"
    lines = err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all("loss" in line and "images/s" in line and "held out" in line for line in lines)
    assert [bool(re.search(r"  \d+:\d\d:\d\d left$", line)) for line in lines] == [True, False]


def test_a_new_head_is_accounted_for_in_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = ("nets.py:Dense", "--data", "data", *SHORT)
    assert main(["train", *dense, "--out", str(tmp_path / "dense")]) == 0
    capsys.readouterr()
    typed = ("--init", str(tmp_path / "dense"), "--to-gap", *dense[1:])
    assert main(["train", *typed, "--out", str(tmp_path / "gap")]) == 0
    lines = capsys.readouterr().err.splitlines()
    first = [line.split()[0] for line in lines]
    assert first[0] == "removed"
    assert "classifier Linear" in lines[0]
    assert {"kept", "added", "parameters", "multiply-adds"} < set(first)
    assert first[-2:] == ["epoch", "epoch"]


def test_json_is_one_document(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *ONE, "--out", trained, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["model"] == trained
    assert document["trained"]["recipe"]["epochs"] == 2
    assert document["test"]["count"] == 24
    assert err == "trained is finished; --restart trains it again\n"


def test_the_run_is_a_model_for_every_command(
    trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "data/test/dark/000.png", "--model", trained]) == 0
    assert "000.png" in capsys.readouterr().out


def test_evaluating(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", trained, "--data", "data", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert main(["evaluate", trained, "--data", "data", "--batch-size", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"accuracy {document['accuracy']:.2%}  {document['correct']} of 24 pictures"
    assert lines[1] == f"loss     {document['loss']:.4f}"
    assert [line.split()[0] for line in lines[2:]] == ["bright", "dark", "striped"]
    assert all(line.endswith("of 8") for line in lines[2:])


def test_evaluating_the_train_part(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", trained, "--data", "data", "--split", "train"]) == 0
    assert "of 72 pictures" in capsys.readouterr().out


def test_broken_pictures_are_said(
    trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(tmp_path)
    (tmp_path / "data/test/dark/002.png").write_bytes(b"no picture")
    assert main(["evaluate", trained, "--data", str(tmp_path / "data")]) == 0
    out, err = capsys.readouterr()
    assert "left out 1 that cannot be read" in out
    assert "002.png" in err


BAD = {
    "no net": (("--data", "data"), "net: expected a net's name, or --init with a trained model"),
    "two nets": (("nin", "--init", "resnet20", "--data", "data"), "got both; write seewhy train"),
    "no data": (("resnet20",), "--data: expected pictures with labels, got none; pass --data"),
    "data that are not there": (
        ("resnet20", "--data", "nowhere"),
        "data nowhere: expected",
    ),
    "an empty folder": (("resnet20", "--data", "empty"), "data empty: expected"),
    "one class": (("resnet20", "--data", "lonely"), "expected two classes at least, got one"),
    "no such net": (("resnet21", "--data", "data"), "model 'resnet21': expected"),
    "lr 0": ((*ONE, "--lr", "0"), "lr: expected a finite number above 0, got 0.0"),
    "lr -1": ((*ONE, "--lr", "-1"), "lr: expected a finite number above 0, got -1.0"),
    "lr NaN": ((*ONE, "--lr", "nan"), "lr: expected a finite number above 0, got nan"),
    "lr as a word": ((*ONE, "--lr", "high"), "Invalid value for '--lr': "),
    "epochs 0": ((*ONE, "--epochs", "0"), "epochs: expected a whole number above 0, got 0"),
    "batch 0": ((*ONE, "--batch-size", "0"), "batch_size: expected a whole number above 0"),
    "seed -1": ((*ONE, "--seed", "-1"), "seed: expected a whole number from 0, got -1"),
    "all held out": ((*ONE, "--validation", "1"), "validation: expected a share from 0, below 1"),
    "no such precision": ((*ONE, "--precision", "float8"), "Invalid value for '--precision'"),
    "no such device": ((*ONE, "--device", "toaster"), "device: expected one that this machine has"),
    "no threads": ((*ONE, "--threads", "0"), "Invalid value for '--threads'"),
    "no time": ((*ONE, "--checkpoint-every", "0"), "checkpoint_every: expected seconds above 0"),
    "a size in words": ((*ONE, "--size", "big"), "--size: expected pixels, as in 224 or 320x240"),
    "a file for a folder": ((*ONE, "--out", "nets.py"), "nets.py: expected a folder to write to"),
    "other classes": (
        ("nets.py:dense_five", "--data", "data", *SHORT),
        "num_classes: expected 5, as many as nets.py:dense_five has logits, got 3",
    ),
    "to_gap from scratch": (
        (*ONE, "--to-gap"),
        "to_gap: expected a trained network whose head it replaces",
    ),
    "init without weights": (
        ("--init", "resnet20", "--data", "data"),
        "model resnet20: expected weights, which this net has none of by itself",
    ),
}


@pytest.mark.parametrize(("typed", "said"), BAD.values(), ids=BAD)
def test_bad_use_is_one_line(
    typed: tuple[str, ...],
    said: str,
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (place / "empty").mkdir(exist_ok=True)
    if not (place / "lonely").exists():
        lay_out(tmp_path)
        (place / "lonely" / "train").mkdir(parents=True)
        (tmp_path / "data/train/dark").rename(place / "lonely/train/dark")
    out = () if "--out" in typed else ("--out", str(tmp_path / "out"))
    assert main(["train", *typed, *out]) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.count("\n") == 1
    assert said in err
    assert not (tmp_path / "out" / "run.json").exists()


BAD_EVALUATION = {
    "no data": (("MODEL",), "--data: expected pictures with labels, got none"),
    "no such part": (
        ("MODEL", "--data", "data", "--split", "val"),
        "split: expected train or test, got 'val'",
    ),
    "no such model": (("nothing", "--data", "data"), "model 'nothing': expected"),
    "another model": (
        ("efficientnet-lite0", "--data", "data"),
        "data data: expected classes of the model, such as",
    ),
}


@pytest.mark.parametrize(("typed", "said"), BAD_EVALUATION.values(), ids=BAD_EVALUATION)
def test_bad_evaluation_is_one_line(
    typed: tuple[str, ...], said: str, trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *(trained if each == "MODEL" else each for each in typed)]) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.count("\n") == 1
    assert said in err


@pytest.mark.slow
def test_a_person_sees_a_bar(place: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "seewhy", "train", *ONE, "--out", str(tmp_path)],
        cwd=place,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):  # while it runs: a terminal holds a few kilobytes
            seen += part
    except OSError:  # Linux says so when the other end is closed
        pass
    printed, _ = run.communicate()
    os.close(ours)
    assert run.returncode == 0
    assert printed.startswith("test accuracy")
    assert "epoch 2/2" in seen.decode()
    assert "━" in seen.decode()


@pytest.mark.data
@pytest.mark.slow
def test_the_shipped_net_scores_what_its_card_says(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from seewhy.models.folder import read_card, shipped

    card = read_card(shipped()["resnet20-cifar10"]).trained
    assert card is not None
    data = str(data_dir / "cifar10-jpeg")
    assert main(["evaluate", "resnet20-cifar10", "--data", data, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == pytest.approx(card["test_accuracy"], abs=2e-4)
