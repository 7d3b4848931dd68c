"""`seewhy explain --engine`: another library runs the network, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seewhy.cli import main

NET = ("--model", "nets.py:make", "--size", "32")


def document(capsys: pytest.CaptureFixture[str], *typed: str) -> tuple[dict[str, Any], str]:
    """The JSON document, and what was said on stderr."""
    assert main(["explain", "good.jpg", *typed, *NET, "--json"]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err


@pytest.mark.parametrize("engine", ["torch", "onnx", "openvino", "mnn"])
def test_an_engine_gives_the_same_answer_and_says_what_it_is(
    engine: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, _ = document(capsys)
    answer, said = document(capsys, "--engine", engine, "--threads", "1")
    (was,), (now,) = plain["results"], answer["results"]
    assert now["classes"][0]["logit"] == pytest.approx(was["classes"][0]["logit"], abs=1e-4)
    assert now["classes"][0]["certificate"] <= 1e-5
    assert said.startswith(f"engine {engine}, precision float32, library ")
    assert "threads 1" in said


def test_auto_tells_what_was_timed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = document(capsys, "--engine", "auto")
    lines = said.splitlines()
    assert lines[-1].startswith("engine ")
    assert any("pictures/s, off by" in line for line in lines)
    assert any(line.startswith("compile: left out") for line in lines)


def test_a_precision_alone_is_of_pytorch(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = document(capsys, "--precision", "bfloat16")
    assert said.startswith("engine torch, precision bfloat16, ")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (
            ("--engine", "onx"),
            "engine: expected one of torch, compile, onnx, openvino, mnn, auto, got 'onx'; "
            "did you mean onnx?",
        ),
        (
            ("--precision", "half"),
            "--precision: expected one of float32, bfloat16, float16, int8, got 'half'; "
            "choose one of these",
        ),
        (
            ("--engine", "onnx", "--flip"),
            "--engine: expected maps of one plain pass, got a wish for finer, averaged or refined "
            "ones, which take PyTorch itself; leave out --engine, --precision and --threads",
        ),
    ],
)
def test_refuses_in_one_line(
    typed: tuple[str, ...], line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "good.jpg", *typed, *NET]) == 2
    assert capsys.readouterr().err == f"seewhy: {line}\n"
