"""Pictures with true boxes: what is read, and what is said of rows that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tests.datasets.making import encoded

from seewhy import DataError, ImageError
from seewhy.datasets.boxed import load_boxes


def table(path: Path, *rows: tuple[Any, Any], column: str = "boxes") -> Path:
    """A Parquet file with a picture of 32 x 24 pixels for each label and list of boxes."""
    pictures = [{"bytes": encoded(n, 32, 24), "path": None} for n in range(len(rows))]
    labels, boxes = [row[0] for row in rows], [row[1] for row in rows]
    columns = {
        "img": pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array(labels, pa.int64()),
        column: pa.array(boxes, pa.list_(pa.list_(pa.float64()))),
    }
    parquet.write_table(pa.table(columns), path)
    return path


def test_a_table_of_boxes(tmp_path: Path) -> None:
    file = table(tmp_path / "some.parquet", (3, [[1, 2, 30.5, 20]]), (7, [[0, 0, 9, 9]] * 2))
    data = load_boxes(file)
    assert (data.name, data.class_names, data.skipped) == ("some", None, ())
    assert data.labels.tolist() == [3, 7]
    assert data.items[0].boxes.tolist() == [[1, 2, 30.5, 20]]
    assert data.items[1].boxes.shape == (2, 4)
    assert data.image(1).size == (32, 24)
    assert data.name_of(1) == "some.parquet row 1"
    assert repr(data) == "Boxed('some', 2 items, 0 left out)"


BROKEN = {
    "no boxes": (1, [], "expected boxes x0, y0, x1, y1 with x0 < x1 and y0 < y1, got none"),
    "null": (1, None, "got none; correct the row"),
    "three numbers": (1, [[1, 2, 3]], "got [[1.0, 2.0, 3.0]]"),
    "corners swapped": (1, [[5, 5, 4, 6]], "got [5, 5, 4, 6]"),
    "NaN": (1, [[float("nan"), 5, 4, 6]], "got [[nan"),
    "a negative label": (-1, [[0, 0, 1, 1]], "expected a class number, got -1"),
    "no label": (None, [[0, 0, 1, 1]], "expected a class number, got None"),
}


@pytest.mark.parametrize(("label", "boxes", "said"), BROKEN.values(), ids=BROKEN)
def test_a_bad_row_is_one_line_and_left_out(
    tmp_path: Path, label: Any, boxes: Any, said: str
) -> None:
    data = load_boxes(table(tmp_path / "a.parquet", (0, [[0, 0, 9, 9]]), (label, boxes)))
    assert data.labels.tolist() == [0]
    (line,) = data.skipped
    assert line.startswith("a.parquet row 1: expected")
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize("box", [[32, 0, 40, 9], [-9, 0, -1, 9], [0, 0, 9, 26], [-2, 0, 9, 9]])
def test_a_box_outside_of_its_picture(tmp_path: Path, box: list[float]) -> None:
    data = load_boxes(table(tmp_path / "a.parquet", (0, [[0, 0, 9, 9], box])))
    with pytest.raises(DataError, match=r"a.parquet row 0: expected boxes within 32 x 24 pixels"):
        data.image(0)


def test_a_box_that_rounding_put_a_little_outside_is_one(tmp_path: Path) -> None:
    data = load_boxes(table(tmp_path / "a.parquet", (0, [[-0.4, 0, 32.6, 24.9]])))
    assert data.image(0).size == (32, 24)


def coco(folder: Path, **changes: Any) -> Path:
    for number in (1, 2, 3):
        (folder / f"{number}.png").write_bytes(encoded(number, 32, 24))
    document = {
        "images": [{"id": 10 * n, "file_name": f"{n}.png"} for n in (1, 2, 3)],
        "categories": [{"id": 9, "name": "owl"}, {"id": 4, "name": "cat"}],
        "annotations": [
            {"image_id": 10, "category_id": 9, "bbox": [1, 2, 10, 20]},
            {"image_id": 20, "category_id": 4, "bbox": [0, 0, 8, 8]},
            {"image_id": 20, "category_id": 9, "bbox": [8, 8, 8, 8]},
            {"image_id": 20, "category_id": 4, "bbox": [3, 3, 5, 5]},
        ],
    } | changes
    path = folder / "all.json"
    path.write_text(json.dumps(document))
    return path


def test_cocos_json_has_an_item_for_each_picture_and_category(tmp_path: Path) -> None:
    data = load_boxes(coco(tmp_path))
    assert data.class_names == ("cat", "owl")
    assert [(item.row, item.label, item.boxes.tolist()) for item in data.items] == [
        (0, 1, [[1, 2, 11, 22]]),
        (1, 0, [[0, 0, 8, 8], [3, 3, 8, 8]]),
        (1, 1, [[8, 8, 16, 16]]),
    ]
    assert data.skipped == (
        "3.png: expected boxes that can be used, got none; annotate it, or take it out",
    )
    assert data.image(2).size == (32, 24)


def test_its_pictures_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    file = coco(tmp_path / "photos").rename(tmp_path / "all.json")
    assert load_boxes(file, pictures=tmp_path / "photos").image(0).size == (32, 24)
    with pytest.raises(ImageError, match=r"1.png: expected a picture, got no such file"):
        load_boxes(file).image(0)


def test_annotations_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    wrong = [
        {"image_id": 99, "category_id": 9, "bbox": [1, 2, 10, 20]},
        {"image_id": 10, "category_id": 77, "bbox": [1, 2, 10, 20]},
        {"image_id": 20, "category_id": 9, "bbox": [1, 2, 10, 20]},
    ]
    data = load_boxes(coco(tmp_path, annotations=wrong))
    assert len(data) == 1
    assert data.skipped[:2] == (
        "all.json image 99: expected one of the file's images, got no such; correct the annotation",
        "1.png: expected a label from 0 to 1, got 77; correct the row",
    )


def test_what_is_nothing_of_the_kind(tmp_path: Path) -> None:
    other = tmp_path / "a.txt"
    other.write_text("no")
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    corners = table(tmp_path / "x.parquet", (0, [[0, 0, 1, 1]]), column="corners")
    empty = table(tmp_path / "y.parquet", (0, []))
    for path, said in (
        (tmp_path / "none.parquet", "got nothing there; check the path"),
        (tmp_path, "got a folder; check the path"),
        (other, "got a file of another kind; check the path"),
        (bad, "expected JSON, got JSONDecodeError"),
        (corners, "expected a column of boxes, called boxes or bboxes or bbox, got columns img, "),
        (empty, "expected pictures with boxes, got none (1 left out: y.parquet row 0: expected"),
    ):
        said_of(path, said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": 3}, "expected images, annotations and categories, as COCO has them"),
        ({"annotations": []}, "expected pictures with boxes, got none (3 left out: 1.png"),
    ],
)
def test_json_that_is_not_cocos(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    said_of(coco(tmp_path, **changes), said)


def said_of(path: Path, said: str) -> None:
    with pytest.raises(DataError) as caught:
        load_boxes(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
