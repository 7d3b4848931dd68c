from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from tests.audit.materials import lay_out, picture
from tests.datasets.making import cifar10_files, encoded, pickled, write_files, write_parquet

from seewhy import images
from seewhy.audit import tables
from seewhy.audit.listing import UNKNOWN, Listing, unique, with_classes
from seewhy.audit.names import BoxTable, Names
from seewhy.audit.sources import list_pictures
from seewhy.datasets import parquet as groups
from seewhy.errors import DataError, ImageError, InputError

VOC = """<annotation><object><name>cat</name><bndbox>
<xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>20</ymax></bndbox></object></annotation>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "data", 6)


def names(listing: Listing) -> list[str]:
    return list(listing.ids)


def opened(listing: Listing) -> list[tuple[int, int]]:
    """The size of each picture, read."""
    sources = listing.pictures.read(range(len(listing)))
    return [(-1, -1) if isinstance(s, ImageError) else images.read(s).size for s in sources]


def test_a_folder_for_each_class(folder: Path) -> None:
    listing = list_pictures(folder)
    assert names(listing) == [
        *("cat/0000.png", "cat/0003.jpg", "dog/0001.jpg", "dog/0004.png"),
        *("owl/0002.jpg", "owl/0005.jpg"),
    ]
    assert listing.class_names == ("cat", "dog", "owl")
    assert listing.labels.tolist() == [0, 0, 1, 1, 2, 2]
    entry = listing.entry(2)
    assert (entry.path, entry.label_name) == (f"{folder}/dog/0001.jpg", "dog")
    assert opened(listing)[0] == (30, 20)
    assert repr(listing) == f"Listing('{folder}', 6 pictures, 6 with a label)"


def test_parts_are_no_classes(tmp_path: Path) -> None:
    lay_out(tmp_path / "data" / "train", 4)
    listing = list_pictures(tmp_path / "data")
    assert listing.class_names == ("cat", "dog", "owl")
    assert names(listing)[0] == "train/cat/0000.png"


def test_a_glob_and_a_file(folder: Path) -> None:
    globbed = list_pictures(f"{folder}/**/*.jpg")
    assert names(globbed) == ["cat/0003.jpg", "dog/0001.jpg", "owl/0002.jpg", "owl/0005.jpg"]
    assert names(list_pictures(folder / "cat" / "0000.png")) == ["0000.png"]


def test_parquet_in_several_files(tmp_path: Path) -> None:
    pictures = [encoded(number) for number in range(5)]
    write_parquet(tmp_path / "train-00000-of-00002.parquet", pictures[:3], [0, 1, 2])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [pictures[3], None], [0, -1])
    listing = list_pictures(tmp_path)
    assert names(listing)[2:4] == [
        "train-00000-of-00002.parquet#2",
        "train-00001-of-00002.parquet#0",
    ]
    assert listing.labels.tolist() == [0, 1, 2, 0, UNKNOWN]
    assert listing.class_names == ("cat", "dog", "owl")
    assert listing.entry(3).path == f"{tmp_path}/train-00001-of-00002.parquet#0"
    assert opened(listing) == [(32, 32)] * 4 + [(-1, -1)]
    again = pickle.loads(pickle.dumps(listing))
    assert opened(again) == opened(listing)
    assert again.fingerprint == listing.fingerprint


def test_of_parquet_two_row_groups_are_held_whatever_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_CACHE", 1)
    read: list[int] = []
    really = groups._read_group

    def reading(file: Any, number: int) -> Any:
        read.append(number)
        return really(file, number)

    monkeypatch.setattr(groups, "_read_group", reading)
    write_parquet(tmp_path / "some.parquet", [encoded(n) for n in range(12)], [0] * 12, group=4)
    pictures = list_pictures(tmp_path / "some.parquet").pictures
    for rows in ([0, 1], [3, 4], [2, 5], [3, 4]):  # two threads, where one group meets the next
        pictures.read(rows)
    assert read == [0, 1]
    pictures.read([8, 7, 8, 7])
    assert read == [0, 1, 2]
    pictures.read([0])
    assert read == [0, 1, 2, 0]  # the oldest was forgotten


def test_parquet_without_labels_but_with_boxes(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    boxes = [[[0.0, 1.0, 5.0, 6.0]], None, [[3.0, 3.0, 2.0, 2.0]]]
    table = pa.table({"image": [encoded(n) for n in range(3)], "boxes": boxes})
    parquet.write_table(table, tmp_path / "some.parquet")
    listing = list_pictures(tmp_path / "some.parquet")
    assert listing.labels.tolist() == [UNKNOWN] * 3
    found = [listing.entry(row).boxes for row in range(3)]
    assert found[0] is not None
    assert found[0].tolist() == [[0, 1, 5, 6]]
    assert found[1:] == [None, None]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_text(folder: Path, delimiter: str) -> None:
    rows = [("path", "label"), ("cat/0000.png", "cat"), ("owl/0002.jpg", "owl"), ("gone.png", "")]
    text = "\n".join(delimiter.join(row) for row in rows)
    (folder / "some.csv").write_text(text, encoding="utf-8-sig")
    listing = list_pictures(folder / "some.csv")
    assert names(listing) == ["cat/0000.png", "owl/0002.jpg", "gone.png"]
    assert listing.class_names == ("cat", "owl")
    assert listing.labels.tolist() == [0, 1, UNKNOWN]
    assert images.read(listing.pictures.read([1])[0]).size == (32, 22)  # type: ignore[arg-type]


def test_a_table_with_numbers_and_the_same_picture_twice(folder: Path) -> None:
    (folder / "some.csv").write_text("file,y\ncat/0000.png,3\ncat/0000.png,4\n")
    listing = list_pictures(folder / "some.csv")
    assert names(listing) == ["cat/0000.png#0", "cat/0000.png#1"]
    assert (listing.labels.tolist(), listing.class_names) == ([3, 4], None)


def test_coco_as_data_and_beside_it(folder: Path) -> None:
    def box(image: int, category: int, *sides: int) -> dict[str, object]:
        return {"image_id": image, "category_id": category, "bbox": list(sides)}

    document = {
        "images": [{"id": 7, "file_name": "cat/0000.png"}, {"id": 9, "file_name": "0002.jpg"}],
        "categories": [{"id": 5, "name": "cat"}, {"id": 6, "name": "owl"}],
        "annotations": [box(7, 5, 1, 2, 3, 4), box(7, 5, 0, 0, 5, 5), box(9, 5, 0, 0, 9, 9)],
    }
    path = folder / "boxes.json"
    path.write_text(json.dumps(document))
    beside = list_pictures(folder, boxes=path)
    found = [beside.entry(row).boxes for row in (0, 4, 5)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].tolist() == [[1, 2, 4, 6], [0, 0, 5, 5]]
    assert found[1].tolist() == [[0, 0, 9, 9]]
    assert found[2] is None
    own = list_pictures(path)
    assert names(own) == ["cat/0000.png", "0002.jpg"]
    assert own.labels.tolist() == [0, 0]


def test_voc_beside_pictures(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "xml" / "cat").mkdir(parents=True)
    (tmp_path / "xml" / "cat" / "0000.xml").write_text(VOC)
    (tmp_path / "xml" / "0002.xml").write_text(VOC.replace("10<", "11<"))
    listing = list_pictures(folder, boxes=tmp_path / "xml")
    first, other = listing.entry(0).boxes, listing.entry(4).boxes
    assert first is not None
    assert other is not None
    assert (first.tolist(), other.tolist()) == ([[0, 1, 10, 20]], [[0, 1, 11, 20]])
    (tmp_path / "xml" / "0002.xml").write_text(f"<!DOCTYPE a [<!ENTITY a 'b'>]>{VOC}")
    with pytest.raises(DataError, match="expected an annotation as Pascal VOC has it"):
        list_pictures(folder, boxes=tmp_path / "xml")


def test_archives_of_cifar(tmp_path: Path) -> None:
    write_files(tmp_path / "cifar-10-batches-py", pickled(cifar10_files()))
    listing = list_pictures(tmp_path)
    assert len(set(names(listing))) == len(listing) > 5
    assert names(listing)[0] == "data_batch_1#0"
    assert opened(listing)[0] == (32, 32)


def test_the_memory_of_this_process() -> None:
    system = fsspec.filesystem("memory")
    for number in range(3):
        system.pipe(f"/photos/cat/{number}.png", encoded(number))
    system.pipe("/photos/cat/readme.txt", b"no picture")
    listing = list_pictures("memory://photos")
    assert names(listing) == ["cat/0.png", "cat/1.png", "cat/2.png"]
    assert listing.class_names == ("cat",)
    assert listing.entry(1).path == "memory:///photos/cat/1.png"
    assert opened(listing) == [(32, 32)] * 3
    before = listing.fingerprint
    system.pipe("/photos/cat/1.png", encoded(9, 20, 20))
    assert list_pictures("memory://photos/**/*.png").fingerprint != before
    system.rm("/photos/cat/2.png")
    assert "no such file" in str(listing.pictures.read([2])[0]).lower() or isinstance(
        listing.pictures.read([2])[0], ImageError
    )


def test_tables_elsewhere(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    made = write_parquet(tmp_path / "some.parquet", [encoded(0), encoded(1)], [1, 0])
    system.pipe("/tables/some.parquet", made.read_bytes())
    listing = list_pictures("memory://tables")
    assert names(listing) == ["some.parquet#0", "some.parquet#1"]
    assert opened(listing) == [(32, 32)] * 2
    system.pipe("/texts/a.png", encoded(0))
    system.pipe("/texts/some.csv", b"path,label\na.png,cat\n")
    assert opened(list_pictures("memory://texts/some.csv")) == [(32, 32)]


@pytest.mark.parametrize("address", ["{}", "zip://*/*.jpg::{}", "zip://::{}"])
def test_zip_files(folder: Path, tmp_path: Path, address: str) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    listing = list_pictures(address.format(tmp_path / "some.zip"))
    assert names(listing)[-1] == "owl/0005.jpg"
    assert listing.class_names == ("cat", "dog", "owl")
    assert (-1, -1) not in opened(listing)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("nothing/here", "expected a file, a folder, a glob or an address, got nothing there"),
        ("nonsense://here", "expected an address that fsspec can open, got ValueError: Protocol"),
        ("memory://nothing", "expected pictures"),
    ],
)
def test_what_is_not_there_is_refused(source: str, line: str) -> None:
    with pytest.raises(DataError) as caught:
        list_pictures(source)
    assert line in str(caught.value)


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="a column path or file, got columns a, b"):
        list_pictures(tmp_path / "some.csv")
    (tmp_path / "some.csv").write_bytes(b"path\n\xff\xfe\x00")
    with pytest.raises(DataError, match="expected a table in UTF-8"):
        list_pictures(tmp_path / "some.csv")
    (tmp_path / "some.json").write_text("{}")
    with pytest.raises(DataError, match="as COCO has them"):
        list_pictures(tmp_path / "some.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected pictures, got none"):
        list_pictures(tmp_path / "empty")
    with pytest.raises(InputError, match="labels: expected 'auto' or 'always' or 'never'"):
        list_pictures(tmp_path, labels="perhaps")  # type: ignore[arg-type]


def test_names_with_odd_bytes(tmp_path: Path) -> None:
    odd = tmp_path / "data" / "n\udcffme.png"
    odd.parent.mkdir()
    picture(1).save(odd)
    listing = list_pictures(tmp_path / "data")
    assert listing.entry(0).id == "n\\udcffme.png"
    assert opened(listing) == [(40, 30)]


def test_the_first_few(folder: Path) -> None:
    listing = list_pictures(folder).first(4)
    assert names(listing)[-1] == "dog/0004.png"
    assert listing.first(9) is listing
    assert listing.fingerprint != list_pictures(folder).fingerprint


def test_labels_are_the_models_classes(folder: Path) -> None:
    listing = with_classes(list_pictures(folder), ("owl", "Dog", "cat", "fox"), 4, model="m")
    assert listing.labels.tolist() == [2, 2, 1, 1, 0, 0]
    assert listing.entry(2).label_name == "Dog"


def test_labels_beyond_the_model_are_refused(folder: Path) -> None:
    (folder / "some.csv").write_text("path,label\ncat/0000.png,7\n")
    with pytest.raises(DataError, match="expected labels from 0 to 4, the classes of m, got 7"):
        with_classes(list_pictures(folder / "some.csv"), None, 5, model="m")


def test_names_take_little_memory() -> None:
    every = Names(f"n{number}" for number in range(1000))
    assert (len(every), every[0], every[-1], list(every[2:5])) == (
        1000,
        "n0",
        "n999",
        ["n2", "n3", "n4"],
    )
    with pytest.raises(IndexError):
        every[1000]
    assert list(unique(["a", "b", "a"])) == ["a#0", "b", "a#2"]


def test_box_tables() -> None:
    found: dict[int, Any] = {1: np.ones((2, 4)), 3: np.zeros((1, 4))}
    table = BoxTable.made(4, found)
    assert len(table) == 4
    assert [None if b is None else b.shape for b in map(table.of, range(4))] == [
        None,
        (2, 4),
        None,
        (1, 4),
    ]
