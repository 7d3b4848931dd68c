"""`seewhy explain --resolution, --flip, --scales`, through the entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.materials import make_network

from seewhy import explain
from seewhy.cli import main
from seewhy.preprocess import Preprocess

NET = ("--model", "nets.py:make", "--size", "32")


def test_a_line_says_that_the_logit_is_a_mean(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "good.jpg", *NET, "--resolution", "2", "--flip"]) == 0
    said = capsys.readouterr()
    prepare = Preprocess(size=(32, 32))
    result = explain(
        make_network(), str(here / "good.jpg"), preprocess=prepare, resolution=2, flip=True
    )
    assert result.views is not None
    assert f"mean logit {float(result.target):.3f} = evidence " in said.out
    assert f"(plain pass: {float(result.views.plain):.3f})" in said.out
    assert said.err == f"each is {result.views.describe()}\n"
    assert said.err.startswith("each is the mean of 8 views (resolution 2, dilated; mirrored), ")


def test_json_says_what_was_averaged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--resolution", "2", "--how", "shift", "--scales", "1,1.5", "--against", "0")
    assert main(["explain", "good.jpg", *NET, *options, "--json"]) == 0
    said = capsys.readouterr()
    assert not said.err
    found = json.loads(said.out)
    assert found["adds_up_to"] == "mean margin"
    views = found["results"][0]["views"]
    cost = views.pop("cost")
    assert views == {
        "resolution": 2,
        "how": "shift",
        "flip": False,
        "scales": [1.0, 1.5],
        "count": 8,
    }
    assert cost == pytest.approx(1 + 4 + 4 * 2.25, rel=0.01)
    entry = found["results"][0]["classes"][0]
    assert entry["logit"] == pytest.approx(entry["evidence"] + entry["bias"], abs=1e-5)
    assert entry["plain_logit"] != entry["logit"]


def test_a_plain_answer_says_nothing_of_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "good.jpg", *NET, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "views" not in found["results"][0]
    assert "plain_logit" not in found["results"][0]["classes"][0]


def test_overlays_and_a_report(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--resolution", "4", "--out", str(tmp_path), "--html")
    assert main(["explain", "good.jpg", *NET, *options]) == 0
    assert "mean logit" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resolution", "3"), "resolution: expected 1, 2 or 4, got 3; choose one of them"),
        (
            ("--how", "shft"),
            "how: expected 'auto' or 'dilate' or 'shift', got 'shft'; did you mean shift?",
        ),
        (
            ("--scales", "one"),
            "--scales: expected numbers with commas between them, as in 0.8,1.0,1.25, got 'one';"
            " write numbers with commas between them",
        ),
    ],
)
def test_bad_use(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert main(["explain", "good.jpg", *NET, *options]) == 2
    assert capsys.readouterr().err == f"seewhy: {message}\n"
