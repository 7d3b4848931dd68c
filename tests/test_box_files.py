"""COCO JSON and Pascal VOC XML: what their readers need is there, and nothing breaks out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from tests.handmade import class_evidence

from seewhy.box_files import Annotated, coco, voc
from seewhy.regions import Region

SIZE = (100, 50)
OUTLINE = ((1.5, 2.0), (11.25, 2.0), (11.25, 8.0), (1.5, 4.0))
HOSTILE = 'a <b> & "c" \x00\x1b\ud800 ]]> \u2603'


def found(name: str = "cat", count: int = 1, id_: int = 7) -> Any:
    region = Region((1.5, 2.0, 11.25, 8.0), 4.0, 0.5, OUTLINE, SIZE)
    entry = class_evidence(id_, name, np.ones((2, 2), np.float32), probability=0.75)
    return replace(entry, regions=(region,) * count)


def test_coco_has_what_its_readers_need() -> None:
    pictures = [
        Annotated("a/one.jpg", SIZE, [found(count=2), found("dog", id_=3)]),
        Annotated("two.jpg", SIZE, [found(count=0)]),
        Annotated("three.jpg", SIZE, [found()]),
    ]
    data: Any = json.loads(json.dumps(coco(pictures), allow_nan=False))
    assert set(data) == {"info", "licenses", "images", "annotations", "categories"}
    assert data["categories"] == [
        {"id": 3, "name": "dog", "supercategory": ""},
        {"id": 7, "name": "cat", "supercategory": ""},
    ]
    assert [(each["id"], each["file_name"]) for each in data["images"]] == [
        (1, "a/one.jpg"),
        (2, "two.jpg"),
        (3, "three.jpg"),
    ]
    assert data["images"][0] == {"id": 1, "file_name": "a/one.jpg", "width": 100, "height": 50}
    assert [each["id"] for each in data["annotations"]] == [1, 2, 3, 4]  # 0 trips pycocotools up
    assert [each["image_id"] for each in data["annotations"]] == [1, 1, 1, 3]
    assert data["annotations"][0] == {
        "id": 1,
        "image_id": 1,
        "category_id": 7,
        "bbox": [1.5, 2.0, 9.75, 6.0],
        "area": 39.0,  # 9.75 wide, 2 to 6 high
        "segmentation": [[1.5, 2.0, 11.25, 2.0, 11.25, 8.0, 1.5, 4.0]],
        "iscrowd": 0,
        "score": 0.75,
        "peak": 4.0,
        "share": 0.5,
    }


def test_coco_takes_odd_names_and_numbers() -> None:
    entry = replace(found(HOSTILE), probability=float("nan"))
    data: Any = json.loads(json.dumps(coco([Annotated("\udcff.jpg", SIZE, [entry])])).encode())
    assert data["annotations"][0]["score"] is None
    assert data["images"][0]["file_name"] == "\\udcff.jpg"


def test_voc_has_what_its_readers_need() -> None:
    root = ET.fromstring(voc(Annotated("a/b/one.jpg", SIZE, [found(count=2), found("dog")])))
    assert root.tag == "annotation"
    text = {path: root.findtext(path) for path in ("folder", "filename", "segmented")}
    assert text == {"folder": "a/b", "filename": "one.jpg", "segmented": "0"}
    size = root.find("size")
    assert size is not None
    assert {each.tag: each.text for each in size} == {"width": "100", "height": "50", "depth": "3"}
    objects = root.findall("object")
    assert [each.findtext("name") for each in objects] == ["cat", "cat", "dog"]
    for tag in ("pose", "truncated", "difficult"):
        assert objects[0].findtext(tag) is not None
    box = objects[0].find("bndbox")
    assert box is not None
    # columns 1.5 to 11.25 touch pixels 1 to 11, which VOC calls 2 to 12; rows 2 to 8 are 3 to 8
    assert {each.tag: each.text for each in box} == {
        "xmin": "2", "ymin": "3", "xmax": "12", "ymax": "8"
    }  # fmt: skip


def test_the_whole_picture_in_voc() -> None:
    whole = replace(found(), regions=(Region((0, 0, 100, 50), 1.0, 1.0, (), SIZE),))
    box = ET.fromstring(voc(Annotated("one.jpg", SIZE, [whole]))).find("object/bndbox")
    assert box is not None
    assert [each.text for each in box] == ["1", "1", "100", "50"]


@pytest.mark.parametrize("name", [HOSTILE, "</name><object>", "\ufffe", "\r\n"])
def test_names_stay_names(name: str) -> None:
    root = ET.fromstring(voc(Annotated(f"{name}.jpg", SIZE, [found(name)])))
    assert len(root.findall("object")) == 1
    assert "\x00" not in (root.findtext("object/name") or "")
    if name == HOSTILE:
        shown = 'a <b> & "c" \ufffd\ufffd\ufffd ]]> \u2603'
        assert root.findtext("object/name") == shown
