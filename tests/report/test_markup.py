"""Text, numbers and JSON for the page."""

from __future__ import annotations

import html
import json
import math
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seewhy.report.markup import (
    embed,
    escape,
    hash_source,
    number,
    percent,
    printable,
)
from seewhy.results import decimals, deviation, finite

any_text = st.text(st.characters(codec=None))  # lone surrogates as well


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain é 猫 🐈", "plain é 猫 🐈"),
        ("a\nb\x00c", "a\\nb\\x00c"),
        ("\udcff.png", "\\udcff.png"),  # a file name that is no UTF-8, as Python decodes it
        ("gnp.\u202eexe", "gnp.\\u202eexe"),
    ],
)
def test_what_cannot_be_shown_is_written_out(raw: str, shown: str) -> None:
    assert printable(raw) == shown


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, object]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.events.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.events.append(("text", data))


@given(any_text)
def test_escaped_text_is_only_ever_text(text: str) -> None:
    reader = _Reader()
    reader.feed(f'<p title="{escape(text)}">{escape(text)}.</p>')
    reader.close()
    (_, attributes), *pieces = reader.events
    assert attributes == [("title", printable(text))]
    assert all(kind == "text" for kind, _ in pieces)
    assert "".join(str(piece) for _, piece in pieces) == printable(text) + "."


@given(st.recursive(any_text | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_json_survives_the_page(value: object) -> None:
    embedded = embed({"value": value})
    assert json.loads(embedded) == {"value": value}
    assert embedded == html.escape(embedded, quote=False)
    assert embedded.isascii()


def test_json_cannot_end_its_script() -> None:
    assert embed("</script><!--&") == '"\\u003c/script\\u003e\\u003c!--\\u0026"'


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (9.314, 2, "9.31"),
        (-0.21, 2, "−0.21"),
        (-0.001, 2, "0.00"),
        (0.0123, 4, "0.0123"),
        (math.nan, 2, "not a number"),
        (math.inf, 2, "infinite"),
    ],
)
def test_number(value: float, digits: int, text: str) -> None:
    assert number(value, digits) == text


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ((9.3, 0.001), 2),
        ((1.0,), 2),
        ((0.5, -0.2), 3),
        ((0.0123, -0.004), 4),
        ((1e-30,), 8),
        ((0.0, 0.0), 2),
        ((math.nan, 12.0), 2),
    ],
)
def test_small_logits_get_more_digits(values: tuple[float, ...], digits: int) -> None:
    assert decimals(*values) == digits


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.6213, "62.1\N{NO-BREAK SPACE}%"),
        (1.0, "100.0\N{NO-BREAK SPACE}%"),
        (0.0, "0.0\N{NO-BREAK SPACE}%"),
        (0.0004, "< 0.1\N{NO-BREAK SPACE}%"),
        (math.nan, ""),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("certificate", "text"),
    [
        (2.3e-6, "adds up to 2e-06"),
        (0.0, "adds up exactly"),
        (math.nan, "not shown to add up"),
    ],
)
def test_deviation(certificate: float, text: str) -> None:
    assert deviation(certificate) == text


def test_what_json_has_no_number_for_is_null() -> None:
    assert [finite(value) for value in (1.5, math.nan, -math.inf)] == [1.5, None, None]


def test_hash_source_is_the_one_browsers_compute() -> None:
    # echo -n "" | openssl dgst -sha256 -binary | openssl base64
    assert hash_source("") == "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
