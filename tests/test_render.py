from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageDraw
from PIL.Image import Resampling

from seewhy import render
from seewhy.errors import InputError
from seewhy.geometry import Geometry
from seewhy.preprocess import Preprocess
from seewhy.results import ClassEvidence, PictureEvidence, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL.Image import Image

    from seewhy.render import Share, Style

GOLDEN = Path(__file__).parent / "golden"
STYLES: list[Style] = ["positive", "signed"]


def noise(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(height * 99 + width).normal(size=(height, width)).astype("f4")


def grey(width: int, height: int) -> Image:
    return PIL.Image.new("RGB", (width, height), (128, 128, 128))


sides = st.integers(1, 40)


@settings(deadline=None)
@given(sides, sides, sides, sides)
def test_upsample_is_torchs_bilinear(height: int, width: int, tall: int, wide: int) -> None:
    evidence = noise(height, width)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(evidence)[None, None], size=(tall, wide), mode="bilinear"
    )[0, 0]
    result = render.upsample(evidence, (wide, tall))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-4)  # torch's positions are float32


def test_upsample_by_hand() -> None:
    assert render.upsample(np.array([[0.0, 4.0]]), (4, 1)).tolist() == [[0, 1, 3, 4]]
    assert render.upsample(np.array([[0.0], [4.0]]), (1, 4)).tolist() == [[0], [1], [3], [4]]
    assert render.upsample(np.array([[5.0]]), (3, 2)).tolist() == [[5, 5, 5], [5, 5, 5]]


def test_a_map_lies_on_the_original_by_hand() -> None:
    # of 8 x 2 pixels the middle 4 x 2 were seen, mirrored; the map has 2 cells side by side
    geometry = Geometry.identity((8, 2)).crop((2, 0, 6, 2)).flip()
    laid = render.on_original(np.array([[0.0, 4.0]]), geometry)
    unseen = np.nan
    row = [unseen, unseen, 4, 3, 1, 0, unseen, unseen]
    np.testing.assert_array_equal(laid, [row, row])


def test_a_map_of_an_uncropped_picture_is_upsampled() -> None:
    evidence = noise(7, 5)
    geometry = Geometry.identity((30, 40)).resize((160, 224))
    np.testing.assert_allclose(
        render.on_original(evidence, geometry), render.upsample(evidence, (30, 40)), atol=1e-6
    )


@pytest.mark.parametrize("mode", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(300, 200), (90, 260), (32, 32)])
@pytest.mark.parametrize("cell", [(1, 5), (3, 3), (5, 2)])
def test_a_cells_centre_lands_where_its_pixels_came_from(
    mode: Any, size: tuple[int, int], cell: tuple[int, int]
) -> None:
    _, geometry = Preprocess((210, 210), 0.875, mode)(grey(*size))
    evidence = np.zeros((7, 7), dtype=np.float32)
    evidence[cell] = 1
    laid = render.on_original(evidence, geometry)
    (x, y) = geometry.to_original([cell[1] * 30 + 15, cell[0] * 30 + 15])
    if np.nanmax(laid) > 0.5:  # else the cell lies on the border that "pad" adds
        hottest = np.unravel_index(np.nanargmax(laid), laid.shape)
        np.testing.assert_allclose([hottest[1] + 0.5, hottest[0] + 0.5], [x, y], atol=1)
    else:
        assert mode == "pad"
        assert not (0 < x < size[0] and 0 < y < size[1])


def test_the_scale_is_the_largest_magnitude_of_all() -> None:
    maps = [np.array([[1.0, -3.0]]), np.array([[2.0, np.inf]]), np.array([[np.nan, 0.5]])]
    assert render.limit(maps) == 3
    assert render.limit([]) == 0
    assert render.limit([np.array([[np.nan]])]) == 0


def test_positive_colours() -> None:
    colours = render.colourise(
        np.array([[-5.0, 0.0, 0.25, 1.0, 2.0, 9.0, np.nan]]), style="positive", limit=2
    )[0]
    assert colours.shape == (7, 4)
    assert colours.dtype == np.uint8
    assert colours[[0, 1, 6], 3].tolist() == [0, 0, 0]  # negative, zero and unseen show nothing
    assert colours[2:6, 3].tolist() == [64, 255, 255, 255]
    assert colours[4].tolist() == colours[5].tolist() == [252, 255, 164, 255]  # inferno's last
    brightness = colours[2:5, :3].astype(int).sum(1)
    assert (np.diff(brightness) > 0).all()


def test_signed_colours() -> None:
    colours = render.colourise(
        np.array([[-9.0, -2.0, -0.5, 0.0, 0.5, 2.0, np.nan, -np.inf]]), style="signed", limit=2
    )[0].astype(int)
    red, blue, alpha = colours[:, 0], colours[:, 2], colours[:, 3]
    assert (blue > red)[[0, 1, 2, 7]].all()
    assert (red > blue)[[4, 5]].all()
    assert colours[0].tolist() == colours[1].tolist() == colours[7].tolist()
    assert alpha[[3, 6]].tolist() == [0, 0]
    assert alpha[2] == alpha[4]  # as far from zero, as strong
    assert alpha[[0, 1, 5]].tolist() == [255, 255, 255]


@pytest.mark.parametrize("style", STYLES)
def test_eight_bits_say_what_the_floats_say(style: Style) -> None:
    evidence = noise(16, 16)
    colours = render.colourise(evidence, style=style, limit=render.limit([evidence]))
    strength = np.abs(evidence) if style == "signed" else evidence.clip(0)
    order = np.argsort(strength, axis=None)
    assert (np.diff(colours[..., 3].ravel()[order].astype(int)) >= 0).all()
    hottest = np.unravel_index(evidence.argmax(), evidence.shape)
    peak = render.colourise(np.array([[9.0]]), style=style, limit=9)
    if style == "positive":
        np.testing.assert_array_equal(colours[hottest], peak[0, 0])


@pytest.mark.parametrize("style", STYLES)
def test_the_hottest_and_the_coldest_cell(style: Style) -> None:
    # the hottest spot of a picture that is all grey, found again in the finished 8-bit picture
    evidence = np.full((4, 6), 0.1)
    evidence[1, 4], evidence[3, 0] = 5, -5
    drawn = np.asarray(render.overlay(grey(60, 40), evidence, style=style)).astype(int)
    change = np.abs(drawn - 128).sum(-1)
    hot, cold = (15, 45), (35, 5)  # their centres, (row, column)
    warmth = drawn[..., 0] - drawn[..., 2]
    assert warmth[hot] > 60
    assert change[hot] > 100
    if style == "signed":
        assert warmth[cold] < -60
        assert warmth.argmax() // 60 in range(10, 20)
    else:
        assert change[cold] == 0


def test_no_positive_evidence_is_drawn_as_none() -> None:
    picture = grey(30, 20)
    for evidence in (-np.abs(noise(4, 4)), np.zeros((4, 4)), np.full((4, 4), -1e-9)):
        assert render.overlay(picture, evidence).tobytes() == picture.tobytes()


def test_a_weak_map_stays_weak_on_a_shared_scale() -> None:
    strong, picture = noise(4, 4), grey(30, 20)
    weak = strong * np.float32(1e-3)
    scale = render.limit([strong, weak])
    assert render.overlay(picture, weak, limit=scale).tobytes() == picture.tobytes()
    assert render.overlay(picture, strong, limit=scale).tobytes() != picture.tobytes()


def test_width_and_height_keep_their_places() -> None:
    evidence = np.zeros((2, 8))
    evidence[0, 7] = 1  # the top right
    drawn = np.asarray(render.overlay(grey(160, 20), evidence)).astype(int)
    change = np.abs(drawn - 128).sum(-1)
    assert change.shape == (20, 160)
    assert change[:5, 150:].min() > 50
    assert change[:, :120].max() == 0
    assert change[16:].max() == 0


def test_what_the_network_did_not_see_is_dimmed() -> None:
    picture = grey(40, 20)
    geometry = Geometry.identity((40, 20)).crop((10, 0, 30, 20))
    drawn = np.asarray(render.overlay(picture, np.zeros((2, 2)), geometry))
    assert (drawn[:, 10:30] == 128).all()
    assert (drawn[:, :10] == 76).all()
    assert (drawn[:, 30:] == 76).all()
    assert picture.getpixel((0, 0)) == (128, 128, 128)  # the caller's is left alone


def test_opacity() -> None:
    evidence, picture = np.ones((1, 1)), PIL.Image.new("RGB", (1, 1), "black")
    assert render.overlay(picture, evidence, opacity=0).getpixel((0, 0)) == (0, 0, 0)
    assert render.overlay(picture, evidence, opacity=1).getpixel((0, 0)) == (252, 255, 164)
    half = render.overlay(picture, evidence, opacity=0.5).getpixel((0, 0))
    np.testing.assert_allclose(np.array(half), (126, 127.5, 82), atol=1)


def test_a_large_picture_keeps_its_size_and_sharpness() -> None:
    picture = PIL.Image.effect_noise((4000, 3000), 60).convert("RGB")
    evidence = np.zeros((7, 7))
    evidence[0, 0] = 1
    drawn = render.overlay(picture, evidence)
    assert drawn.size == (4000, 3000)
    far = (2000, 1500, 2200, 1700)
    assert drawn.crop(far).tobytes() == picture.crop(far).tobytes()


@pytest.mark.parametrize(("style", "start"), [("positive", "0"), ("signed", "-2")])
def test_the_colour_bar_is_the_scale(style: Style, start: str) -> None:
    bar = np.asarray(render.colour_bar(2.0, style=style, width=201))
    levels = np.linspace(float(start), 2, 201)[None]
    colours = render.colourise(levels, style=style, limit=2)[0].astype(float)
    share = colours[:, 3:] / 255
    expected = colours[:, :3] * share + 255 * (1 - share)
    np.testing.assert_allclose(bar[5, 1:-1], expected[1:-1], atol=1)


def test_an_empty_scale_has_an_empty_bar() -> None:
    for style in STYLES:
        bar = np.asarray(render.colour_bar(0.0, style=style))
        assert (bar[1:9, 1:-1] == 255).all()


def entry(number: int, evidence: NDArray[np.float32], name: str = "") -> ClassEvidence:
    mean = float(evidence.mean())
    return ClassEvidence(
        id=number,
        name=name or ["Egyptian cat", "tabby, tabby cat", "tiger cat"][number],
        probability=[0.621, 0.2, 0.05][number],
        logit=mean - 0.21,
        evidence=mean,
        bias=-0.21,
        certificate=2e-6,
        map=evidence,
    )


def scene(width: int, height: int) -> Image:
    """A picture whose every quarter looks different, drawn without antialiasing."""
    image = PIL.Image.new("RGB", (width, height), (70, 110, 160))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, height // 2, width, height), fill=(90, 130, 70))
    draw.ellipse((width // 8, height // 8, width // 2, height // 2), fill=(230, 190, 60))
    draw.rectangle((width * 5 // 8, height // 3, width * 7 // 8, height * 7 // 8), fill="firebrick")
    return image


def bump(row: int, column: int, height: float) -> NDArray[np.float32]:
    y, x = np.mgrid[:7, :7]
    return np.asarray(
        height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 3) - height / 4, dtype=np.float32
    )


def explained(image: Image, name: str, against: str | None = None) -> PictureEvidence:
    _, geometry = Preprocess()(image)
    maps = [bump(2, 1, 12.0), bump(4, 5, 5.0), -np.abs(bump(3, 3, 2.0))]
    return PictureEvidence(
        name,
        image,
        geometry,
        tuple(entry(n, each) for n, each in enumerate(maps)),
        against,
        Prediction("dog" if against else "Egyptian cat", 0.621),
    )


def two() -> list[PictureEvidence]:
    return [
        explained(scene(640, 480), "photos/large.png"),
        explained(scene(32, 32), "tiny.png", against="dog"),
    ]


def test_the_equation_in_words() -> None:
    value = replace(entry(0, bump(2, 1, 12.0)), logit=9.31, evidence=9.52, bias=-0.21)
    assert render.equation(value) == "logit 9.31 = evidence 9.52 + bias -0.21"
    assert render.equation(value, "dog") == "margin 9.31 = evidence 9.52 + bias -0.21"
    small = replace(value, logit=0.00123, evidence=0.00123, bias=-0.0)
    assert render.equation(small) == "logit 0.00123 = evidence 0.00123 + bias 0.00000"


def test_a_map_that_does_not_add_up_is_not_said_to() -> None:
    value = replace(entry(0, bump(2, 1, 12.0)), logit=9.31, evidence=7.52, bias=0.79)
    left = replace(value, kind="first-order")
    assert render.equation(left) == "logit 9.31 ≈ evidence 7.52 + bias 0.79"
    picture = replace(explained(scene(320, 200), "scene.png"), classes=(left,))
    exact = replace(picture, classes=(value,))
    one, other = (render.plate(each, each.classes[0]) for each in (picture, exact))
    assert one.height - other.height == 17  # a line more: how much is left
    sheets = [render.contact_sheet([each]) for each in (picture, exact)]
    assert np.asarray(sheets[0])[:300].tobytes() != np.asarray(sheets[1])[:300].tobytes()


def cells(sheet: Image, row: tuple[int, int], count: int) -> list[NDArray[np.uint8]]:
    """The squares of one row of a sheet, (row[1] - row[0], 256, 3) each."""
    pixels = np.asarray(sheet)[slice(*row)]
    return [pixels[:, 16 + 272 * n : 16 + 272 * n + 256] for n in range(count)]


def test_a_tiny_picture_is_enlarged_by_whole_pixels() -> None:
    picture = explained(scene(32, 32), "tiny.png")
    shown, hot, _, none = cells(render.contact_sheet([picture]), (16, 272), 4)
    enlarged = picture.image.resize((256, 256), Resampling.NEAREST)
    np.testing.assert_array_equal(shown, enlarged)
    x0, y0, x1, y1 = (round(8 * side) for side in picture.geometry.visible)
    seen = (slice(y0, y1), slice(x0, x1))
    np.testing.assert_array_equal(none[seen], np.asarray(enlarged)[seen])  # no positive evidence
    # the map is drawn at the enlarged size: finer steps than the picture's 8 pixels
    change = np.abs(hot[seen].astype(int) - np.asarray(enlarged)[seen]).sum(-1)
    assert change.max() > 100
    assert (np.diff(change[60:68], axis=1) != 0).sum() > 100


def test_a_shared_scale_is_shared_as_asked() -> None:
    first, second = two()
    louder = replace(second, classes=tuple(replace(c, map=c.map * 10) for c in second.classes))
    shares: tuple[Share, ...] = ("picture", "all", "none")
    sheets: dict[str, Image] = {
        share: render.contact_sheet([first, louder], share=share) for share in shares
    }
    everything = render.limit(each.map for each in louder.classes)
    sheets["scale"] = render.contact_sheet([first, louder], scale=everything)
    assert sheets["scale"].tobytes() == sheets["all"].tobytes()
    strongest = {
        share: [
            np.abs(cell.astype(int) - cells(sheet, (16, 208), 1)[0]).sum(-1)[40:140, 60:200].max()
            for cell in cells(sheet, (16, 208), 3)[1:]
        ]
        for share, sheet in sheets.items()
    }
    assert strongest["all"][0] < strongest["picture"][0] == strongest["none"][0]
    assert strongest["all"][1] < strongest["picture"][1] < strongest["none"][1]


def test_a_sheet_of_odd_pictures() -> None:
    odd = [explained(grey(*size), "x" * 90) for size in [(1, 1), (20_000, 1), (1, 900), (255, 9)]]
    empty = replace(odd[0], classes=())
    sheet = render.contact_sheet([*odd, empty], top=9)
    assert sheet.width == 16 + 4 * 272


def test_the_same_input_gives_the_same_bytes() -> None:
    assert render.contact_sheet(two()).tobytes() == render.contact_sheet(two()).tobytes()


def test_a_sheet_says_what_was_predicted_whatever_was_asked() -> None:
    """Below the plain picture stands the decision, and nothing where it is not known."""
    asked = replace(explained(scene(64, 64), "a.png"), predicted=Prediction("dog", 0.9))
    sheets = [
        render.contact_sheet([each])
        for each in (
            asked,
            replace(asked, classes=asked.classes[1:]),
            replace(asked, predicted=Prediction("emu", 0.9)),
        )
    ]
    first, fewer, other = (np.asarray(sheet)[272:304, 16:272] for sheet in sheets)
    np.testing.assert_array_equal(first, fewer)
    assert (first != other).any()
    unknown = render.contact_sheet([replace(asked, predicted=None)])
    assert unknown.height == sheets[0].height  # the map's cell is the higher one
    assert (np.asarray(unknown)[272:304, 16:272] != first).any()


def test_a_plate_is_an_overlay_with_its_scale_below() -> None:
    picture = explained(scene(640, 480), "scene.png")
    evidence = picture.classes[1]
    drawn = np.asarray(render.plate(picture, evidence, limit=12.0))
    alone = render.overlay(picture.image, evidence.map, picture.geometry, limit=12.0)
    np.testing.assert_array_equal(drawn[:480], np.asarray(alone))
    bar = np.asarray(render.colour_bar(12.0, width=640))
    np.testing.assert_array_equal(drawn[486 : 486 + len(bar)], bar)
    below = drawn[486 + len(bar) :]
    assert (below.min(axis=(1, 2)) < 128).any()  # ink


def test_a_plate_of_a_tiny_picture_is_wide_enough_for_its_text() -> None:
    picture = explained(scene(8, 30), "tiny.png")
    assert render.plate(picture, picture.classes[0]).width == 256
    enlarged = render.fitted(picture, 1600)
    assert enlarged.image.size == (64, 240)
    assert enlarged.geometry.original == (64, 240)
    assert render.fitted(explained(scene(3200, 100), "wide.png"), 1600).image.size == (1600, 50)


def test_a_long_equation_gets_two_lines() -> None:
    picture = explained(scene(64, 64), "a.png")
    one, two = (
        render.plate(each, each.classes[0]).height
        for each in (picture, replace(picture, against="others"))
    )
    assert two - one == 17


def test_a_picture_that_fits_is_left_as_it_is() -> None:
    picture = explained(scene(640, 480), "scene.png")
    assert render.fitted(picture, 1600).image is picture.image


WRONG: list[tuple[Any, str]] = [
    (
        lambda: render.colourise(np.ones((2, 2)), style="jet", limit=1),  # type: ignore[arg-type]
        "style: expected 'signed' or 'positive', got 'jet'; pass another style",
    ),
    (
        lambda: render.colourise(np.ones((2, 2)), style="signed", limit=float("nan")),
        "limit: expected a finite number >= 0, got nan; pass what limit() returned",
    ),
    (
        lambda: render.overlay(grey(3, 3), np.ones((1, 3, 3))),
        "map: expected the evidence for one class, (height, width), got shape (1, 3, 3);"
        " draw one class and one picture at a time",
    ),
    (
        lambda: render.overlay(grey(3, 3), np.ones((3, 3)), Geometry.identity((4, 3))),
        "geometry: expected one of a picture of (3, 3), got one of (4, 3);"
        " pass the picture and the geometry of one result",
    ),
    (
        lambda: render.overlay(grey(3, 3), np.ones((3, 3)), opacity=60),
        "opacity: expected 0 to 1, got 60; pass a share",
    ),
    (
        lambda: render.contact_sheet([]),
        "contact sheet: expected something to show, got top=3 of 0 pictures;"
        " pass at least one of both",
    ),
    (
        lambda: render.contact_sheet(two(), share="some"),  # type: ignore[arg-type]
        "share: expected 'picture' or 'all' or 'none', got 'some'; pass another share",
    ),
]


@pytest.mark.parametrize(("draw", "message"), WRONG)
def test_nonsense_is_refused(draw: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        draw()
    assert str(caught.value) == message


def positive_overlay() -> Image:
    picture = explained(scene(320, 200), "scene.png")
    return render.overlay(picture.image, picture.classes[0].map, picture.geometry)


def signed_overlay() -> Image:
    picture = explained(scene(320, 200), "scene.png")
    return render.overlay(
        picture.image, picture.classes[1].map, picture.geometry, style="signed", limit=5
    )


def first_of(picture: PictureEvidence) -> tuple[PictureEvidence, ClassEvidence]:
    return picture, picture.classes[0]


PICTURES: dict[str, Callable[[], Image]] = {
    "overlay-positive": positive_overlay,
    "overlay-signed": signed_overlay,
    "plate": lambda: render.plate(*first_of(explained(scene(320, 200), "scene.png"))),
    "sheet-positive": lambda: render.contact_sheet(two()),
    "sheet-signed": lambda: render.contact_sheet(two(), style="signed", share="all", top=2),
}


def differs(one: Image, other: Image) -> bool:
    """Whether two pictures differ by more than the edges of their letters.

    Means over 8 x 8 pixels: another release of FreeType moves the grey of an edge by half a pixel,
    which changes such a mean little; another colour, axis or cell changes many of them a lot.
    """
    if one.size != other.size:
        return True
    blocks = [np.asarray(image.convert("RGB").reduce(8), dtype=float) for image in (one, other)]
    return bool(np.abs(blocks[0] - blocks[1]).max() > 24)


@pytest.mark.parametrize("name", PICTURES)
def test_golden_pictures(name: str) -> None:
    """Set SEEWHY_UPDATE_GOLDEN=1 to draw them anew; then look at them."""
    path, drawn = GOLDEN / f"{name}.png", PICTURES[name]()
    if os.environ.get("SEEWHY_UPDATE_GOLDEN"):
        drawn.save(path, optimize=True)
    assert path.stat().st_size < 100_000
    with PIL.Image.open(path) as golden:
        assert not differs(drawn, golden)


@pytest.mark.parametrize("name", PICTURES)
def test_golden_pictures_tell_what_is_wrong_from_what_is_not(name: str) -> None:
    right = PICTURES[name]()
    red, green, blue = right.split()
    step = (right.width // 40, 0)  # less than one cell of the map
    wrong = {
        "colours": PIL.Image.merge("RGB", (blue, green, red)),
        "mirrored": right.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT),
        "upside down": right.transpose(PIL.Image.Transpose.FLIP_TOP_BOTTOM),
        "transposed": right.transpose(PIL.Image.Transpose.TRANSPOSE),
        "shifted": right.transform(
            right.size, PIL.Image.Transform.AFFINE, (1, 0, step[0], 0, 1, step[1])
        ),
    }
    assert {what for what, image in wrong.items() if not differs(right, image)} == set()


def test_golden_pictures_tell_a_map_that_is_one_cell_off() -> None:
    picture = explained(scene(320, 200), "scene.png")
    evidence = picture.classes[0].map
    drawn = [
        render.overlay(picture.image, np.roll(evidence, by, axis), picture.geometry)
        for by, axis in [(0, 0), (1, 0), (1, 1)]
    ]
    swapped = render.overlay(picture.image, evidence.T.copy(), picture.geometry)
    assert all(differs(drawn[0], other) for other in [*drawn[1:], swapped])
