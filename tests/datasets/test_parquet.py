from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tests.datasets.making import CLASSES, encoded, pixels, write_parquet

from seewhy.datasets import load_dataset
from seewhy.datasets import parquet as reader
from seewhy.errors import DataError, MissingExtraError
from seewhy.images import read

LABELS = [0, 1, 2, 2, 1, 0]


def pictures(first: int = 0, count: int = 6) -> list[bytes | None]:
    return [encoded(first + number) for number in range(count)]


@pytest.mark.data
def test_cifar_10_as_hugging_face_keeps_it(data_dir: Path) -> None:
    data = load_dataset(data_dir / "cifar10-jpeg")
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.class_names[:2] == ("airplane", "automobile")
    loaded = data.test.batch(range(2_000), (32, 32))
    assert loaded.images.shape == (2_000, 32, 32, 3)
    assert loaded.skipped == ()
    row = data.test.source.picture(1_234)
    np.testing.assert_array_equal(loaded.images[1_234], np.asarray(read(row)))
    assert data.test.name_of(1_234) == "test.parquet row 1234"


@pytest.mark.data
@pytest.mark.slow
def test_the_same_bytes_every_time(data_dir: Path) -> None:
    loads = [load_dataset(data_dir / "cifar10-jpeg").test.load((32, 32)) for _ in range(2)]
    np.testing.assert_array_equal(loads[0].images, loads[1].images)
    assert np.bincount(loads[0].labels).tolist() == [1_000] * 10


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.parquet", "test.parquet"),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("Training_set.parquet", "validation.parquet"),
    ],
)
def test_files_are_parts_by_their_names(tmp_path: Path, train: str, test: str) -> None:
    write_parquet(tmp_path / train, pictures(), LABELS)
    write_parquet(tmp_path / test, pictures(10, 3), LABELS[:3])
    data = load_dataset(tmp_path)
    assert (len(data.train), len(data.test), data.class_names) == (6, 3, CLASSES)
    np.testing.assert_array_equal(data.test.load().images[2], pixels(12))


def test_shards_follow_one_another(tmp_path: Path) -> None:
    for shard in range(3):
        name = f"train-{shard:05}-of-00003.parquet"
        write_parquet(tmp_path / name, pictures(10 * shard), LABELS)
    data = load_dataset(tmp_path / ".", test_share=0.5)
    assert data.name == tmp_path.name
    source = data.train.source
    assert source.name_of(13) == "train-00002-of-00003.parquet row 1"
    np.testing.assert_array_equal(np.asarray(read(source.picture(17))), pixels(25))


def test_other_files_are_named(tmp_path: Path) -> None:
    for name in ("train", "test", "validation", "extra"):
        write_parquet(tmp_path / f"{name}.parquet", pictures(), LABELS)
    notes = load_dataset(tmp_path).notes
    assert notes == ("not used: extra.parquet, validation.parquet",)


@pytest.mark.parametrize(
    ("labels", "kind", "numbers", "names"),
    [
        ([0, 1, 1, 0], pa.uint8(), [0, 1, 1, 0], ("0", "1")),
        ([2, 0, 2, 0], pa.int32(), [2, 0, 2, 0], ("0", "1", "2")),
        ([1.0, 0.0, 1.0, 0.0], pa.float32(), [1, 0, 1, 0], ("0", "1")),
        ([True, False, True, False], pa.bool_(), [1, 0, 1, 0], ("0", "1")),
        (["b", "a", "b", "a"], pa.string(), [1, 0, 1, 0], ("a", "b")),
        (["b", "a", "b", "a"], pa.dictionary(pa.int8(), pa.string()), [1, 0, 1, 0], ("a", "b")),
    ],
)
def test_labels_of_any_type(
    tmp_path: Path, labels: list[Any], kind: Any, numbers: list[int], names: tuple[str, ...]
) -> None:
    for part in ("train", "test"):
        path = tmp_path / f"{part}.parquet"
        write_parquet(path, pictures(0, 4), labels, names=None, label_type=kind)
    data = load_dataset(tmp_path)
    assert data.class_names == names
    np.testing.assert_array_equal(data.train.labels, numbers)


@pytest.mark.parametrize("columns", [("img", "fine_label"), ("foto", "Klasse"), ("png", "y")])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("names", [None, CLASSES])
def test_columns_of_any_name(
    tmp_path: Path, columns: tuple[str, str], plain: bool, names: tuple[str, ...] | None
) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, pictures(), LABELS, columns=columns, plain=plain, names=names)
    data = load_dataset(path)
    assert (len(data.train), len(data.test)) == (3, 3)
    assert "no test part: 20% of each class kept aside at random, seed 0" in data.notes


def test_rows_that_cannot_be_used_are_named_and_left_out(tmp_path: Path) -> None:
    images = pictures()
    images[1], images[3] = None, b""
    images[4] = encoded(4, kind="JPEG")[:200]
    for part in ("train", "test"):
        path = tmp_path / f"{part}.parquet"
        write_parquet(path, images, [0, 1, None, 1, 1, 0], label_type=pa.int64())
    data = load_dataset(tmp_path)
    assert data.train.skipped == (
        "train.parquet row 2: expected a label from 0 to 2, got null; correct the row",
    )
    loaded = data.train.load((32, 32))
    assert loaded.skipped[1:3] == (
        "train.parquet row 1: expected a picture, got null; remove the row",
        "train.parquet row 3: expected a picture, got no bytes; remove the row",
    )
    assert loaded.skipped[3].startswith("train.parquet row 4: expected a picture, got a damaged")
    assert len(loaded.skipped) == 4
    np.testing.assert_array_equal(loaded.rows, [0, 4])
    np.testing.assert_array_equal(loaded.images[1], pixels(5))


@pytest.mark.parametrize(
    ("labels", "kind", "shown"),
    [
        ([0, 1, 3], pa.int64(), "3"),
        ([0, 1, -1], pa.int64(), "-1"),
        ([0, 1, 2**62], pa.int64(), str(2**62)),
        ([0, 1, float("nan")], pa.float64(), "nan"),
        ([0, 1, 1.5], pa.float64(), "1.5"),
        ([0, 1, float("inf")], pa.float64(), "inf"),
        (["cat", "dog", "fox"], pa.string(), "'fox'"),
        (["cat", "dog", None], pa.string(), "null"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, labels: list[Any], kind: Any, shown: str) -> None:
    for part in ("train", "test"):
        path = tmp_path / f"{part}.parquet"
        write_parquet(path, pictures(0, 3), labels, label_type=kind)
    data = load_dataset(tmp_path)
    assert len(data.train) == 2
    assert data.test.skipped == (
        f"test.parquet row 2: expected a label from 0 to 2, got {shown}; correct the row",
    )


def test_a_damaged_row_group_costs_its_rows_only(tmp_path: Path) -> None:
    images = pictures(0, 12)
    path = write_parquet(tmp_path / "train.parquet", images, [0, 1, 2] * 4, plain=True)
    write_parquet(tmp_path / "test.parquet", images, [0, 1, 2] * 4)
    content = bytearray(path.read_bytes())
    column = parquet.read_metadata(path).row_group(1).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)
    loaded = load_dataset(tmp_path).train.load((32, 32))
    assert loaded.rows.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert len(loaded.skipped) == 4
    assert loaded.skipped[0].startswith(
        "train.parquet row 4: expected a picture, got a damaged row group 1 ("
    )


def test_row_groups_are_forgotten_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_CACHE", 1)
    write_parquet(tmp_path / "train.parquet", pictures(0, 12), LABELS * 2)
    write_parquet(tmp_path / "test.parquet", pictures(), LABELS)
    train = load_dataset(tmp_path).train
    batch = train.batch([11, 0, 6, 11])
    np.testing.assert_array_equal(batch.images, [pixels(n) for n in (11, 0, 6, 11)])
    assert len(train.source._groups) == 1  # type: ignore[attr-defined]


def test_pyarrow_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "x.parquet", pictures(), LABELS)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError) as caught:
        load_dataset(path)
    assert str(caught.value) == (
        f"data {path}: expected the package pyarrow, to read Parquet, got none installed;"
        " pip install 'seewhy[data]'"
    )


def test_damaged_metadata_cost_no_data_set(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", pictures(), LABELS)
    for about in ("{", "[]", '{"info": {"features": {"label": {"names": [1]}}}}', '{"info": 1}'):
        table = parquet.read_table(path).replace_schema_metadata({"huggingface": about})
        parquet.write_table(table, path)
        assert load_dataset(path).class_names == ("0", "1", "2")


def test_a_file_that_is_not_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("hello")
    with pytest.raises(DataError, match="expected a Parquet file, got a damaged or another one"):
        load_dataset(path)
