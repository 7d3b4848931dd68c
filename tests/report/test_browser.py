"""The page as a reader meets it, in headless Chromium."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect
from tests.handmade import GRID, cat, class_evidence, hill

from seewhy import render
from seewhy.geometry import Geometry
from seewhy.regions import Region
from seewhy.report import write_report
from seewhy.report.markup import number
from seewhy.results import PictureEvidence, decimals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray
    from playwright.sync_api import Browser, Dialog, Locator, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>.png"
DESKTOP = {"width": 1280, "height": 900}
ONE_SHADE = 6  # the largest step between neighbouring colours of a palette, of 255
PHONE = {"width": 360, "height": 740}

# On a copy: reading a canvas twice makes Chromium advise its owner, who never reads it.
READ_CANVAS = """(canvas) => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  let text = "";
  for (const byte of copy.getImageData(0, 0, width, height).data) text += String.fromCharCode(byte);
  return [height, width, btoa(text)];
}"""


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Write a report, open it, and afterwards insist that it was quiet and asked for nothing."""
    noise: list[str] = []
    requests: list[str] = []
    contexts = []

    def refuse(dialog: Dialog) -> None:
        noise.append(dialog.message)
        dialog.dismiss()

    def show(pictures: Sequence[PictureEvidence], **options: Any) -> Page:
        path = write_report(tmp_path / "report.html", pictures, title="Cats", model="net")
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("dialog", refuse)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert noise == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in requests if url.startswith("file:")]) == len(contexts)


def pixels(page: Page, selector: str = "#picture-0 .map") -> NDArray[np.uint8]:
    """What is drawn on a canvas, RGBA."""
    canvas = page.locator(selector)
    expect(canvas).not_to_have_attribute("width", "0")
    height, width, data = canvas.evaluate(READ_CANVAS)
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)


def drawn_by_python(
    values: NDArray[np.float32],
    geometry: Geometry,
    size: tuple[int, int],
    *,
    limit: float,
    style: render.Style = "positive",
) -> NDArray[np.uint8]:
    """The same drawing through `render`, on a canvas of `size`: the second derivation."""
    x, y = (shown / original for shown, original in zip(size, geometry.original, strict=True))
    left, top, right, bottom = geometry.visible
    on_canvas = replace(
        geometry,
        original=size,
        scale=(geometry.scale[0] / x, geometry.scale[1] / y),
        visible=(left * x, top * y, right * x, bottom * y),
    )
    laid = render.on_original(values, on_canvas)
    return render.colourise(laid, style=style, limit=limit)


def assert_same_drawing(shown: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """Colours are compared where they can be seen: a canvas stores them times their opacity."""
    np.testing.assert_allclose(
        shown[..., 3].astype(int), expected[..., 3].astype(int), atol=ONE_SHADE
    )
    strong = expected[..., 3] > 100
    np.testing.assert_allclose(
        shown[strong].astype(int), expected[strong].astype(int), atol=ONE_SHADE
    )


def own_limit(picture: PictureEvidence) -> float:
    return render.limit(entry.map for entry in picture.classes)


def test_boxes_lie_where_they_are(show: Open) -> None:
    """In half the picture's width, a quarter of its height; the largest with the class's name."""
    picture = cat(names=("<b>cat</b>", "tabby", "lynx"))
    width, height = picture.image.size
    boxes = ((0.0, 0.0, width / 2, height / 4), (width / 2, height / 2, width, height))
    found = tuple(Region(box, 1.0, 0.5, (), picture.image.size) for box in boxes)
    first = replace(picture.classes[0], regions=found)
    page = show([replace(picture, classes=(first, *picture.classes[1:]))])
    labels = page.locator("#picture-0 .box")
    expect(labels).to_have_text(["2", "<b>cat</b>"])
    stage, box = (
        page.locator(f"#picture-0 {part}").last.bounding_box() for part in (".stage", ".box")
    )
    assert stage is not None
    assert box is not None
    shares = [box["width"] / stage["width"], box["height"] / stage["height"]]
    assert shares == pytest.approx([0.5, 0.25], abs=0.01)
    row(page, "tabby").click()
    expect(labels).to_have_count(0)
    row(page, "cat").first.click()
    expect(labels).to_have_count(2)
    page.locator("#picture-0 select").select_option("1")
    expect(labels).to_have_count(0)  # nobody looked for boxes of a difference


def row(page: Page, name: str, picture: int = 0) -> Locator:
    return page.locator(f"#picture-{picture} .row").filter(has_text=name)


def size_of(image: NDArray[np.uint8]) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def cell_centre(page: Page, geometry: Geometry, cell: tuple[int, int]) -> tuple[float, float]:
    """Where a cell's centre lies on the screen."""
    box = page.locator("#picture-0 .stage").bounding_box()
    assert box is not None
    prepared = [(cell[1] + 0.5) / GRID * geometry.prepared[0]]
    prepared.append((cell[0] + 0.5) / GRID * geometry.prepared[1])
    x, y = geometry.to_original([prepared])[0]
    shown_x = box["x"] + x / geometry.original[0] * box["width"]
    return shown_x, box["y"] + y / geometry.original[1] * box["height"]


def test_the_first_map_is_drawn_as_python_draws_it(show: Open) -> None:
    picture = cat()
    shown = pixels(show([picture]))
    expected = drawn_by_python(
        picture.classes[0].map, picture.geometry, size_of(shown), limit=own_limit(picture)
    )
    assert_same_drawing(shown, expected)


def test_a_mirrored_padded_input_is_drawn_where_it_was(show: Open) -> None:
    image = cat().image
    geometry = Geometry.identity(image.size).resize((224, 149)).pad(0, 37, 0, 38).flip()
    picture = replace(cat(), geometry=geometry)
    page = show([picture])
    page.get_by_text("For and against", exact=True).click()
    shown = pixels(page)
    expected = drawn_by_python(
        picture.classes[0].map, geometry, size_of(shown), limit=own_limit(picture), style="signed"
    )
    assert_same_drawing(shown, expected)


def test_the_hottest_pixel_lies_in_the_hottest_cell(show: Open) -> None:
    picture = cat()
    shown = pixels(show([picture]))
    hottest = np.argwhere(shown[..., 3] == shown[..., 3].max()).mean(axis=0) + 0.5
    share = hottest[::-1] / size_of(shown)
    prepared = picture.geometry.to_prepared(share * picture.geometry.original)
    column, row_ = np.floor(prepared / 224 * GRID)
    assert (row_, column) == (1, 5)


def test_a_map_without_positive_evidence_draws_nothing_until_it_is_signed(show: Open) -> None:
    page = show([cat()])
    row(page, "lynx").click()
    assert pixels(page).max() == 0
    expect(page.locator(".readout")).to_have_text("No cell speaks for this class")
    page.get_by_text("For and against", exact=True).click()
    strongest = pixels(page).reshape(-1, 4)
    red, _, blue, _ = strongest[strongest[:, 3].argmax()]
    assert blue > red


def test_pointing_at_a_class_shows_it_and_leaving_brings_the_chosen_one_back(show: Open) -> None:
    page = show([cat()])
    before = pixels(page)
    row(page, "tabby").hover()
    assert (pixels(page) != before).any()
    page.mouse.move(5, 5)
    np.testing.assert_array_equal(pixels(page), before)


def test_arrow_keys_choose_a_class(show: Open) -> None:
    picture = cat()
    page = show([picture])
    page.locator("#picture-0 .stage").focus()
    page.keyboard.press("Tab")
    expect(row(page, "Egyptian cat").locator("input")).to_be_focused()
    page.keyboard.press("ArrowDown")
    shown = pixels(page)
    expected = drawn_by_python(
        picture.classes[1].map, picture.geometry, size_of(shown), limit=own_limit(picture)
    )
    assert_same_drawing(shown, expected)


def test_only_the_picture(show: Open) -> None:
    page = show([cat()])
    page.get_by_text("Only the picture").click()
    expect(page.locator("#picture-0 .map")).to_have_attribute("width", "0")
    expect(page.locator("#picture-0 .scale")).to_be_hidden()


def test_the_pointer_reads_the_evidence_of_its_cell(show: Open) -> None:
    picture = cat()
    page = show([picture])
    for cell in [(1, 5), (4, 2), (6, 6)]:
        page.mouse.move(*cell_centre(page, picture.geometry, cell))
        value = float(picture.classes[0].map[cell])
        text = page.locator(".readout").inner_text()
        amount, where = re.fullmatch(r"([+−][\d.]+) logits in (.*)", text).groups()  # type: ignore[union-attr]
        assert float(amount.replace("−", "-")) == pytest.approx(value, rel=5e-3)
        assert where == f"row {cell[0] + 1}, column {cell[1] + 1}"
        frame, box = (
            page.locator(f"#picture-0 .{part}").bounding_box() for part in ("stage", "cell")
        )
        assert frame is not None
        assert box is not None
        x, y = cell_centre(page, picture.geometry, cell)
        assert box["x"] + box["width"] / 2 == pytest.approx(x, abs=1)
        assert box["y"] + box["height"] / 2 == pytest.approx(y, abs=1)
    page.mouse.move(5, 5)
    expect(page.locator(".readout")).to_contain_text("Strongest: +38.0 logits in row 2, column 6")
    expect(page.locator("#picture-0 .cell")).to_be_hidden()


def test_arrow_keys_read_the_map(show: Open) -> None:
    page = show([cat()])
    stage, readout = page.locator("#picture-0 .stage"), page.locator(".readout")
    stage.press("ArrowLeft")  # begins in the strongest cell
    expect(readout).to_contain_text("in row 2, column 6")
    stage.press("ArrowLeft")
    stage.press("ArrowDown")
    expect(readout).to_contain_text("in row 3, column 5")
    stage.press("Escape")
    expect(readout).to_contain_text("Strongest")


def test_opacity(show: Open) -> None:
    page = show([cat()])
    canvas = page.locator("#picture-0 .map")
    expect(canvas).to_have_css("opacity", "0.7")
    page.locator("#opacity").fill("25")
    expect(canvas).to_have_css("opacity", "0.25")


def test_comparing_gives_the_numbers_that_python_gives(show: Open) -> None:
    picture = cat()
    first, second, third = picture.classes
    page = show([picture])
    page.get_by_label("Compare with").select_option("tabby")
    terms, certificate = (
        row(page, "Egyptian cat").locator(f".{x}") for x in ("terms", "certificate")
    )
    margin, evidence = first.logit - second.logit, first.evidence - second.evidence
    digits = decimals(margin, evidence)
    expect(terms).to_have_text(
        f"margin {number(margin, digits)} = evidence {number(evidence, digits)} + bias −0.460"
    )
    expect(certificate).to_have_text("adds up to 5e-06")
    expect(row(page, "tabby").locator("input")).to_be_disabled()
    shown = pixels(page)
    limit = render.limit([first.map - second.map, third.map - second.map])
    expected = drawn_by_python(
        first.map - second.map, picture.geometry, size_of(shown), limit=limit
    )
    assert_same_drawing(shown, expected)
    page.get_by_label("Compare with").select_option("nothing")
    expect(certificate).to_have_text("adds up to 2e-06")
    expect(terms).to_contain_text("logit ")


def test_comparing_with_the_chosen_class_moves_the_choice(show: Open) -> None:
    page = show([cat()])
    page.get_by_label("Compare with").select_option("Egyptian cat")
    expect(row(page, "tabby").locator("input")).to_be_checked()


def test_one_scale_for_all_pictures(show: Open) -> None:
    faint = class_evidence(0, "faint", hill(3, 3, height=4.0, ground=0.0))
    page = show([cat(), replace(cat("faint.png"), classes=(faint,))])
    second = page.locator("#picture-1")
    second.scroll_into_view_if_needed()
    ticks = second.locator(".ticks")
    expect(ticks).to_have_text("02.004.00 logits")
    own = pixels(page, "#picture-1 .map")[..., 3].max()
    page.get_by_label("One scale for all pictures").check()
    expect(ticks).to_have_text(f"0{own_limit(cat()) / 2:.1f}{own_limit(cat()):.1f} logits")
    assert pixels(page, "#picture-1 .map")[..., 3].max() < own / 2


def test_find_by_class_and_path(show: Open) -> None:
    dog = class_evidence(0, "Old English sheepdog", hill(3, 3))
    pictures = [cat("home/a.png"), cat("away/b.png"), replace(cat("home/c.png"), classes=(dog,))]
    page = show(pictures)
    expect(page.locator("article:visible")).to_have_count(3)
    page.get_by_label("Find a class or a path").fill("HOME egyptian")
    expect(page.locator("article:visible")).to_have_count(1)
    expect(page.locator("#found")).to_have_text("1 of 3 pictures")
    page.get_by_label("Find a class or a path").fill("")
    expect(page.locator("article:visible")).to_have_count(3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(show: Open, scheme: str) -> None:
    long = "a" * 300 + ".png"
    page = show(
        [cat(long, names=("x" * 120, "tabby", "lynx"))],
        viewport=PHONE,
        is_mobile=True,
        has_touch=True,
        color_scheme=scheme,
    )
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths == [360, 360]
    row(page, "tabby").tap()
    expect(row(page, "tabby").locator("input")).to_be_checked()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(250, 249, 246)") is (scheme == "light")


def test_hostile_names_do_not_run(show: Open) -> None:
    page = show([cat(HOSTILE, names=("</script><script>alert(1)</script>", "<b>", '"'))])
    expect(page.locator("h2")).to_have_text(HOSTILE)
    assert page.locator("img").count() == 1
    page.get_by_label("Compare with").select_option("<b>")
    assert pixels(page)[..., 3].max() > 0


def test_markup_put_into_the_page_would_not_run_either(browser: Browser, tmp_path: Path) -> None:
    path = write_report(tmp_path / "report.html", [cat()], title="Cats", model="net")
    text = path.read_text(encoding="utf-8")
    attack = "<img src=x onerror='document.title=1'><script>document.title=2</script>"
    path.write_text(text.replace("<main>", f"<main>{attack}"), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    expect(page.locator("#controls")).to_be_visible()
    assert page.title() == "Cats"
    page.context.close()


def test_two_hundred_pictures_draw_only_what_is_near(show: Open) -> None:
    small = replace(cat(), image=cat().image.resize((96, 64)), geometry=Geometry.identity((96, 64)))
    page = show([replace(small, path=f"{index}.png") for index in range(200)])
    assert pixels(page)[..., 3].max() > 0
    drawn = "views.filter((view) => view.evidence !== null).length"
    assert 1 <= page.evaluate(drawn) <= 10
    page.locator("#picture-199").scroll_into_view_if_needed()
    assert pixels(page, "#picture-199 .map")[..., 3].max() > 0
    expect(page.locator("#picture-0 .map")).to_have_attribute("width", "0")
    assert page.evaluate(drawn) <= 40


def test_without_scripts_the_numbers_are_there(show: Open) -> None:
    page = show([cat()], java_script_enabled=False)
    expect(page.locator("noscript")).to_be_visible()
    expect(row(page, "Egyptian cat")).to_contain_text("62.1")
    expect(page.locator("#controls")).to_be_hidden()
