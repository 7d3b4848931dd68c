"""`seewhy explain` of models with several outputs, of labels, of yes or no, and of quantities."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from seewhy.cli import main

SEVERAL = ("--model", "nets.py:Several", "--size", "32")
ONE = ("--model", "nets.py:one_logit", "--size", "32")
THREE = ("--model", "nets.py:make", "--size", "32")


def said(capsys: pytest.CaptureFixture[str], *typed: str, code: int = 0) -> tuple[str, str]:
    assert main(["explain", "good.jpg", *typed]) == code
    heard = capsys.readouterr()
    return heard.out, heard.err


def document(capsys: pytest.CaptureFixture[str], *typed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, *typed, "--json")[0])
    return found


def test_an_output_is_chosen_by_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line, _ = said(capsys, *SEVERAL, "--output", "kind", "--class-names", "names.txt")
    assert line.split()[1] in ("cat", "dog", "catfish")
    line, _ = said(capsys, *SEVERAL, "--output", "age", "--task", "regression")
    assert line.startswith("good.jpg   output 0    output ")
    assert "adds up" in line


def test_the_outputs_are_named_where_none_is_chosen(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, line = said(capsys, *SEVERAL, code=2)
    assert line.endswith('kind (2, 3), age (2, 1); choose one of them, as in output="kind"\n')
    assert line.count("\n") == 1


def test_an_unknown_output_offers_the_nearest(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, line = said(capsys, *SEVERAL, "--output", "knd", code=2)
    assert line == (
        "seewhy: output 'knd': expected one of those that the model returns: kind, age, got an"
        " unknown name; did you mean kind?\n"
    )


def test_inspect_looks_at_the_output_chosen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *SEVERAL[1:], "--output", "age", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["head"]["classes"] == 1


def test_a_regression_has_no_probability_and_an_output(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, *THREE, "--task", "regression")
    assert found["adds_up_to"] == "output"
    entries = found["results"][0]["classes"]
    assert [entry["id"] for entry in entries] == [0, 1, 2]
    assert {entry["probability"] for entry in entries} == {None}
    lines, _ = said(capsys, *THREE, "--task", "regression")
    assert len(lines.splitlines()) == 3
    assert "%" not in lines
    assert "nan" not in lines


def test_labels_have_probabilities_of_their_own(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, *THREE, "--task", "multi-label", "--classes", "all")
    for entry in found["results"][0]["classes"]:
        assert math.isclose(entry["probability"], 1 / (1 + math.exp(-entry["logit"])), rel_tol=1e-6)
    every = found["results"][0]["classes"]
    positive = document(capsys, *THREE, "--task", "multi-label", "--classes", "positive")
    expected = [entry["id"] for entry in every if entry["logit"] > 0] or [every[0]["id"]]
    assert [entry["id"] for entry in positive["results"][0]["classes"]] == expected


def test_two_names_of_one_logit_are_no_and_yes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = (*ONE, "--class-names", "two.txt", "--classes", "all")
    cat, dog = sorted(document(capsys, *named)["results"][0]["classes"], key=lambda e: e["id"])
    assert (cat["name"], dog["name"]) == ("cat", "dog")
    assert math.isclose(cat["probability"] + dog["probability"], 1, abs_tol=1e-6)
    for number in ("logit", "evidence", "bias"):
        assert cat[number] == -dog[number]


def test_a_picture_of_a_regression_is_drawn(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    drawn = (*ONE, "--task", "regression", "--out", str(tmp_path), "--html")
    said(capsys, *drawn)
    assert (tmp_path / "contact-sheet.png").is_file()
    page = (tmp_path / "report.html").read_text("utf-8")
    assert 'data-unit=""' in page
    assert "output " in page
    assert "not a number" not in page.split("<main>")[1].split("<script>")[0]


def test_an_unknown_task_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, line = said(capsys, *THREE, "--task", "regresion", code=2)
    assert line == (
        "seewhy: task 'regresion': expected one of single-label, multi-label, binary, regression,"
        " got an unknown name; did you mean regression?\n"
    )
