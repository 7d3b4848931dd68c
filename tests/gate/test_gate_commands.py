from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import PIL.Image
import pytest
from tests.gate.materials import maps, six

from seewhy.cli import main
from seewhy.gate.rules import example

LEFT, RIGHT = [[1.0, 0, 0], [1, 0, 0]], [[0.0, 0, 1], [0, 0, 1]]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return six(tmp_path / "run", [{"maps": maps(LEFT, LEFT)}] * 6)


def rules(tmp_path: Path, text: str) -> str:
    (tmp_path / "rules.toml").write_text(text)
    return str(tmp_path / "rules.toml")


def test_rules_that_are_kept(run: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", str(run), "--rules", rules(tmp_path, "accuracy.minimum = 0.5")]) == 0
    shown = capsys.readouterr().out
    assert shown == (
        "passed   accuracy.minimum  0.5 over 6 pictures (expected at least 0.5)\n1 passed\n"
    )


def test_a_rule_that_is_broken_ends_with_1_and_names_pictures(
    run: Path, tmp_path: Path, capsys: Captured
) -> None:
    text = "accuracy.minimum = 0.6\nevidence.max_border = 0.9\nfindings.confirmed = 9\n"
    text = text.replace("findings.confirmed = 9\n", "evidence.classes.owl.max_border = 0.9")
    assert main(["check", str(run), "--rules", rules(tmp_path, text)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("failed   accuracy.minimum")
    assert lines[1] == "         row 5: a/5.png"
    assert lines[-1] == "2 passed, 1 failed"


def test_junit_and_json(run: Path, tmp_path: Path, capsys: Captured) -> None:
    file = rules(tmp_path, "accuracy.minimum = 0.6")
    junit = tmp_path / "report.xml"
    assert main(["check", str(run), "--rules", file, "--junit", str(junit), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert document["results"][0]["pictures"][0] == {"row": 5, "id": "a/5.png"}
    assert ElementTree.parse(junit).getroot().find(".//failure") is not None


def test_strict_takes_what_is_skipped_for_broken(
    run: Path, tmp_path: Path, capsys: Captured
) -> None:
    file = rules(tmp_path, "[accuracy]\nminimum_per_class = 0.1\nmin_pictures = 99")
    assert main(["check", str(run), "--rules", file]) == 0
    assert "skipped" in capsys.readouterr().out
    assert main(["check", str(run), "--rules", file, "--strict"]) == 1
    assert "nothing: no class has pictures enough" in capsys.readouterr().out


def test_every_mistake_in_the_rules_is_told(run: Path, tmp_path: Path, capsys: Captured) -> None:
    file = rules(tmp_path, "acuracy = {}\nevidence.max_border = 2")
    assert main(["check", str(run), "--rules", file]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert "did you mean accuracy?" in first
    assert second.endswith("expected a share from 0 to 1, got 2; write it so")


def test_without_rules_or_an_audit_there_is_nothing_to_check(
    run: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["check", str(run)]) == 2
    assert "expected --rules FILE, got nothing" in capsys.readouterr().err
    file = rules(tmp_path, "accuracy.minimum = 0.6")
    assert main(["check", "--rules", file]) == 2
    assert "expected RUN" in capsys.readouterr().err
    assert main(["check", str(tmp_path), "--rules", file]) == 2
    assert "expected a folder with a manifest.json" in capsys.readouterr().err


def test_the_example_is_printed(capsys: Captured) -> None:
    assert main(["check", "--example"]) == 0
    assert capsys.readouterr().out == example()


@pytest.fixture
def after(tmp_path: Path) -> Path:
    moved: list[dict[str, Any]] = [{"maps": maps(LEFT, LEFT)}] * 5
    moved += [{"maps": maps(RIGHT, LEFT), "area": 0.8, "concentration": 0.1}]
    return six(tmp_path / "after", moved)


def test_diff_shows_classes_and_pictures(run: Path, after: Path, capsys: Captured) -> None:
    assert main(["diff", str(run), str(after), "--top", "1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["6", "pictures", "in", "both,", "1", "failed"]
    head = "class pictures agree right then logit drift cosine area then spread then"
    assert lines[2] == head.split()
    both = "all 6 1.000 0.500 0.500 +0.00 0.167 1.000 0.500 0.550 0.600 0.650"
    assert lines[3] == both.split()
    owl = "owl 2 1.000 1.000 1.000 +0.00 0.500 1.000 0.500 0.650 0.600 0.750"
    assert lines[4] == owl.split()
    assert lines[-1] == ["5", "a/5.png", "owl", "owl", "1.000"]


def test_diff_as_json_of_one_class(run: Path, after: Path, capsys: Captured) -> None:
    assert main(["diff", str(run), str(after), "--class", "owl", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["class_name"] for each in document["classes"]] == ["owl"]
    assert document["classes"][0]["drift"] == 0.5
    assert [each["row"] for each in document["changed"]] == [5, 3]
    assert document["changed"][0]["drift"] == 1.0
    assert (document["unmatched"], document["failed"]) == (0, 1)


def test_diff_writes_a_page(run: Path, after: Path, tmp_path: Path, capsys: Captured) -> None:
    page = tmp_path / "changes.html"
    assert main(["diff", str(run), str(after), "--top", "2", "--out", str(page)]) == 0
    text = page.read_text()
    assert "owl in run" in text
    assert "owl in after" in text
    assert "a/5.png: owl, then owl (not shown:" in text


def test_diff_draws_both_maps_side_by_side(run: Path, after: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "changes.png"
    assert main(["diff", str(run), str(after), "--top", "2", "--out", str(sheet)]) == 0
    with PIL.Image.open(sheet) as drawn:
        assert drawn.width > 3 * 200
    assert main(["diff", str(run), str(after), "--top", "0", "--out", str(sheet)]) == 2


def test_diff_of_something_else_is_told(run: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["diff", str(run), str(tmp_path)]) == 2
    assert "expected a folder with a manifest.json" in capsys.readouterr().err
    assert main(["diff", str(run), str(run), "--class", "owls"]) == 2
    assert "did you mean owl" in capsys.readouterr().err
