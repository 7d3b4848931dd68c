"""The columns of the answer lines, from literal values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seewhy.cli.answers import Answer
from seewhy.cli.lines import Lines, document
from seewhy.cli.text import columns
from seewhy.geometry import Geometry
from seewhy.results import ClassEvidence


def entry(name: str, logit: float, certificate: float = 2e-6) -> ClassEvidence:
    return ClassEvidence(
        id=3,
        name=name,
        probability=0.621,
        logit=logit,
        evidence=logit + 0.21,
        bias=-0.21,
        certificate=certificate,
        map=np.zeros((2, 2), np.float32),
    )


def answer(name: str, *entries: ClassEvidence, is_exact: bool = True) -> Answer:
    path = Path("photos") / name
    return Answer(path, name, Geometry.identity((4, 3)), entries, is_exact=is_exact)


def test_a_line_reads_as_in_the_manual() -> None:
    (line,) = Lines(None).of([answer("chelsea.png", entry("Egyptian cat", 9.31))])
    assert line == (
        "chelsea.png   Egyptian cat 62.1 %   logit 9.31 = evidence 9.52 + bias -0.21   "
        "adds up to 2e-06"
    )


def test_only_the_first_classes_where_so_many_are_wanted() -> None:
    two = answer("a.png", entry("cat", 1.0), entry("dog", 0.5))
    assert len(list(Lines(None).of([two], top=1))) == 1
    assert len(list(Lines(None).of([two]))) == 2


def test_columns_grow_and_never_shrink() -> None:
    lines = Lines(None)
    (first,) = lines.of([answer("a-long-name.png", entry("dachshund", 10.0))])
    (second,) = lines.of([answer("b.png", entry("cat", 1.0))])
    assert first.index("logit") == second.index("logit")
    assert first.index("   adds up") == second.index("   adds up")


@pytest.mark.parametrize("width", [100, 120])
def test_a_terminal_is_not_overrun(width: int) -> None:
    rows = [
        answer("a/rather/deep/folder/of/holidays/chelsea.png", entry("cat", 19.31)),
        answer("b.png", entry("American Staffordshire terrier", -12.5)),
        answer("猫.png", entry("West Highland white terrier", -0.001)),
    ]
    lines = list(Lines(width).of(rows))
    assert len(lines) == 3
    assert all(columns(line) <= width for line in lines)
    assert len({columns(line.partition("   logit")[0]) for line in lines}) == 1


def test_small_numbers_get_the_digits_that_they_need_and_zero_no_sign() -> None:
    small = ClassEvidence(0, "cat", 0.5, 0.00123, 0.00123, -0.0, 0.0, np.zeros((1, 1), np.float32))
    (line,) = Lines(None).of([answer("a.png", small)])
    assert "logit 0.00123 = evidence 0.00123 + bias 0.00000   adds up exactly" in line


def test_what_does_not_add_up_is_said_loudly() -> None:
    (line,) = Lines(None).of([answer("a.png", entry("cat", 1.0, 0.03), is_exact=False)])
    assert line.endswith("   DOES NOT ADD UP: off by 3e-02")


def test_a_picture_without_an_answer_has_no_line() -> None:
    assert not list(Lines(None).of([Answer(Path("a.png"), "a.png", error="a.png: broken")]))


def test_json_has_no_nan() -> None:
    text = document("net", [answer("a.png", entry("cat", float("nan"), float("inf")))])
    assert '"logit": null' in text
    assert '"certificate": null' in text
    assert '"path": "photos/a.png"' in text
    assert '"adds_up_to": "logit"' in text
