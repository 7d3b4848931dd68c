"""What a repair gave back, by hand."""

from __future__ import annotations

import pytest
from benchmarks.shortcuts import _replaced
from benchmarks.shortcuts_page import _not_hidden, _of_worst

BEFORE = {"without": 0.8, "carrying": 0.2, "worst": 0.1}
UNTAUGHT = {"without": 0.9, "carrying": 0.8, "worst": 0.5}  # it hides a tenth
REPAIRED = {"harm": {"carrying": 0.6, "worst": 0.4}}


def test_what_is_hidden_is_taken_off_the_cost() -> None:
    assert _not_hidden(BEFORE, UNTAUGHT, REPAIRED) == pytest.approx(0.4 / 0.5)
    assert _not_hidden(BEFORE, None, REPAIRED) == pytest.approx(0.4 / 0.6)


def test_the_worst_group_is_compared_with_that_of_a_network_never_taught() -> None:
    assert _of_worst(BEFORE, UNTAUGHT, REPAIRED) == pytest.approx(0.3 / 0.4)


def test_what_is_measured_again_replaces_its_row_and_no_other() -> None:
    old = {"seed": 1, "reasons": [{"repairs": [{"how": "a", "x": 1}, {"how": "b", "x": 2}]}]}
    new = {"seed": 1, "reasons": [{"repairs": [{"how": "b", "x": 3}, {"how": "c", "x": 4}]}]}
    rows = _replaced(old, new)["reasons"][0]["repairs"]
    assert [(each["how"], each["x"]) for each in rows] == [("a", 1), ("b", 3), ("c", 4)]
