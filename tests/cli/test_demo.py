"""`seewhy demo`: the default network on real photographs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from seewhy.cli import main
from seewhy.cli.demo import PICTURES


def test_the_demo_shows_what_a_real_network_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage")
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
    assert lines[-3:] == [
        f"report     {out / 'report.html'}",
        f"pictures   {out / 'contact-sheet.png'}",
        f"           {out}/*.png, *.jpg",
    ]
    assert not said.err
    assert len(list(out.glob("*.*-*.*"))) == 5 * len(PICTURES)
    assert "chelsea.png" in (out / "report.html").read_text(encoding="utf-8")


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
