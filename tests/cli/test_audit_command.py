from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.audit.materials import lay_out

from seewhy import open_audit
from seewhy.cli import main
from seewhy.errors import AuditError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "data", 6)


def typed(data: Path, *more: str) -> list[str]:
    out = str(data.parent / "run")
    model = ["--model", "resnet20-cifar10", "--engine", "torch", "--threads", "1"]
    return ["audit", str(data), "--out", out, *model, *more]


def test_a_folder(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed(data)) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{data.parent}/run: 6 pictures explained in ")
    assert "(torch, float32)" in out
    assert err == f"no labels: the folders of {data} are no classes of resnet20-cifar10\n"
    assert len(open_audit(data.parent / "run")) == 6


def test_a_document(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed(data, "--json", "--top", "2", "--labels", "never", "--limit", "5")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["complete"]
    assert [document[name] for name in ("rows", "failed", "inexact", "done_now")] == [5, 0, 0, 5]
    assert document["settings"]["top"] == 2
    assert main(typed(data, "--json", "--top", "2", "--labels", "never", "--limit", "5")) == 0
    assert json.loads(capsys.readouterr().out)["done_now"] == 0


def test_failures_are_listed_at_the_end(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(7):
        (data / "cat" / f"bad{number}.png").write_text("none")
    assert main(typed(data)) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "7 of 13 pictures failed, and are rows with errors:"
    assert said[2].startswith(f"  {data}/cat/bad0.png: expected a picture, got text that begins")
    assert said[-1] == "  and 2 more"
    assert len(said) == 8
    assert main(typed(data)) == 1  # all is there, and says so again
    again = capsys.readouterr().err.splitlines()
    assert again[1] == "13 of 13 pictures are there already"
    assert again[-7:] == said[-7:]


def test_another_setting_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(typed(data))
    assert main(typed(data, "--top", "3")) == 2
    assert "expected settings top 5, as it was begun, got 3" in capsys.readouterr().err
    assert main(typed(data, "--top", "3", "--restart")) == 0


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--labels", "some"], "labels: expected 'auto' or 'always' or 'never'"),
        (["--engine", "none"], "engine: expected one of torch"),
        (["--precision", "float8"], "precision: expected one of float32"),
        (["--limit", "0"], "--limit"),
        (["--boxes", "nowhere.json"], "nowhere.json: expected JSON, got no such file"),
    ],
)
def test_bad_use(
    data: Path, more: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(data, *more)) == 2
    assert line in capsys.readouterr().err


def test_nothing_is_left_where_nothing_was_begun(data: Path) -> None:
    main(typed(data, "--engine", "none"))
    with pytest.raises(AuditError):
        open_audit(data.parent / "run")


def test_a_refused_audit_leaves_no_folder(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    mine = tmp_path / "mine" / "notes.txt"
    mine.write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    for out in ("new", "some/new", "mine", "mine/new"):
        assert main(["audit", str(tmp_path / "empty"), "--out", str(tmp_path / out)]) == 2
        assert sorted(tmp_path.rglob("*")) == before
    assert main(typed(data)) == 0
    assert main(typed(data, "--top", "3")) == 2  # refused, but what is there is another's
    assert len(open_audit(data.parent / "run")) == 6
