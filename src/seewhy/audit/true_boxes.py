"""True boxes beside pictures: COCO's JSON, Pascal VOC's XML, or masks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from seewhy.audit.listing import UNKNOWN, Listing, unique
from seewhy.audit.names import BoxTable, Names
from seewhy.audit.places import Local, state_of_files
from seewhy.audit.true_masks import mask_boxes
from seewhy.datasets.boxed import checked_boxes, grouped_boxes, read_document
from seewhy.errors import DataError
from seewhy.wording import complaint

_MAX_XML = 2**20  # bytes

Found = dict[int, NDArray[np.floating[Any]]]


def of_coco(path: Path) -> Listing:
    """List the pictures of a COCO document; a picture whose boxes are all of one category has it.

    Raises:
        DataError: it is none.
    """
    document = read_document(path)
    names, boxes, category, classes = _coco(path, document)
    labels = np.array([category.get(row, UNKNOWN) for row in range(len(names))], dtype=np.int32)
    return Listing(
        str(path),
        unique(names),
        Local(str(path.parent), Names(names)),
        labels,
        classes,
        BoxTable.made(len(names), boxes),
        state_of_files(path.parent, names),
    )


def with_boxes(listing: Listing, path: Path) -> Listing:
    """The same with the boxes of a COCO document, or of a folder of VOC's files or masks.

    Boxes find their picture by its path below the data's root, or by its name alone.

    Raises:
        DataError: nothing there fits any picture, or a file of it cannot be used.
    """
    found = _from_folder(listing, path) if path.is_dir() else _from_coco(listing, path)
    if not found:
        raise DataError(
            f"boxes {path}",
            expected=f"boxes of pictures of {listing.source}",
            got="none that fit",
            fix="name the pictures there as they are called below the data's folder",
        )
    return replace(listing, boxes=BoxTable.made(len(listing), found))


def _from_coco(listing: Listing, path: Path) -> Found:
    names, boxes, _, _ = _coco(path, read_document(path))
    row_of = _rows_by_name(listing)
    pairs = ((_row(row_of, name), boxes.get(at)) for at, name in enumerate(names))
    return {row: each for row, each in pairs if row is not None and each is not None}


def _coco(
    path: Path, document: Mapping[str, Any]
) -> tuple[list[str], Found, dict[int, int], tuple[str, ...]]:
    """Names of the pictures, their boxes, their one category, and the names of the categories."""
    try:
        categories = sorted(document["categories"], key=lambda each: int(each["id"]))
        number_of = {each["id"]: number for number, each in enumerate(categories)}
        row_of = {each["id"]: row for row, each in enumerate(document["images"])}
        names = [str(each["file_name"]) for each in document["images"]]
        grouped = grouped_boxes(document["annotations"])
        parts: dict[int, list[Any]] = defaultdict(list)
        of: dict[int, set[int]] = defaultdict(set)
        for (image, category), boxes in grouped.items():
            parts[row_of[image]] += boxes
            of[row_of[image]].add(number_of[category])
        classes = tuple(str(each["name"]) for each in categories)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise DataError(
            f"boxes {path}",
            expected="images, annotations and categories, as COCO has them",
            got=f"something else ({complaint(problem)})",
            fix="write it in COCO's form",
        ) from problem
    found: Found = {row: checked_boxes(names[row], boxes) for row, boxes in parts.items()}
    return names, found, {row: min(s) for row, s in of.items() if len(s) == 1}, classes


def _from_folder(listing: Listing, folder: Path) -> Found:
    """Of each picture the boxes of the file there that has its name, but for the ending."""
    found: Found = {}
    for row in range(len(listing)):
        name, picture = PurePosixPath(listing.ids[row]), listing.pictures.path_of(row)
        annotation = _file(folder, name, ".xml", picture)
        mask = _file(folder, name, ".png", picture)
        if annotation is not None:
            found[row] = voc_boxes(annotation)
        elif mask is not None:
            found[row] = mask_boxes(mask, picture)
    return found


def _file(folder: Path, name: PurePosixPath, suffix: str, picture: str) -> Path | None:
    """The file of a picture, which is not the picture itself."""
    files = (folder / name.with_suffix(suffix), folder / f"{name.stem}{suffix}")
    there = (file for file in files if file.is_file() and not _is_same(file, picture))
    return next(there, None)


def _is_same(file: Path, picture: str) -> bool:
    return Path(picture).exists() and file.samefile(picture)


def voc_boxes(path: Path) -> NDArray[np.floating]:
    """The boxes (m, 4) of a file of Pascal VOC's; its pixels count from 1, and both ends belong.

    Raises:
        DataError: it is none.
    """
    try:
        content = path.read_bytes()
        if len(content) > _MAX_XML or b"<!ENTITY" in content:
            raise ValueError("a file that VOC has no use for")
        root = ET.fromstring(content)  # noqa: S314 -- no entities in it, see above
        boxes = [list(_sides(each)) for each in root.iter("bndbox")]
    except (OSError, ET.ParseError, ValueError, TypeError) as problem:
        raise DataError(
            f"boxes {path}",
            expected="an annotation as Pascal VOC has it",
            got=complaint(problem),
            fix="write it anew",
        ) from problem
    return checked_boxes(str(path), boxes)


def _sides(box: ET.Element) -> Iterator[float]:
    for name in ("xmin", "ymin", "xmax", "ymax"):
        yield float(box.findtext(name) or "nan") - (1 if name.endswith("min") else 0)


def _rows_by_name(listing: Listing) -> dict[str, int]:
    """The row of each picture by its id, and by its name alone where only one has it."""
    ids = list(listing.ids)
    short = [PurePosixPath(name).name for name in ids]
    count = Counter(short)
    alone = {name: row for row, name in enumerate(short) if count[name] == 1}
    return alone | {name: row for row, name in enumerate(ids)}


def _row(row_of: Mapping[str, int], name: str) -> int | None:
    return row_of.get(name, row_of.get(PurePosixPath(name).name))
