"""What is no data set, and the one line that says so."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tests.datasets.making import (
    batch,
    cifar10_files,
    encoded,
    python2_pickle,
    tar_of,
    write_files,
    write_folders,
    write_parquet,
)

from seewhy.datasets import load_dataset, tar
from seewhy.errors import DataError, InputError

AGAIN = "; download the archive again"


def nothing(root: Path) -> Path:
    return root / "nowhere"


def misspelt(_: Path) -> str:
    return "cifar-10"


def empty_name(_: Path) -> str:
    return ""


def long_name(_: Path) -> str:
    return "x" * 5_000


def other_kind(root: Path) -> Path:
    (root / "x.zip").write_bytes(b"PK")
    return root / "x.zip"


def empty_folder(root: Path) -> Path:
    return root


def flat_folder(root: Path) -> Path:
    return write_folders(root, {".": 5})


def one_class(root: Path) -> Path:
    return write_folders(root, {"cat": 5})


def empty_class(root: Path) -> Path:
    return write_folders(root, {"cat": 5, "dog": 0})


def one_picture_each(root: Path) -> Path:
    return write_folders(root, {"cat": 1, "dog": 1})


def test_only(root: Path) -> Path:
    return write_folders(root, {"test/cat": 1, "test/dog": 1, "val/cat": 1})


test_only.__test__ = False  # type: ignore[attr-defined]


def other_test_classes(root: Path) -> Path:
    return write_folders(root, {"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/fox": 1})


def unlabelled_test(root: Path) -> Path:
    return write_folders(root, {"train/cat": 1, "train/dog": 1, "test": 2})


def empty_test(root: Path) -> Path:
    return write_folders(root, {"train/cat": 1, "train/dog": 1, "test/cat": 0})


def no_parquet(root: Path) -> Path:
    (root / "x.parquet").write_bytes(b"PAR1 and then nothing of use")
    return root / "x.parquet"


def columns(**arrays: Any) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        parquet.write_table(pa.table(arrays), root / "x.parquet")
        return root / "x.parquet"

    return write


def table(labels: list[Any], kind: Any = None, **more: Any) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        pictures = [encoded(number) for number in range(len(labels))]
        return write_parquet(root / "x.parquet", pictures, labels, label_type=kind, **more)

    return write


def missing_shard(root: Path) -> Path:
    for shard in (0, 2):
        write_parquet(root / f"train-{shard:05}-of-00004.parquet", [encoded(0)], [0])
    return root


def no_train_file(root: Path) -> Path:
    write_parquet(root / "test.parquet", [encoded(0)], [0])
    return root


def other_order(root: Path) -> Path:
    write_parquet(root / "train.parquet", [encoded(0)] * 3, [0, 1, 2])
    write_parquet(root / "test.parquet", [encoded(0)] * 3, [0, 1, 2], names=("owl", "cat", "dog"))
    return root


def hidden_test_labels(root: Path) -> Path:
    write_parquet(root / "train.parquet", [encoded(0)] * 4, [0, 1, 2, 0])
    write_parquet(root / "test.parquet", [encoded(0)] * 2, [-1, -1])
    return root


def cifar(**changes: Any) -> Callable[[Path], Path]:
    """CIFAR-10 with some files changed; None leaves one out."""
    changes = {name.replace("__", "."): value for name, value in changes.items()}

    def write(root: Path) -> Path:
        files: Mapping[str, Any] = cifar10_files() | changes
        return write_files(root, {name: each for name, each in files.items() if each is not None})

    return write


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def packed(content: bytes) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        (root / "x.tar.gz").write_bytes(content)
        return root / "x.tar.gz"

    return write


def tar_with(name: str, size: int) -> bytes:
    """A tar archive of one file of zeros."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = size
        archive.addfile(info, io.BytesIO(bytes(size)))
    return gzip.compress(file.getvalue(), compresslevel=1)


def header_bomb(kind: bytes) -> bytes:
    """A header that says that its own text is long, and then is."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 2**24
    return gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(2**24), compresslevel=1)


BYTES = pa.array([b"x", b"y"])
CASES: dict[str, tuple[Callable[[Path], Path | str], str]] = {
    "nothing there": (
        nothing,
        "data {root}/nowhere: expected a folder, a .parquet or .tar.gz file, or cifar10 or"
        " cifar100, got nothing there; check the path",
    ),
    "a misspelt name": (
        misspelt,
        "data cifar-10: expected a folder, a .parquet or .tar.gz file, or cifar10 or cifar100,"
        " got nothing there; did you mean cifar10 or cifar100?",
    ),
    "no path": (
        empty_name,
        "data '': expected a folder, a .parquet or .tar.gz file, or cifar10 or cifar100,"
        " got no path; check the path",
    ),
    "another kind of file": (
        other_kind,
        "data {root}/x.zip: expected a folder, a .parquet or .tar.gz file, or cifar10 or cifar100,"
        " got a file of another kind; check the path",
    ),
    "an empty folder": (
        empty_folder,
        "data {root}: expected a folder per class, got an empty folder;"
        " sort the pictures into folders, one a class",
    ),
    "a folder of pictures": (
        flat_folder,
        "data {root}: expected a folder per class, got only 0.png, 1.png, 2.png and 2 more;"
        " sort the pictures into folders, one a class",
    ),
    "one class": (
        one_class,
        "data {name}: expected two classes at least, got one: cat; add pictures of another class",
    ),
    "a class without pictures": (
        empty_class,
        "data {root}/dog: expected pictures of this class, got none; add some, or remove it",
    ),
    "one picture of each class": (
        one_picture_each,
        "data {name}: expected two pictures of a class at least, got one of each; add pictures",
    ),
    "no train part": (
        test_only,
        "data {root}: expected a folder train/, got only test, val; add it, or pass one folder",
    ),
    "other classes to test": (
        other_test_classes,
        "data {root}/test: expected classes of train/ (cat, dog), got fox;"
        " name the folders alike, or remove these",
    ),
    "pictures to test without a class": (
        unlabelled_test,
        "data {root}/test: expected a folder per class, got only 0.png, 1.png;"
        " sort the pictures into folders, one a class",
    ),
    "an empty test part": (
        empty_test,
        "data {name}, test: expected labelled pictures, got none; check the path and the labels",
    ),
    "no column of pictures": (
        columns(text=["a", "b"], label=[0, 1]),
        "data {root}/x.parquet: expected a column of pictures (bytes), called image or img,"
        " got columns text (string), label (int64); rename the column",
    ),
    "several columns of pictures": (
        columns(a=BYTES, b=BYTES, label=[0, 1]),
        "data {root}/x.parquet: expected a column of pictures (bytes), called image or img,"
        " got several: a, b; rename the column",
    ),
    "no column of labels": (
        columns(image=BYTES, day=pa.array([1, 2], pa.date32())),
        "data {root}/x.parquet: expected a column of labels (numbers or text), called label or"
        " labels, got columns image (binary), day (date32[day]); rename the column",
    ),
    "several columns of labels": (
        columns(image=BYTES, a=[0, 1], b=[0, 1]),
        "data {root}/x.parquet: expected a column of labels (numbers or text), called label or"
        " labels, got several: a, b; rename the column",
    ),
    "a table without columns": (
        columns(),
        "data {root}/x.parquet: expected a column of pictures (bytes), called image or img,"
        " got columns without any; rename the column",
    ),
    "a table without rows": (
        table([], pa.int64()),
        "data x, train: expected labelled pictures, got none; check the path and the labels",
    ),
    "a table of one class": (
        table([1, 1, 1]),
        "data x: expected two classes at least, got one: dog; add pictures of another class",
    ),
    "labels that are all null": (
        table([None, None], pa.int64(), names=None),
        "data x, train: expected labelled pictures, got none (2 left out: x.parquet row 0:"
        " expected a label, got null; correct the row); check the path and the labels",
    ),
    "a shard that is missing": (
        missing_shard,
        "data {root}: expected 4 files train-*.parquet, got all but 00001, 00003;"
        " download the missing ones",
    ),
    "no train file": (
        no_train_file,
        "data {root}: expected a file named train*.parquet, got test.parquet;"
        " rename it, or pass the one file to be split",
    ),
    "classes in another order": (
        other_order,
        "data {root}/test.parquet: expected the classes of train.parquet: cat, dog, owl,"
        " got owl, cat, dog; write both with the same class names in the same order",
    ),
    "labels that are kept secret": (
        hidden_test_labels,
        "data {name}, test: expected labelled pictures, got none (2 left out: test.parquet row 0:"
        " expected a label from 0 to 2, got -1; correct the row); check the path and the labels",
    ),
    "a batch that is missing": (
        cifar(data_batch_3=None, test_batch=None),
        "data {root}: expected the files of cifar-10-batches-py, got all but data_batch_3,"
        " test_batch" + AGAIN,
    ),
    "a pickle that runs a program": (
        cifar(data_batch_2=pickle.dumps(Runs(), 2)),
        "data {root}/data_batch_2: expected a batch of CIFAR,"
        " got a pickle that would run posix.system" + AGAIN,
    ),
    "a batch that is text": (
        cifar(data_batch_2=b"hello"),
        "data {root}/data_batch_2: expected a batch of CIFAR,"
        " got a damaged pickle or another file" + AGAIN,
    ),
    "a batch that is cut short": (
        cifar(data_batch_2=python2_pickle(batch(0, [0, 1]))[:-100]),
        "data {root}/data_batch_2: expected a batch of CIFAR,"
        " got a damaged pickle or another file" + AGAIN,
    ),
    "a batch that is a list": (
        cifar(data_batch_2=[1, 2]),
        "data {root}/data_batch_2: expected a batch of CIFAR, got a pickle of a list" + AGAIN,
    ),
    "a batch without labels": (
        cifar(data_batch_2={"data": np.zeros((2, 3072), np.uint8)}),
        "data {root}/data_batch_2: expected a list labels, got NoneType" + AGAIN,
    ),
    "a batch without pictures": (
        cifar(data_batch_2={"labels": [0, 1]}),
        "data {root}/data_batch_2: expected an array data of shape (2, 3072), got no array" + AGAIN,
    ),
    "pictures of another size": (
        cifar(data_batch_2={"labels": [0, 1], "data": np.zeros((2, 768), np.uint8)}),
        "data {root}/data_batch_2: expected an array data of shape (2, 3072),"
        " got shape (2, 768)" + AGAIN,
    ),
    "more pictures than labels": (
        cifar(data_batch_2={"labels": [0], "data": np.zeros((2, 3072), np.uint8)}),
        "data {root}/data_batch_2: expected an array data of shape (1, 3072),"
        " got shape (2, 3072)" + AGAIN,
    ),
    "pictures that are no bytes": (
        cifar(data_batch_2={"labels": [0], "data": np.zeros((1, 3072))}),
        "data {root}/data_batch_2: expected a batch of CIFAR,"
        " got an array of b'f8' where bytes (u1) belong" + AGAIN,
    ),
    "no class names": (
        cifar(batches__meta={"label_names": 3}),
        "data {root}/batches.meta: expected a list label_names, got int" + AGAIN,
    ),
    "an archive of something else": (
        packed(tar_with("readme", 10)),
        "data {root}/x.tar.gz: expected the files of cifar-10-batches-py, got none of them" + AGAIN,
    ),
    "an archive that is text": (
        packed(b"hello"),
        "data {root}/x.tar.gz: expected a tar archive of CIFAR, got a damaged or another one"
        " (ReadError: truncated header); download it again",
    ),
    "an archive that is cut short": (
        packed(tar_of(cifar10_files())[:20_000]),
        "data {root}/x.tar.gz: expected a tar archive of CIFAR, got a damaged or another one"
        " (EOFError: Compressed file ended before the end-of-stream marker was reached);"
        " download it again",
    ),
    "an archive that grows and grows": (
        packed(tar_with("zeros", 2_000_000)),
        "data {root}/x.tar.gz: expected a tar archive of CIFAR, got more than 1 MiB;"
        " take the official archive",
    ),
    "a header that grows and grows": (
        packed(header_bomb(tarfile.XHDTYPE)),
        "data {root}/x.tar.gz: expected a tar archive of CIFAR, got more than 1 MiB;"
        " take the official archive",
    ),
    "a name that grows and grows": (
        packed(header_bomb(tarfile.GNUTYPE_LONGNAME)),
        "data {root}/x.tar.gz: expected a tar archive of CIFAR, got more than 1 MiB;"
        " take the official archive",
    ),
    "a batch that is far too large": (
        packed(tar_with("data_batch_1", 700_000)),
        "data {root}/x.tar.gz: expected a tar archive of CIFAR, got more than 1 MiB;"
        " take the official archive",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_data_set_is_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, line = CASES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tar, "MAX_ALL", 2**20)
    monkeypatch.setattr(tar, "MAX_FILE", 2**19)
    with pytest.raises(DataError) as caught:
        load_dataset(make(tmp_path))
    assert str(caught.value) == line.format(root=tmp_path, name=tmp_path.name)
    assert not (tmp_path / "ran").exists()


def test_a_path_that_cannot_be() -> None:
    for path in ("x" * 5_000, "a\0b", "~nobody-of-this-name/x"):
        with pytest.raises(DataError, match=r"got (nothing there|a path that cannot be)"):
            load_dataset(path)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_a_share_that_is_none(share: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="test_share: expected a share between 0 and 1"):
        load_dataset(tmp_path, test_share=share)


def test_a_seed_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seed: expected 0 or more, got -1; pass 0"):
        load_dataset(tmp_path, seed=-1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"cat": 2, "dog": 2})
    (root / "dog").chmod(0)
    with pytest.raises(DataError, match="expected a folder that can be read"):
        load_dataset(root)
    (root / "dog").chmod(0o700)


def test_what_the_system_refuses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for root, too, whom the system refuses nothing."""
    root = write_folders(tmp_path, {"cat": 2, "dog": 2})
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError) as caught:
        load_dataset(root)
    assert str(caught.value) == (
        f"data {root}/dog: expected a folder that can be read, got permission denied;"
        " change its permissions"
    )


@pytest.mark.parametrize("name", ["x.parquet", "x.tar.gz", "x.zip"])
def test_a_file_that_may_not_be_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(path: Path, *_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / name).touch()
    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / name)
    assert str(caught.value) == (
        f"data {tmp_path / name}: expected a file that can be read, got permission denied;"
        " change its permissions"
    )
