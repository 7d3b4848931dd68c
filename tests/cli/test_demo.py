"""`seewhy demo`: the default network on real photographs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

from seewhy.cli import main
from seewhy.cli.demo import PICTURES


def test_the_demo_shows_what_a_real_network_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("foolbox")
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    decided = {line.split()[0]: line for line in lines[: len(PICTURES)]}
    assert list(decided) == list(PICTURES)
    assert "tiger cat       39." in decided["chelsea.png"]
    assert "espresso 9" in " ".join(decided["coffee.png"].split())
    assert "tripod 9" in " ".join(decided["camera.png"].split())
    assert all("   adds up " in line for line in decided.values())
    out = tmp_path / "seewhy-demo"
    assert lines[-5:-1] == [
        f"report     {out / 'report.html'}",
        f"pictures   {out / 'contact-sheet.png'}",
        f"           {out}/*.png, *.jpg",
        f"figure     {out / 'cifar10.png'}",
    ]
    assert "all 20 CIFAR-10 pictures that foolbox carries" in lines[-1]
    with Image.open(out / "cifar10.png") as figure:
        assert figure.width == 1444
    assert not said.err
    assert len(list(out.glob("*.*-*.*"))) == 5 * len(PICTURES)
    assert "chelsea.png" in (out / "report.html").read_text(encoding="utf-8")


def test_one_json_document_holds_the_figure_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("foolbox")
    assert main(["demo", "--json", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert len(document["results"]) == len(PICTURES)
    figure = document["figure"]
    assert figure["file"] == str(tmp_path / "cifar10.png")
    assert figure["model"] == "resnet20-cifar10"
    assert figure["certificate"] < 1e-5
    assert len(figure["pictures"]) == 20
    assert figure["wrong"] <= 5  # of 20: it is right about nine in ten
    assert not said.err


def test_without_foolbox_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "foolbox" else find(name)
    )
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "seewhy: pictures: expected some to show, or those that foolbox carries, got none, and no "
        "foolbox; pip install 'seewhy[demo]'\n"
    )
    assert not (tmp_path / "out").exists()


def test_without_scikit_image_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "skimage" else find(name)
    )
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "seewhy: demo: expected photographs that scikit-image ships, got no scikit-image; "
        "pip install 'seewhy[demo]'\n"
    )
    assert not (tmp_path / "out").exists()
