"""Boxes as files that other tools read: COCO JSON and Pascal VOC XML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from seewhy._version import __version__
from seewhy.results import finite

if TYPE_CHECKING:
    from seewhy.geometry import Box, Pair, Size
    from seewhy.regions import Region
    from seewhy.results import ClassEvidence

# What XML 1.0 cannot hold, not even escaped.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Annotated:
    """A picture with what was found on it.

    Attributes:
        path: where it lies, or its name.
        size: its (width, height), upright.
        classes: with their regions.
    """

    path: str
    size: Size
    classes: Sequence[ClassEvidence]

    def found(self) -> Iterable[tuple[ClassEvidence, Region]]:
        """Each region with its class, in order."""
        return ((entry, region) for entry in self.classes for region in entry.regions or ())


def coco(pictures: Sequence[Annotated]) -> dict[str, object]:
    """Boxes as a COCO data set: a dict for `json.dump`, which pycocotools reads.

    Pictures and boxes are numbered from 1; a category's id is the class's index in the model.
    `bbox` is x, y, width, height in pixels of the upright original; `segmentation` the outline,
    `area` what is in it. Beside what COCO asks for, each box has its class's probability as
    `score`, and its `peak` and `share`, see `Region`.

    Args:
        pictures: what was found.

    Source:
        cocodataset.org/#format-data, object detection.
    """
    entries = {entry.id: entry.name for each in pictures for entry in each.classes}
    found = [
        (number, entry, region)
        for number, picture in enumerate(pictures, 1)
        for entry, region in picture.found()
    ]
    return {
        "info": {"description": f"boxes of evidence, made by seewhy {__version__}"},
        "licenses": [],
        "images": [
            {
                "id": number,
                "file_name": encodable(picture.path),
                "width": picture.size[0],
                "height": picture.size[1],
            }
            for number, picture in enumerate(pictures, 1)
        ],
        "annotations": [_annotation(number, *each) for number, each in enumerate(found, 1)],
        "categories": [
            {"id": class_id, "name": encodable(name), "supercategory": ""}
            for class_id, name in sorted(entries.items())
        ],
    }


def _annotation(
    number: int, picture: int, entry: ClassEvidence, region: Region
) -> dict[str, object]:
    x0, y0, x1, y1 = region.box
    return {
        "id": number,
        "image_id": picture,
        "category_id": entry.id,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": _area(region.outline),
        "segmentation": [[side for point in region.outline for side in point]],
        "iscrowd": 0,
        "score": finite(entry.probability),
        "peak": finite(region.peak),
        "share": finite(region.share),
    }


def _area(outline: Sequence[Pair]) -> float:
    """The area within a polygon, by the shoelace formula: COCO's is that of the segmentation."""
    around = zip(outline, (*outline[1:], *outline[:1]), strict=True)
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in around)) / 2


def voc(picture: Annotated) -> bytes:
    """Boxes of one picture as Pascal VOC XML.

    Pixels count from 1 and both ends belong to the box, as in VOC: a half-open box is widened to
    whole pixels, `xmin = floor(x0) + 1`, `xmax = ceil(x1)`.

    Args:
        picture: what was found.

    Source:
        Everingham et al., The PASCAL Visual Object Classes Challenge 2012 development kit.
    """
    root = ET.Element("annotation")
    folder, _, name = picture.path.replace("\\", "/").rpartition("/")
    _add(root, folder=folder, filename=name)
    _add(ET.SubElement(root, "source"), database=f"seewhy {__version__}")
    _add(ET.SubElement(root, "size"), width=picture.size[0], height=picture.size[1], depth=3)
    _add(root, segmented=0)
    for entry, region in picture.found():
        item = ET.SubElement(root, "object")
        _add(item, name=entry.name, pose="Unspecified", truncated=0, difficult=0)
        sides = _whole_pixels(region.box)
        _add(ET.SubElement(item, "bndbox"), **sides)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _whole_pixels(box: Box) -> dict[str, object]:
    x0, y0, x1, y1 = box
    low, high = (math.floor(side) + 1 for side in (x0, y0)), (math.ceil(side) for side in (x1, y1))
    return dict(zip(("xmin", "ymin", "xmax", "ymax"), (*low, *high), strict=True))


def _add(parent: ET.Element, **values: object) -> None:
    for tag, value in values.items():
        ET.SubElement(parent, tag).text = _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))


def encodable(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates, as in odd file names, are written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
