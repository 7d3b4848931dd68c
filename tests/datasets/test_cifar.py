from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.datasets.making import (
    CLASSES,
    batch,
    cifar10_files,
    cifar100_files,
    pixels,
    tar_of,
    write_files,
)

from seewhy.datasets import Dataset, load_dataset


def check_cifar10(data: Dataset) -> None:
    assert data.class_names == CLASSES
    assert (len(data.train), len(data.test), data.notes) == (30, 6, ())
    assert data.train.name_of(7) == "data_batch_2 row 1"
    np.testing.assert_array_equal(data.train.labels[6:12], [0, 1, 2, 2, 1, 0])
    loaded = data.train.load()
    np.testing.assert_array_equal(loaded.images[7], pixels(21))
    np.testing.assert_array_equal(data.test.load().images[5], pixels(65))


def test_an_extracted_archive(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "cifar-10-batches-py", cifar10_files())
    check_cifar10(load_dataset(folder))
    check_cifar10(load_dataset(tmp_path))


def test_a_packed_archive(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(tar_of(cifar10_files()))
    check_cifar10(load_dataset(path))
    bare = tmp_path / "cifar.tar"
    bare.write_bytes(gzip.decompress(path.read_bytes()))
    check_cifar10(load_dataset(bare))
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name, bare.name]


def test_cifar_100_has_its_fine_labels(tmp_path: Path) -> None:
    path = tmp_path / "cifar-100-python.tgz"
    path.write_bytes(tar_of(cifar100_files(), "cifar-100-python"))
    data = load_dataset(path)
    assert (data.name, data.class_names) == ("cifar100", CLASSES)
    np.testing.assert_array_equal(data.test.labels, [0, 1, 2, 2, 1, 0])
    np.testing.assert_array_equal(data.test.load().images[0], pixels(60))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_batches_that_python_3_has_pickled(tmp_path: Path, protocol: int) -> None:
    files = {name: pickle.dumps(value, protocol) for name, value in cifar10_files().items()}
    check_cifar10(load_dataset(write_files(tmp_path, files)))


def test_rows_with_a_label_that_is_none_are_named(tmp_path: Path) -> None:
    files = cifar10_files() | {"data_batch_3": batch(30, [0, 3, -1, "cat", 1.0, 2])}
    data = load_dataset(write_files(tmp_path, files))
    assert len(data.train) == 26
    assert [line.partition(":")[0] for line in data.train.skipped] == [
        f"data_batch_3 row {row}" for row in (1, 2, 3, 4)
    ]
    assert data.train.skipped[0].endswith("expected a label from 0 to 2, got 3; correct the row")
    pictures = data.train.load()
    assert pictures.skipped == data.train.skipped
    np.testing.assert_array_equal(pictures.images[13], pixels(35))


def member(name: str, content: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def test_links_and_devices_in_an_archive_are_no_files(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        link, _ = member("data_batch_1", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        pipe, _ = member("data_batch_2", type=tarfile.FIFOTYPE)
        archive.addfile(link)
        archive.addfile(pipe)
        info, content = member("../../../data_batch_3", b"N.")
        archive.addfile(info, io.BytesIO(content))
    path = tmp_path / "x.tar.gz"
    path.write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="a pickle of a NoneType"):
        load_dataset(path)
    assert [each.name for each in tmp_path.iterdir()] == ["x.tar.gz"]
