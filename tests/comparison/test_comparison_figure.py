"""The comparison as a picture: right colours in the right places, and the same bytes always."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.comparison.colours import NAMES, classifier, halves, plain

from seewhy.comparison import Comparison, compare
from seewhy.comparison.compare import Wish
from seewhy.comparison.figure import CLASS, DOTS, MAP, _Sheet, blended, draw, scale
from seewhy.errors import InputError


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    pictures = [halves("red", "green", share=0.625), *map(plain, NAMES)]
    wish = Wish(mosaics=1, samples=5, shown=1, rounds=1)
    return compare(classifier(), pictures, ["cam", "gradient"], wish=wish)


def cell(pixels: np.ndarray, x: float, y: float) -> list[int]:
    """The colour at a place in inches."""
    colour: list[int] = pixels[round(y * DOTS), round(x * DOTS)].astype(int).tolist()
    return colour


def test_maps_lie_where_they_belong(comparison: Comparison, tmp_path: Path) -> None:
    """CAM of a picture, red on the left and green on the right: each where its colour is."""
    path = comparison.save(tmp_path / "figure.png")
    with PIL.Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    sheet = _Sheet(comparison)
    first = comparison.shown[0]
    order = [each.name for each in first.classes]
    assert pixels.shape[:2] == (round(sheet.height * DOTS), round(sheet.width * DOTS))
    for row, name in enumerate(order):
        y = sheet.top + row * (MAP + CLASS) + CLASS + MAP / 2
        left, right = (cell(pixels, sheet.left(0) + share * MAP, y) for share in (0.2, 0.9))
        strong, weak = (left, right) if _is_left(first.pixels, name) else (right, left)
        assert strong[0] - strong[2] > 60  # red
        assert max(weak) - min(weak) < 12  # nothing but the faint picture
    middle = sheet.top + CLASS + sheet.side / 2
    assert cell(pixels, 0.3, middle) == first.pixels[4, 0].astype(int).tolist()


def _is_left(pixels: np.ndarray, name: str) -> bool:
    return bool((pixels[0, 0] == np.asarray(plain(name))[0, 0]).all())


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_same_comparison_gives_the_same_bytes(
    comparison: Comparison, tmp_path: Path, suffix: str
) -> None:
    one, other = (comparison.save(tmp_path / f"{n}{suffix}").read_bytes() for n in "ab")
    assert one == other
    assert len(one) > 5000
    assert one.startswith({".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix])
    assert b"http" not in one or suffix == ".svg"


def test_another_format_is_refused(comparison: Comparison, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a name that ends in \.png, \.pdf, \.svg"):
        comparison.save(tmp_path / "figure.bmp")
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_it_shows(comparison: Comparison) -> None:
    texts = [text.get_text() for text in draw(comparison).texts]
    assert {"cam", "gradient", "against", "for", "red", "forward passes for a map"} <= set(texts)
    assert any("lower right" in text for text in texts)
    assert any("colours, 5 pictures, seed 0" in text for text in texts)


def test_a_blend_by_hand() -> None:
    pixels = np.array([[[0, 0, 0], [255, 255, 255], [0, 0, 0]]], np.uint8)
    drawn = blended(pixels, np.array([[0.0, 2.0, -2.0]]), 2.0)
    assert drawn[0, 0].tolist() == [217, 217, 217]  # black, of which 15 % is left
    assert drawn[0, 1, 0] > drawn[0, 1, 2]  # for: red
    assert drawn[0, 2, 0] < drawn[0, 2, 2]  # against: blue


def test_the_scale_by_hand() -> None:
    values = np.arange(-1000.0, 1001.0)
    assert scale(values) == 995.0
    lonely = np.zeros(1000)
    lonely[0] = -3.0
    assert scale(lonely) == 3.0  # rather than none at all
    assert scale(np.zeros(3)) == 0.0
