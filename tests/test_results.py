"""Numbers as they are shown: what is printed adds up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seewhy.results import rounded


@pytest.mark.parametrize(
    ("total", "evidence", "bias", "shown"),
    [
        (9.476, 9.452, 0.024, (9.48, 9.45, 0.03)),
        (10.718, 10.7344, -0.0164, (10.72, 10.74, -0.02)),
        (9.31, 9.52, -0.21, (9.31, 9.52, -0.21)),
        (9.0, 1.0, 2.0, (9.0, 1.0, 2.0)),  # does not add up, and is not made to
    ],
)
def test_what_is_shown(
    total: float, evidence: float, bias: float, shown: tuple[float, float, float]
) -> None:
    assert rounded(total, evidence, bias, 2) == pytest.approx(shown, abs=1e-9)


FLOATS = st.floats(-1e4, 1e4)


@given(FLOATS, FLOATS, st.integers(0, 5))
def test_the_shown_numbers_add_up_and_are_off_by_less_than_a_unit(
    evidence: float, bias: float, digits: int
) -> None:
    total, seen, rest = rounded(evidence + bias, evidence, bias, digits)
    unit = 10.0**-digits
    assert total == pytest.approx(seen + rest, abs=unit / 1000)
    assert abs(total - evidence - bias) <= 0.501 * unit
    assert abs(seen - evidence) < 1.001 * unit
    assert abs(rest - bias) < 1.001 * unit


def test_numbers_that_are_none_are_left_alone() -> None:
    assert all(map(math.isnan, rounded(math.nan, math.nan, math.nan, 2)))
