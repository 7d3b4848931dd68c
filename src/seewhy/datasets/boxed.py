"""Pictures with a class and the true boxes of its objects: from Parquet, or COCO's JSON.

Rows that cannot be used are no reason to stop: they are left out, and each is named with what is
wrong. Boxes are half-open x0, y0, x1, y1 in pixels of the picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from PIL.Image import Image

from seewhy import images
from seewhy.datasets.parquet import Table, open_file
from seewhy.datasets.split import Rows
from seewhy.errors import DataError, ImageError
from seewhy.wording import complaint, first_few

Boxes = Float64[NDArray[np.float64], "m 4"]

BOXES = ("boxes", "bboxes", "bbox", "box")  # the first of these columns that a file has is taken


@dataclass(frozen=True)
class Item:
    """One class in one picture.

    Attributes:
        row: where the picture lies in the source.
        label: the class, by number.
        boxes: of its objects, (m, 4).
    """

    row: int
    label: int
    boxes: Boxes


@dataclass(frozen=True, eq=False, repr=False)
class Boxed:
    """Pictures with true boxes, read only when asked for.

    Attributes:
        name: what they are called, from their path.
        class_names: by label; None where labels are numbers of the model's own classes.
        source: where the pictures lie.
        items: one for each picture and class.
        skipped: one line for each row that was left out.
    """

    name: str
    class_names: tuple[str, ...] | None
    source: Rows
    items: tuple[Item, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Boxed({self.name!r}, {len(self):,} items, {len(self.skipped):,} left out)"

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each item, (N,)."""
        return np.array([item.label for item in self.items], dtype=np.int64)

    def name_of(self, index: int) -> str:
        """What to call an item's picture: its path, or its file and row."""
        return self.source.name_of(self.items[index].row)

    def image(self, index: int) -> Image:
        """Read one picture, upright and RGB, and see that each of its boxes lies in it.

        Raises:
            ImageError: it is missing or damaged.
            DataError: a box lies outside of it.
        """
        name, item = self.name_of(index), self.items[index]
        try:
            picture = images.read(self.source.picture(item.row))
        except ImageError as problem:
            wanted, got, fix = problem.expected, problem.got, problem.fix
            raise ImageError(name, expected=wanted, got=got, fix=fix) from problem
        beyond = _beyond(item.boxes, picture)
        if beyond is not None:
            raise DataError(
                name,
                expected=f"boxes within {picture.width} x {picture.height} pixels",
                got=_text(beyond),
                fix="correct the row; boxes are x0, y0, x1, y1 in the picture's own pixels",
            )
        return picture


def load_boxes(path: str | Path, *, pictures: str | Path | None = None) -> Boxed:
    """Find pictures with true boxes; no picture is decoded yet.

    Args:
        path: a Parquet file with a column of pictures, one of labels, and one of lists of boxes
            x0, y0, x1, y1, called "boxes" or "bbox"; or a JSON file as COCO has it.
        pictures: the folder of the pictures that the JSON file names; its own by default.

    Raises:
        DataError: there is nothing of the kind, or no row of it can be used.
        MissingExtraError: pyarrow is needed and not installed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise _unusable(path, "a folder" if path.is_dir() else "nothing there")
    if path.suffix == ".parquet":
        made = _from_parquet(path)
    elif path.suffix == ".json":
        made = _from_coco(path, path.parent if pictures is None else Path(pictures).expanduser())
    else:
        raise _unusable(path, "a file of another kind")
    if not made.items:
        got = (
            f"none ({len(made.skipped):,} left out: {made.skipped[0]})" if made.skipped else "none"
        )
        fix = "check the boxes and the labels"
        raise DataError(f"data {path}", expected="pictures with boxes", got=got, fix=fix)
    return made


def _from_parquet(path: Path) -> Boxed:
    file = open_file(path)
    table = Table([file])
    columns = file.reader.schema_arrow.names
    column = next((name for name in BOXES if name in columns), None)
    if column is None:
        raise DataError(
            f"data {path}",
            expected=f"a column of boxes, called {' or '.join(BOXES[:3])}",
            got=f"columns {first_few(columns, count=6)}",
            fix="rename the column",
        )
    labels = file.labels.to_pylist()
    every = file.reader.read(columns=[column]).column(0).to_pylist()
    items: list[Item] = []
    skipped = []
    for row, (label, boxes) in enumerate(zip(labels, every, strict=True)):
        try:
            items.append(_item(table.name_of(row), row, label, boxes, file.declared))
        except DataError as problem:
            skipped.append(str(problem))
    return Boxed(path.stem, file.declared, table, tuple(items), tuple(skipped))


def _item(name: str, row: int, label: Any, boxes: Any, names: Sequence[str] | None) -> Item:
    """A row whose label and boxes make sense.

    Raises:
        DataError: they make none.
    """
    if isinstance(label, str) and names:
        label = names.index(label) if label in names else label
    is_number = isinstance(label, int | float) and label >= 0 and label == int(label)
    if not is_number or (names and label >= len(names)):
        expected = f"a label from 0 to {len(names) - 1}" if names else "a class number"
        raise DataError(name, expected=expected, got=f"{label!r}", fix="correct the row")
    return Item(row, int(label), checked_boxes(name, boxes))


def checked_boxes(name: str, boxes: Any) -> Boxes:
    """The boxes x0, y0, x1, y1 of a row, (m, 4).

    Raises:
        DataError: there are none, or they are none.
    """
    try:
        corners = np.asarray([] if boxes is None else boxes, dtype=np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        corners = np.full((1, 4), np.nan)
    if not len(corners):
        got = "none"
    elif not bool(np.isfinite(corners).all()):
        got = f"{boxes!r:.60}"
    elif bool((corners[:, 2:] <= corners[:, :2]).any()):
        got = _text(corners[(corners[:, 2:] <= corners[:, :2]).any(1)][0])
    else:
        return corners
    expected = "boxes x0, y0, x1, y1 with x0 < x1 and y0 < y1"
    raise DataError(name, expected=expected, got=got, fix="correct the row")


def _beyond(boxes: Boxes, picture: Image) -> NDArray[np.float64] | None:
    """The first box that has nothing in the picture, or reaches more than a pixel out of it."""
    width, height = picture.size
    limits = np.array([width, height, width, height], dtype=np.float64)
    outside = (boxes[:, :2] >= limits[:2]).any(1) | (boxes[:, 2:] <= 0).any(1)
    outside |= (boxes < -1).any(1) | (boxes > limits + 1).any(1)
    return boxes[outside][0] if outside.any() else None


class _Files:
    """Pictures that are files of a folder."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names

    def name_of(self, row: int) -> str:
        """Its path below the folder."""
        return self.names[row]

    def picture(self, row: int) -> Path:
        """Its path."""
        return self.folder / self.names[row]


def _from_coco(path: Path, folder: Path) -> Boxed:
    document = read_document(path)
    try:
        categories = sorted(document["categories"], key=lambda each: int(each["id"]))
        number_of = {each["id"]: number for number, each in enumerate(categories)}
        row_of = {each["id"]: row for row, each in enumerate(document["images"])}
        files = _Files(folder, [str(each["file_name"]) for each in document["images"]])
        names = tuple(str(each["name"]) for each in categories)
        grouped = grouped_boxes(document["annotations"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise DataError(
            f"data {path}",
            expected="images, annotations and categories, as COCO has them",
            got=f"something else ({complaint(problem)})",
            fix="write it in COCO's form",
        ) from problem
    items: list[Item] = []
    skipped = []
    for (image, category), boxes in grouped.items():
        row = row_of.get(image)
        name = f"{path.name} image {image}" if row is None else files.name_of(row)
        try:
            items.append(_coco_item(name, row, number_of.get(category, category), boxes, names))
        except DataError as problem:
            skipped.append(str(problem))
    with_boxes = {item.row for item in items}
    skipped += [_without(files.name_of(row)) for row in row_of.values() if row not in with_boxes]
    return Boxed(path.stem, names, files, tuple(items), tuple(dict.fromkeys(skipped)))


def _coco_item(name: str, row: int | None, label: Any, boxes: Any, names: Sequence[str]) -> Item:
    if row is None:
        fix = "correct the annotation"
        raise DataError(name, expected="one of the file's images", got="no such", fix=fix)
    return _item(name, row, label, boxes, names)


def _without(name: str) -> str:
    fix = "annotate it, or take it out"
    return str(DataError(name, expected="boxes that can be used", got="none", fix=fix))


def read_document(path: Path) -> Any:
    """Read a file of JSON.

    Raises:
        DataError: it is none.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        got, fix = complaint(problem), "write it anew"
        raise DataError(f"data {path}", expected="JSON", got=got, fix=fix) from problem


def grouped_boxes(annotations: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, Any], list[Any]]:
    """The boxes of each picture and category; COCO's x, y, width, height become corners."""
    grouped: dict[tuple[Any, Any], list[Any]] = {}
    for each in annotations:
        of = grouped.setdefault((each["image_id"], each["category_id"]), [])
        of.append(list(_corners(each["bbox"])))
    return grouped


def _corners(box: Sequence[Any]) -> Iterator[float]:
    x, y, width, height = map(float, box)
    yield from (x, y, x + width, y + height)


def _text(box: NDArray[np.float64]) -> str:
    return "[" + ", ".join(f"{side:g}" for side in box.tolist()) + "]"


def _unusable(path: Path, got: str) -> DataError:
    return DataError(
        f"data {path}",
        expected="a .parquet file with boxes, or a .json file in COCO's form",
        got=got,
        fix="check the path",
    )
