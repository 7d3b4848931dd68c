"""What a finding is: marks of a person, and what boxes may say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seewhy.audit.findings import Finding, Findings, Place
from seewhy.audit.nature import by_boxes, carried, marked, parse
from seewhy.errors import AuditError, InputError

PLACE = Place(((1.0,),), (0.5, 0.5), 1.0, True, 0.1, 0.2)
FINDING = Finding(1, "group", 3, "car", (1, 2, 3, 4), (), 0.5, None, None, PLACE, 1.0, ("odd",))


def findings(*made: Finding) -> Findings:
    return Findings("0" * 64, 0, made)


def test_marks_are_read() -> None:
    assert parse(["1=artefact", "12=part", "3=unknown"]) == {1: "artefact", 12: "part", 3: None}


@pytest.mark.parametrize("mark", ["1", "x=part", "1=wheel", "-1=part", "=part", "1=", "1=Part"])
def test_a_mark_that_says_nothing_is_refused(mark: str) -> None:
    with pytest.raises(InputError, match="N=artefact, N=part or N=unknown") as problem:
        parse([mark])
    assert repr(mark) in str(problem.value)


def test_a_person_says_and_takes_back() -> None:
    two = findings(FINDING, replace(FINDING, number=2))
    said = marked(two, {2: "part"})
    assert [each.nature for each in said.findings] == [None, "part"]
    assert [each.nature for each in marked(said, {2: None}).findings] == [None, None]
    with pytest.raises(AuditError, match="expected 1 to 2, got 7"):
        marked(two, {7: "part"})


def test_what_was_said_stays_with_the_same_group() -> None:
    before = findings(replace(FINDING, nature="artefact"))
    same = replace(FINDING, number=4, rows=(1, 2, 3, 9))  # Jaccard 3 / 5
    less = replace(FINDING, number=5, rows=(1, 2, 8, 9))  # 2 / 6
    other = replace(FINDING, number=6, class_id=4)
    single = replace(FINDING, number=7, kind="narrow")
    now = carried(findings(same, less, other, single), before)
    assert [each.nature for each in now.findings] == ["artefact", None, None, None]


def test_boxes_know_what_lies_outside_only() -> None:
    assert by_boxes(np.array([0.1, 0.2, 0.9])) == (
        "artefact",
        "the object's boxes hold 20% of its evidence: an artefact",
    )
    nature, why = by_boxes(np.array([0.8, 0.9, np.nan]))
    assert nature is None
    assert why == "the object's boxes hold 85% of its evidence: a part of it, or something on it"
    assert by_boxes(np.array([0.1, np.nan, np.nan])) == (None, "")
