"""The figure as it is drawn: golden pictures, and what has to hold for any."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from PIL.Image import Image, Resampling
from tests.figures.cells import bump, cell, figure, four, scene
from tests.test_render import GOLDEN, differs

from seewhy import render
from seewhy.figures.figure import Figure, Share
from seewhy.figures.layout import BAR_HEIGHT, MARGIN, PAIR, SMALL_LINE, layout_of
from seewhy.figures.save import encoded
from seewhy.geometry import Geometry
from seewhy.preprocess import Preprocess

if TYPE_CHECKING:
    from collections.abc import Callable

RED = (200, 16, 46)


def drawn(made: Figure) -> Image:
    return PIL.Image.open(io.BytesIO(encoded(made, ".png"))).convert("RGB")


def pixels(picture: Image, made: Figure, index: int, place: int = 0) -> NDArray[np.uint8]:
    """The square of a picture on the sheet, or (place 1) of its evidence."""
    layout = layout_of(made)
    row, column = divmod(index, made.columns)
    left = layout.left(column) + place * (layout.side + PAIR)
    box = (left, layout.tops[row], left + layout.side, layout.tops[row] + layout.side)
    return np.asarray(picture.crop(box))


def photographs(**options: object) -> Figure:
    """Larger pictures, of which the network saw the middle, and one of another shape."""
    middle, whole = Preprocess((64, 64), 0.8), Preprocess((64, 64), 1.0, "squash")
    against = "lynx, catamount"
    return figure(
        [
            cell(scene(300, 200), bump(2, 2, 8), "Egyptian cat", 0.62, None, middle, against),
            cell(
                scene(200, 300, 1), -bump(5, 5, 6), "tabby, tabby cat", 0.2, None, middle, against
            ),
            cell(scene(300, 150, 2), bump(4, 2, 5), "x" * 90, 0.41, None, whole, against),
        ],
        columns=3,
        **options,
    )


PICTURES: dict[str, Callable[[], Image]] = {
    "figure": lambda: drawn(replace(four(), columns=4)),
    "figure-dark": lambda: drawn(
        replace(
            four(dark=True, with_second=True, scale="picture", title="Four of twenty"), columns=4
        )
    ),
    "figure-signed": lambda: drawn(photographs(style="signed")),
}


@pytest.mark.parametrize("name", PICTURES)
def test_golden_pictures(name: str) -> None:
    """Set SEEWHY_UPDATE_GOLDEN=1 to draw them anew; then look at them."""
    path, picture = GOLDEN / f"{name}.png", PICTURES[name]()
    if os.environ.get("SEEWHY_UPDATE_GOLDEN"):
        picture.save(path, optimize=True)
    assert path.stat().st_size < 100_000
    with PIL.Image.open(path) as golden:
        assert not differs(picture, golden)


def test_a_golden_picture_tells_another_map_and_another_frame() -> None:
    first = four()
    moved = replace(first.cells[0].evidence, map=np.roll(first.cells[0].evidence.map, 2, 1))
    elsewhere = replace(first.cells[0].picture, classes=(moved,))
    others = [
        replace(first, cells=(replace(first.cells[0], picture=elsewhere), *first.cells[1:])),
        replace(first, cells=(replace(first.cells[0], truth=Share(1, "dog", 0)), *first.cells[1:])),
        replace(first, dark=True),
        replace(first, style="signed"),
    ]
    picture = drawn(first)
    assert [differs(picture, drawn(each)) for each in others] == [True] * 4


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_pixels_of_tiny_pictures_stay_whole(columns: int) -> None:
    made = four()
    made = replace(made, columns=columns)
    picture, side = drawn(made), layout_of(made).side
    assert side % 32 == 0
    for index in range(4):
        image = made.cells[index].picture.image.resize((side, side), Resampling.NEAREST)
        np.testing.assert_array_equal(pixels(picture, made, index), np.asarray(image))


def test_the_map_is_the_houses_overlay_on_a_shared_scale() -> None:
    made = four()
    assert made.limit == max(float(each.evidence.map.max()) for each in made.cells)
    picture = drawn(made)
    for index, each in enumerate(made.cells):
        side = layout_of(made).side
        image = each.picture.image.resize((side, side), Resampling.NEAREST)
        seen = Geometry.identity((32, 32)).seen_from((side, side))
        expected = render.overlay(image, each.evidence.map, seen, limit=made.limit)
        np.testing.assert_array_equal(pixels(picture, made, index, 1), np.asarray(expected))


def test_no_positive_evidence_is_drawn_as_none() -> None:
    made = four()
    alone = replace(made, cells=made.cells[3:], columns=1)
    assert alone.limit == 0
    for each, index in ((made, 3), (alone, 0)):
        picture = drawn(each)
        plain, shown = (pixels(picture, each, index, place) for place in (0, 1))
        np.testing.assert_array_equal(plain, shown)


def test_only_on_request_a_scale_of_its_own() -> None:
    change = []
    for made in (four(), four(scale="picture")):
        picture = drawn(made)
        plain, shown = (pixels(picture, made, 2, place).astype(int) for place in (0, 1))
        change.append(np.abs(shown - plain).max())
    assert change[1] > 2 * change[0]


def test_only_wrong_ones_are_framed() -> None:
    made = four()
    picture, layout = np.asarray(drawn(made)), layout_of(made)
    for index in range(4):
        row, column = divmod(index, 2)
        above = picture[layout.tops[row] - 4, layout.left(column) : layout.left(column) + 200]
        is_red = (np.abs(above.astype(int) - RED).max(1) < 60).all()
        assert is_red == made.cells[index].is_wrong == (index in (1, 3))


@pytest.mark.parametrize("style", ["positive", "signed"])
def test_the_colour_bar_is_the_scale(style: render.Style) -> None:
    made = four(style=style)
    layout, picture = layout_of(made), np.asarray(drawn(made)).astype(float)
    left, top = layout.bar
    bar = picture[top + SMALL_LINE + BAR_HEIGHT // 2, left : left + layout.bar_width]
    levels = np.linspace(-1 if style == "signed" else 0, 1, layout.bar_width)[None]
    colours = render.colourise(levels, style=style, limit=1)[0].astype(float)
    share = colours[:, 3:] / 255
    expected = colours[:, :3] * share + 255 * (1 - share)
    np.testing.assert_allclose(bar[4:-4], expected[4:-4], atol=1)


def test_what_stands_below_a_cell() -> None:
    made = four(with_second=True)
    notes = [[(n.text, n.number, n.tone) for n in made.notes(each)] for each in made.cells]
    assert notes == [
        [("cat", "100 %", "plain"), ("or dog", "0.0 %", "faint")],
        [("automobile", "87.3 %", "plain"), ("true: truck", "9.5 %", "wrong")],
        [("ship", "41.0 %", "plain"), ("or dog", "44.3 %", "faint")],
        [("frog", "20.0 %", "plain"), ("true: airplane", "60.0 %", "wrong")],
    ]
    own = four(scale="picture")
    assert [own.notes(each)[-1].number for each in own.cells[:3]] == [
        "45.0 logits",
        "33.8 logits",
        "9.00 logits",
    ]


def test_the_caption() -> None:
    assert four().caption == (
        "resnet20 · 4 of 20 pictures, at random (seed 0) · 2 wrong, framed · evidence + bias ="
        " logit, to 2e-07 in all 4"
    )
    assert repr(four()).startswith("Figure(2 x 2: resnet20 · ")
    unlabelled = replace(photographs(), skipped=("one",))
    assert unlabelled.caption.endswith(
        "(seed 0) · 1 that could not be read left out · evidence + bias = margin, to 2e-07 in all 3"
    )
    right = replace(four(), cells=four().cells[:1])
    assert right.caption.endswith("none wrong · evidence + bias = logit, to 2e-07")


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "a b " * 90, "猫", "$x_1$ \\frac", "<b>&amp;", "\n\t", "", "ñandú \N{DOG FACE}"],
)
def test_any_name_is_drawn_in_its_place(name: str) -> None:
    """Nothing beside or between the cells is written over, and nobody is warned."""
    cells = [cell(scene(32, 32), bump(2, 2, 5), name, 0.5, f"{name}!") for _ in range(4)]
    made = figure(cells, title=name)
    picture, layout = np.asarray(drawn(made)), layout_of(made)
    between = layout.left(0) + layout.pair + 7, layout.left(1) - 7
    assert (picture[: layout.foot, between[0] : between[1]][layout.tops[0] :] == 255).all()
    assert (picture[:, : MARGIN - 7] == 255).all()
    assert (picture[:, -MARGIN + 7 :] == 255).all()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("columns", [1, 3, 6, 8])
def test_any_grid_fits_on_its_sheet(count: int, columns: int) -> None:
    cells = [cell(scene(32, 32), bump(2, 2, 5), truth="dog")] * count
    made = figure(cells, columns=min(columns, count))
    layout = layout_of(made)
    picture = drawn(made)
    assert picture.size == (layout.width, layout.height)
    assert layout.left(made.columns - 1) + layout.pair == layout.width - MARGIN
    assert layout.foot + SMALL_LINE * len(layout.caption) <= layout.height - MARGIN
    assert layout.width <= 1440 or made.columns > 5
    edges = [picture.crop((0, 0, layout.width, 6)), picture.crop((0, 0, 6, layout.height))]
    assert all(edge.getextrema() == ((255, 255),) * 3 for edge in edges)


def test_one_line_more_only_where_it_is_needed() -> None:
    right = [cell(scene(32, 32), bump(2, 2, 5), "cat", truth="cat")] * 2
    wrong = [right[0], cell(scene(32, 32), bump(2, 2, 5), "cat", truth="dog")]
    first, second = layout_of(figure([*right, *wrong])), layout_of(figure([*wrong, *right]))
    assert first.height == second.height
    assert second.tops[1] - first.tops[1] == 31


def test_a_name_that_the_font_lacks_is_the_classs_number() -> None:
    made = figure([cell(scene(32, 32), bump(2, 2, 5), "猫", 0.5, "犬")])
    assert [note.text for note in made.notes(made.cells[0])] == ["class 3", "true: class 5"]


def test_second_class_of_nobody() -> None:
    alone = replace(four().cells[0], second=None, truth=Share(3, "cat", 1.0))
    assert len(four(with_second=True).notes(alone)) == 1
