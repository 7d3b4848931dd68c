"""`seewhy explain --refine`: where the object is, beside the evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import seewhy
from seewhy.cli import main
from seewhy.regions import Search

NET = ("--model", "nets.py:deep", "--size", "32")
WORDS = "refined: where the object is, not the evidence"


def said(capsys: pytest.CaptureFixture[str], *typed: str, code: int = 0) -> tuple[str, str]:
    assert main(["explain", "good.jpg", *NET, *typed]) == code
    heard = capsys.readouterr()
    return heard.out, heard.err


def entry(capsys: pytest.CaptureFixture[str], *typed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, *typed, "--json")[0])["results"][0]
    return found["classes"][0]  # type: ignore[no-any-return]


def truth(**options: Any) -> seewhy.Refined:
    model = seewhy.load_model("nets.py:deep", size=32)
    return seewhy.refine(model, "good.jpg", **options)


def test_it_is_drawn_beside_the_evidence(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plain, refined = tmp_path / "plain", tmp_path / "refined"
    line, _ = said(capsys, "--classes", "0", "--out", str(plain))
    same, note = said(capsys, "--classes", "0", "--out", str(refined), "--refine")
    assert line == same
    assert "where the object is; they are not the evidence" in note
    names = sorted(path.name for path in refined.iterdir())
    assert names == ["contact-sheet.png", "good.0.jpg", "good.0.refined.jpg"]
    assert (plain / "good.0.jpg").read_bytes() == (refined / "good.0.jpg").read_bytes()
    with (
        Image.open(refined / "good.0.refined.jpg") as drawn,
        Image.open(plain / "good.0.jpg") as raw,
    ):
        over, under = (np.asarray(each.convert("L"), float)[:200, :200] for each in (drawn, raw))
        assert np.abs(over - under).mean() > 5
        assert drawn.width >= 330  # the words are not cut


def test_its_boxes_are_drawn_on_it_alone(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for folder, more in (("none", ()), ("boxes", ("--boxes",))):
        said(capsys, "--classes", "0", "--out", str(tmp_path / folder), "--refine", *more)
    names = {path.name for path in (tmp_path / "boxes").iterdir()}
    alike = {
        n
        for n in names
        if (tmp_path / "none" / n).read_bytes() == (tmp_path / "boxes" / n).read_bytes()
    }
    assert names - alike == {"good.0.refined.jpg"}


def test_json_says_what_it_is_not(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = entry(capsys, "--refine", "--boxes")
    assert found["refined"] == {"grid": [16, 16], "is": WORDS}
    assert found["logit"] == pytest.approx(found["evidence"] + found["bias"], abs=1e-5)
    assert "refined" not in entry(capsys, "--boxes")


@pytest.mark.parametrize("options", [{}, {"flip": True}, {"scales": (1.0, 1.5)}])
def test_boxes_are_of_the_refined_map(
    options: dict[str, Any], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = {"flip": ("--flip",), "scales": ("--scales", "1,1.5")}
    words = [word for name in options for word in typed[name]]
    result = truth(**options)
    (geometry,) = result.raw.geometry
    assert geometry is not None
    for threshold, more in ((0.5, ()), (0.3, ("--box-threshold", "0.3"))):
        regions = Search(threshold).regions(result.refined[0, 0].numpy(), geometry)
        found = entry(capsys, "--refine", "--boxes", *more, *words)
        assert [each["box"] for each in found["boxes"]] == [list(each.box) for each in regions]
        assert found["logit"] == pytest.approx(float(result.raw.target[0, 0]), abs=1e-5)


def test_labels_and_outputs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = entry(capsys, "--refine", "--boxes", "--task", "multi-label", "--classes", "positive")
    assert some["refined"]["grid"] == [16, 16]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ((), "expected a way to show it, got none; add --out maps, --html or --boxes"),
        (
            ("--boxes", "--against", "1"),
            "expected a class by itself, got --against; leave one of them out",
        ),
        (
            ("--boxes", "--resolution", "2"),
            "expected the evidence of a plain pass, got --resolution; leave it out: they are finer",
        ),
        (
            ("--box-threshold", "1logits"),
            "expected a share of the maximum, got --box-threshold 1logits; write 0.5, say",
        ),
    ],
)
def test_what_does_not_go_together(
    typed: tuple[str, ...], line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "--refine", *typed, code=2) == ("", f"seewhy: --refine: {line}\n")


def test_a_network_without_a_finer_grid_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["explain", "good.jpg", "--model", "nets.py:make", "--size", "32"]
    assert main([*typed, "--refine", "--boxes"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("seewhy: ")
    assert line.count("\n") == 1
