"""The written page, read as a file: no browser here."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest
from tests.handmade import cat, centre_crop, class_evidence, hill

from seewhy import render
from seewhy.errors import InputError
from seewhy.geometry import Geometry
from seewhy.report import write_report
from seewhy.report.markup import hash_source
from seewhy.results import PictureEvidence, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>猫.png"
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """The elements of a page, each with its attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[dict[str, str]] = []
        self._open: list[dict[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = {"tag": tag, "text": "", **{name: value or "" for name, value in attrs}}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "rect"} or self._open[-1]["tag"] == tag:
            assert self._open.pop()["tag"] == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element["text"] += data

    def all(self, tag: str, class_: str | None = None) -> list[dict[str, str]]:
        tagged = [element for element in self.elements if element["tag"] == tag]
        return [e for e in tagged if class_ is None or class_ in e.get("class", "").split()]

    def evidence(self) -> list[dict[str, Any]]:
        return [json.loads(script["text"]) for script in self.all("script", "evidence")]


def written(folder: Path, pictures: Sequence[PictureEvidence], **options: Any) -> Page:
    settings = {"title": "Title", "model": "net"} | options
    path = write_report(folder / "report.html", pictures, **settings)
    return Page(path.read_text(encoding="utf-8"))


def test_each_class_says_what_its_logit_is_made_of(tmp_path: Path) -> None:
    page = written(tmp_path, [cat()])
    entry = cat().classes[0]
    assert [row["text"].strip() for row in page.all("span", "name")] == [
        "Egyptian cat",
        "tabby",
        "lynx",
        "Only the picture",
    ]
    assert page.all("span", "probability")[0]["text"] == "62.1\N{NO-BREAK SPACE}%"
    assert page.all("rect")[0]["width"] == "62.10%"
    assert page.all("span", "terms")[0]["text"] == (
        f"logit {entry.logit:.2f} = evidence {entry.evidence:.2f} + bias −0.21"
    )
    assert page.all("span", "certificate")[0]["text"] == "adds up to 2e-06"


def test_the_heading_names_the_model_and_counts(tmp_path: Path) -> None:
    errors = [("a.jpg", "a.jpg: expected a picture"), ("b.jpg", "b.jpg: <b>")]
    page = written(tmp_path, [cat()], title="My <cats>", model="timm:resnet18", errors=errors)
    assert page.all("title")[0]["text"] == page.all("h1")[0]["text"] == "My <cats>"
    summary = page.all("p", "summary")[0]["text"]
    assert summary == "timm:resnet18 · 1 picture · 2 pictures could not be read"
    (section,) = page.all("section", "errors")
    assert section["text"].split("\n")[2:4] == [
        "a.jpg a.jpg: expected a picture",
        "b.jpg b.jpg: <b>",
    ]


def test_without_errors_there_is_no_list_of_errors(tmp_path: Path) -> None:
    assert written(tmp_path, [cat()]).all("section") == []


def test_maps_and_numbers_survive_exactly(tmp_path: Path) -> None:
    picture = cat()
    (data,) = written(tmp_path, [picture]).evidence()
    assert data["grid"] == [7, 7]
    assert Geometry.from_json(data["geometry"]) == picture.geometry
    for stored, entry in zip(data["classes"], picture.classes, strict=True):
        values = np.frombuffer(base64.b64decode(stored.pop("map")), dtype="<f4").reshape(7, 7)
        np.testing.assert_array_equal(values, entry.map)
        assert stored == {name: getattr(entry, name) for name in stored}
        assert len(stored) == 10


def test_the_scale_is_that_of_all_classes_of_a_picture(tmp_path: Path) -> None:
    (article,) = written(tmp_path, [cat()]).all("article")
    assert float(article["data-limit"]) == render.limit(entry.map for entry in cat().classes)


def test_numbers_that_are_none_are_null_and_said_so(tmp_path: Path) -> None:
    values = np.full((7, 7), np.nan, dtype=np.float32)
    picture = PictureEvidence(
        "x.png",
        PIL.Image.new("RGB", (8, 8)),
        Geometry.identity((8, 8)),
        (class_evidence(0, "none", values, probability=math.nan, certificate=math.nan),),
    )
    page = written(tmp_path, [picture])
    (stored,) = page.evidence()[0]["classes"]
    assert (stored["logit"], stored["certificate"]) == (None, None)
    assert page.all("span", "certificate")[0]["text"] == "not shown to add up"
    assert page.all("article")[0]["data-limit"] == "0.0"


def test_the_decision_is_told_where_it_is_not_among_the_classes(tmp_path: Path) -> None:
    def facts(name: str) -> str:
        picture = replace(cat(), predicted=Prediction(name, 0.9))
        write_report(tmp_path / "page.html", [picture], model="net")
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        return page.partition('<p class="facts">')[2].partition("</p>")[0]

    assert "predicted: <bdi>&lt;b&gt;emu</bdi> 90.0\N{NO-BREAK SPACE}%" in facts("<b>emu")
    assert "predicted" not in facts("tabby")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    names = (HOSTILE, "</script><script>alert(3)</script>", "猫 & \u2028 <b>")
    errors = [(HOSTILE, HOSTILE)]
    picture = cat(HOSTILE, names=names)
    page = written(tmp_path, [picture], title=HOSTILE, model=HOSTILE, errors=errors)
    assert page.all("h2")[0]["text"] == page.all("h1")[0]["text"] == HOSTILE
    assert [entry["name"] for entry in page.evidence()[0]["classes"]] == list(names)
    assert [option["text"] for option in page.all("option")][:3] == ["nothing", *names[:2]]
    assert len(page.all("img")) == 1
    assert len(page.all("script")) == 3  # palettes, one picture, the program
    assert page.all("b") == []
    assert not any(name.startswith("on") for element in page.elements for name in element)


def test_an_undecodable_file_name_can_be_written(tmp_path: Path) -> None:
    assert written(tmp_path, [cat("\udcff.png")]).all("h2")[0]["text"] == "\\udcff.png"


def test_dollar_signs_are_not_placeholders(tmp_path: Path) -> None:
    picture = cat("$path ${index}.png", names=("$name", "<!-- pictures -->", "$$"))
    page = written(tmp_path, [picture], title="$script <!-- pictures -->")
    assert page.all("h1")[0]["text"] == "$script <!-- pictures -->"
    assert page.all("h2")[0]["text"] == "$path ${index}.png"


def test_the_policy_allows_this_script_and_style_and_nothing_else(tmp_path: Path) -> None:
    page = written(tmp_path, [cat()])
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src '{hash_source(page.all('style')[0]['text'])}'",
        f"script-src '{hash_source(page.all('script')[-1]['text'])}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_nothing_refers_to_anything_outside(tmp_path: Path) -> None:
    page = written(tmp_path, [cat()])
    targets = [e[name] for e in page.elements for name in ("src", "href") if name in e]
    assert targets
    assert all(target.startswith(("data:", "#")) for target in targets)
    assert not re.search(r"url\(|@import|https?:", page.all("style")[0]["text"])


def embedded(page: Page) -> PIL.Image.Image:
    kind, data = page.all("img")[0]["src"].split(";base64,")
    image = PIL.Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == f"data:image/{str(image.format).lower()}"
    return image


@pytest.mark.parametrize(
    ("size", "kind", "stored"),
    [
        ((32, 32), "PNG", (32, 32)),
        ((451, 300), "JPEG", (451, 300)),
        ((4000, 3000), "JPEG", (1024, 768)),
        ((20, 5000), "JPEG", (4, 1024)),
    ],
)
def test_pictures_are_embedded_small(
    tmp_path: Path, size: tuple[int, int], kind: str, stored: tuple[int, int]
) -> None:
    entry = class_evidence(0, "grey", hill(3, 3))
    image = PIL.Image.new("RGB", size, (90, 120, 30))
    page = written(tmp_path, [PictureEvidence("p", image, centre_crop(size), (entry,))])
    found = embedded(page)
    assert (found.format, found.size) == (kind, stored)
    pixel = found.convert("RGB").getpixel((1, 1))
    assert pixel == pytest.approx((90, 120, 30), abs=3)
    assert max(int(page.all("img")[0][side]) for side in ("width", "height")) == 640


def test_what_the_network_never_saw_is_marked(tmp_path: Path) -> None:
    page = written(tmp_path, [cat()])
    left, top, right, bottom = cat().geometry.visible
    dim, edge = (path["d"] for path in page.all("path"))
    seen = f"M{left:.2f} {top:.2f}V{bottom:.2f}H{right:.2f}V{top:.2f}Z"
    assert (dim, edge) == (f"M0 0H451V300H0Z{seen}", seen)
    # 224 / 256 of the shorter side, squared, of a picture 451 by 300.
    assert "the network saw 51\N{NO-BREAK SPACE}% of it" in page.all("p", "facts")[0]["text"]


def test_a_picture_seen_whole_has_no_mark(tmp_path: Path) -> None:
    image = PIL.Image.new("RGB", (32, 32))
    entry = class_evidence(0, "grey", hill(3, 3))
    picture = PictureEvidence("p", image, Geometry.identity((32, 32)), (entry,))
    assert written(tmp_path, [picture]).all("path") == []


def test_evidence_against_a_class_is_a_margin_and_offers_no_other(tmp_path: Path) -> None:
    page = written(tmp_path, [cat(against="dog <b>")])
    assert page.all("span", "terms")[0]["text"].startswith("margin ")
    assert page.all("p", "facts")[0]["text"].endswith("against dog <b>")
    assert page.all("select") == []


def test_a_page_without_pictures_or_classes(tmp_path: Path) -> None:
    bare = PictureEvidence("p", PIL.Image.new("RGB", (9, 9)), Geometry.identity((9, 9)), ())
    assert written(tmp_path, []).all("article") == []
    assert written(tmp_path, [bare]).evidence()[0]["grid"] == [0, 0]


def test_maps_of_two_shapes_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    pair = (class_evidence(0, "a", hill(0, 0)), class_evidence(1, "b", hill(0, 0)[:3]))
    picture = PictureEvidence("p.png", PIL.Image.new("RGB", (9, 9)), centre_crop((9, 9)), pair)
    with pytest.raises(InputError) as caught:
        written(tmp_path, [picture])
    assert str(caught.value) == (
        "p.png: expected maps of one shape (rows, columns), got (3, 7), (7, 7); "
        "put only pictures with two-dimensional maps into a report"
    )
    assert list(tmp_path.iterdir()) == []


def test_same_input_same_bytes(tmp_path: Path) -> None:
    one, other = (
        write_report(tmp_path / name, [cat()], title="t", model="m").read_bytes()
        for name in ("one.html", "other.html")
    )
    assert one == other
