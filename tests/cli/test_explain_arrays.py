"""`seewhy explain` of sequences and volumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import seewhy
from seewhy.cli import main
from seewhy.cli.arrays import read
from seewhy.errors import DataError


def ecg(samples: int = 90) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, samples))


def test_a_sequence_is_explained_and_drawn(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.save(tmp_path / "ecg.npy", ecg())
    typed = [str(tmp_path / "ecg.npy"), "--model", "nets.py:rhythm", "--out", str(tmp_path / "out")]
    assert main(["explain", *typed, "--classes", "1", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    model = seewhy.load_model("nets.py:rhythm", shape=(2, 90))
    expected = seewhy.explain(model.module, torch.from_numpy(ecg())[None].float(), [1])
    assert result["classes"][0]["evidence"] == pytest.approx(float(expected.evidence), abs=1e-6)
    assert result["files"] == [str(tmp_path / "out" / "ecg.1.png")]
    with Image.open(result["files"][0]) as drawn:
        assert drawn.width > 900
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["ecg.1.png"]


def test_volumes_and_lengths_of_their_own(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", scan=np.ones((1, 8, 12, 16), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((1, 8, 8, 8)))
    np.save(tmp_path / "c.npy", ecg())
    files = [str(tmp_path / "*.npy"), str(tmp_path / "a.npz")]
    typed = [*files, "--model", "nets.py:scan", "--out", str(tmp_path / "out")]
    (tmp_path / "0.npy").write_text("not an array")
    assert main(["explain", *typed]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-3:] == [
        "2 of 4 pictures failed:",
        f"  {tmp_path / '0.npy'}: expected an array (channels, time) or (channels, depth, height,"
        " width), got something else; save it with numpy.save",
        f"  {tmp_path / 'c.npy'}: expected a volume of 1 channel, as the first array is, got shape"
        " (2, 90); explain it apart, with a network for it",
    ]
    assert [line.split()[0] for line in said.out.splitlines() if "adds up" in line] == [
        "a.npz",
        "b.npy",
    ]
    for name in ("0.npy", "c.npy"):
        (tmp_path / name).unlink()
    assert main(["explain", *typed]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["a.npz", "b.npy"]
    assert all("adds up" in line for line in lines)
    assert len(list((tmp_path / "out").glob("a.*.png"))) == 3


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros(9), r"shape \(9,\); a single sequence of T samples has shape \(1, T\)"),
        (np.zeros((3, 4, 5)), r"shape \(3, 4, 5\)"),
        (np.zeros((0, 5)), r"shape \(0, 5\)"),
        (np.full((1, 5), np.nan), "expected finite numbers, got NaN or infinite ones"),
        (np.zeros((1, 5), complex), "expected finite numbers, got complex128"),
    ],
)
def test_other_arrays(array: np.ndarray, got: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=got):
        read(tmp_path / "x.npy")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("not an array")
    np.save(tmp_path / "evil.npy", np.array([print], object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=ecg(), b=ecg())
    np.save(tmp_path / "half.npy", ecg())
    whole = (tmp_path / "half.npy").read_bytes()
    (tmp_path / "half.npy").write_bytes(whole[:-100])
    expected = {"text.npy": "something else", "evil.npy": "something else", "two.npz": "2 arrays"}
    expected |= {"half.npy": "something else", "none.npy": "no such file"}
    for name, got in expected.items():
        with pytest.raises(DataError, match=f"got {got}"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (("--html",), "arrays: expected options that are not for pictures alone, got --html; "),
        (("--boxes",), "arrays: expected options that are not for pictures alone, got --boxes; "),
        (("good.jpg",), "arrays: expected no pictures among them, got good.jpg; "),
        (("--model", "nets.py:make"), "model nets.py:make: expected a network that takes arrays"),
    ],
)
def test_what_does_not_go_with_arrays(
    typed: tuple[str, ...],
    line: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "ecg.npy", ecg())
    model = () if "--model" in typed else ("--model", "nets.py:rhythm")
    assert main(["explain", str(tmp_path / "ecg.npy"), *model, *typed]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"seewhy: {line}")
    assert said.count("\n") == 1
