"""Text that fits a line of a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seewhy.cli.text import columns, fit, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("chelsea.png", "chelsea.png"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\u202egnp", "\\u202egnp"),
        ("\udcff.png", "\\udcff.png"),
        ("été 猫", "été 猫"),
    ],
)
def test_plain_writes_out_what_moves_the_cursor(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("cat", 5, "cat  "),
        ("cat", 3, "cat"),
        ("holidays/chelsea.png", 11, "holid…a.png"),
        ("猫猫猫", 6, "猫猫猫"),
        ("猫猫猫", 5, "猫…猫"),
        ("猫猫猫", 4, "猫… "),
    ],
)
def test_fit_leaves_the_middle_out(text: str, width: int, shown: str) -> None:
    assert fit(text, width) == shown


@given(st.text("ab猫é ", max_size=30), st.integers(1, 40))
def test_fit_takes_exactly_its_width(text: str, width: int) -> None:
    assert columns(fit(text, width)) == width
