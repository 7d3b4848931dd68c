"""`seewhy inspect`, through the entry point."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from seewhy.cli import main

NET = ("nets.py:make", "--size", "32")


def test_it_tells_the_head_and_how_well_it_holds(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *NET, "--picture", "good.jpg", "--class-names", "names.txt"]) == 0
    facts = dict(
        line.split("   ", 1) for line in capsys.readouterr().out.splitlines() if "   " in line
    )
    facts = {name.strip(): fact.strip() for name, fact in facts.items()}
    assert list(facts) == [
        "model",
        "head",
        "path",
        "features",
        "input",
        "verified",
        "noise",
        "good.jpg",
    ]
    assert facts["model"] == "nets.py:make, 3 classes, on cpu"
    assert facts["head"] == "linear: average pooling, then linear layers; maps are exact"
    assert facts["features"] == "8 channels on a grid of 8 x 8, from the output of 1"
    assert facts["input"] == "32 x 32 pixels, crop 0.875, bicubic"
    assert re.fullmatch(
        r"adds up (exactly|to \de-\d\d), on an example and on another input", facts["verified"]
    )
    assert facts["noise"].startswith("adds up ")
    assert facts["good.jpg"].startswith("dog 37.2 %   adds up ")


def test_it_takes_a_photograph_of_its_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    assert main(["inspect", *NET]) == 0
    assert "\nchelsea.png   " in capsys.readouterr().out


def test_without_scikit_image_it_says_what_it_did_not_check(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "skimage" else find(name)
    )
    assert main(["inspect", *NET]) == 0
    said = capsys.readouterr()
    assert said.err == (
        "no picture to check the maps on; pip install 'seewhy[demo]' for one, or pass --picture\n"
    )
    assert "\nnoise " in said.out


def test_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *NET, "--picture", "good.jpg", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["version", "model", "head", "checks", "error", "tried"]
    assert found["head"] == {
        "kind": "linear",
        "activation": None,
        "path": found["head"]["path"],
        "classes": 3,
        "channels": 8,
        "grid": [8, 8],
        "features": "the output of 1",
        "certificate": found["head"]["certificate"],
        "method": "class activation map",
        "is_exact": True,
    }
    assert 0 <= found["head"]["certificate"] < 1e-5
    assert [check["on"] for check in found["checks"]] == ["noise", "good.jpg"]
    assert all(check["certificate"] <= check["tolerance"] for check in found["checks"])
    assert (found["error"], found["tried"]) == (None, [])


def test_a_refusal_in_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "nets.py:no_features", "--size", "32", "--json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["head"] is None
    assert "flattens the grid" in found["error"]
    assert any("no features with positions" in rule for rule in found["tried"])
    assert not said.err


def test_a_head_that_leaves_something(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "nets.py:mlp", "--size", "32", "--picture", "good.jpg"]) == 0
    said = capsys.readouterr().out
    assert "first-order: gradients through the head alone; maps leave a residual" in said
    assert "gradient of the head times features" in said
    assert re.search(r"good.jpg +class [0-9] [0-9.]+ % +leaves up to [0-9]+ % of a logit", said)
    assert main(["inspect", "nets.py:max_pooling", "--size", "32"]) == 0
    assert "pooled: the weights of its pooling are held" in capsys.readouterr().out
