from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seewhy.figures.letters import elided, legible, width, wrapped

text = st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cc"]), max_size=60)


@given(text, st.floats(20, 200))
def test_what_is_elided_fits(line: str, room: float) -> None:
    shown = elided(line, 9, room)
    assert width(shown, 9) <= room
    assert shown == line or (shown[-1] == "…" and line.startswith(shown[:-1]))
    assert shown == line or width(line, 9) > room


@given(text, st.floats(30, 200))
def test_wrapping_loses_no_word_that_fits(line: str, room: float) -> None:
    lines = wrapped(line, 8, room)
    assert all(width(each, 8) <= room for each in lines)
    if all(width(word, 8) <= room for word in line.split(" ")):
        assert " ".join(lines).split(" ") == line.split(" ")


def test_words_that_belong_together() -> None:
    assert wrapped("one two three", 8, width("one two", 8)) == ["one two", "three"]
    assert wrapped("one two\N{NO-BREAK SPACE}three", 8, width("two three", 8)) == [
        "one",
        "two\N{NO-BREAK SPACE}three",
    ]


def test_bold_letters_are_wider() -> None:
    assert width("automobile", 9, bold=True) > width("automobile", 9)
    assert width("automobile", 18) == pytest.approx(2 * width("automobile", 9))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("tabby, tabby cat", "tabby, tabby cat"),
        ("  two\n lines\t", "two lines"),
        ("ñandú größer ž кот γάτα", "ñandú größer ž кот γάτα"),
        ("dog \N{DOG FACE}", "dog"),
        ("猫", "?"),
        ("\x00\x1b[31m", "[31m"),
        ("", ""),
        ("—", "—"),
    ],
)
def test_what_there_are_no_letters_for_is_left_out(name: str, shown: str) -> None:
    assert legible(name, otherwise="?") == shown
