"""The official python archives of CIFAR-10 and CIFAR-100, packed or extracted.

Source: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Image

from seewhy.datasets.found import Found
from seewhy.datasets.labels import labelled
from seewhy.datasets.split import Split
from seewhy.datasets.tar import MAX_FILE, read_members
from seewhy.datasets.unpickle import array_in, unpickle
from seewhy.errors import DataError
from seewhy.wording import complaint, first_few

_SITE = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True)
class Archive:
    """What one of the archives holds, and where it is.

    Attributes:
        url: where it can be downloaded.
        md5: its checksum, from the page of the data set.
        folder: what it is extracted to.
        train: the files of the train part.
        test: the files of the test part.
        meta: the file with the class names.
        labels: the key of the labels.
        names: the key of the class names.
    """

    url: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    labels: str
    names: str

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is read."""
        return (*self.train, *self.test, self.meta)


ARCHIVES = {
    "cifar10": Archive(
        url=f"{_SITE}/cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test=("test_batch",),
        meta="batches.meta",
        labels="labels",
        names="label_names",
    ),
    "cifar100": Archive(
        url=f"{_SITE}/cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        meta="meta",
        labels="fine_labels",
        names="fine_label_names",
    ),
}


@dataclass(frozen=True, eq=False)
class _Batches:
    """The pictures of several batches, (N, 32, 32, 3), and what each is called."""

    pictures: NDArray[np.uint8]
    names: tuple[str, ...]
    ends: NDArray[np.int64]

    def name_of(self, row: int) -> str:
        batch = int(np.searchsorted(self.ends, row, side="right"))
        return f"{self.names[batch]} row {row - (int(self.ends[batch - 1]) if batch else 0)}"

    def picture(self, row: int) -> Image:
        return PIL.Image.fromarray(self.pictures[row])


def extracted(folder: Path) -> Path | None:
    """Return where an extracted archive lies: in this folder, or in one of the usual name in it."""
    for archive in ARCHIVES.values():
        for place in (folder, folder / archive.folder):
            if sum((place / name).is_file() for name in archive.files) >= 2:
                return place
    return None


def read_cifar(path: Path) -> Found:
    """Read an archive or the folder that it was extracted to; all its pictures, for they are small.

    Raises:
        DataError: it is damaged, incomplete, another one, or a pickle that would run code.
    """
    wanted = {name for archive in ARCHIVES.values() for name in archive.files}
    contents = _files(path, wanted) if path.is_dir() else read_members(path, wanted)
    documents = {name: _document(path / name, content) for name, content in contents}
    name, archive = _archive_of(path, documents)
    class_names = _class_names(path, documents[archive.meta], archive)
    train, test = (
        _split(path, part, {name: documents[name] for name in names}, archive, len(class_names))
        for part, names in (("train", archive.train), ("test", archive.test))
    )
    return Found(name, class_names, train, test)


def _files(folder: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    for path in (folder / name for name in sorted(wanted) if (folder / name).is_file()):
        try:
            if path.stat().st_size > MAX_FILE:
                _refuse(path, "a batch of CIFAR", f"more than {MAX_FILE // 2**20} MiB")
            yield path.name, path.read_bytes()
        except OSError as problem:
            _refuse(path, "a file that can be read", complaint(problem))


def _document(path: Path, content: bytes) -> dict[str, Any]:
    try:
        document = unpickle(content)
    except pickle.UnpicklingError as problem:
        _refuse(path, "a batch of CIFAR", str(problem))
    if not isinstance(document, dict):
        _refuse(path, "a batch of CIFAR", f"a pickle of a {type(document).__name__}")
    return {_text(key): value for key, value in document.items()}


def _archive_of(path: Path, documents: Mapping[str, object]) -> tuple[str, Archive]:
    """The archive of which the most files are there, if all are."""
    name = max(ARCHIVES, key=lambda name: len(documents.keys() & set(ARCHIVES[name].files)))
    missing = [file for file in ARCHIVES[name].files if file not in documents]
    if missing:
        have = f"all but {first_few(missing)}" if documents else "none of them"
        _refuse(path, f"the files of {ARCHIVES[name].folder}", have)
    return name, ARCHIVES[name]


def _class_names(path: Path, meta: Mapping[str, Any], archive: Archive) -> tuple[str, ...]:
    names = meta.get(archive.names)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        _refuse(path / archive.meta, f"a list {archive.names}", type(names).__name__)
    return tuple(map(_text, names))


def _split(
    path: Path, part: str, batches: Mapping[str, Mapping[str, Any]], archive: Archive, classes: int
) -> Split:
    parts = [_pixels(path / name, batch, archive) for name, batch in batches.items()]
    ends = np.cumsum([len(pixels) for pixels in parts])
    pictures = np.empty((int(ends[-1]), 32, 32, 3), np.uint8)
    np.concatenate([pixels.transpose(0, 2, 3, 1) for pixels in parts], out=pictures)
    labels = [label for batch in batches.values() for label in batch[archive.labels]]
    numbers = np.array([_number(label) for label in labels], dtype=np.float64)
    source = _Batches(pictures, tuple(batches), ends)
    return labelled(part, source, numbers, classes, shown=lambda row: _shown(labels[row]))


def _pixels(path: Path, batch: Mapping[str, Any], archive: Archive) -> NDArray[np.uint8]:
    """(N, 3, 32, 32), as many as there are labels."""
    pixels, labels = array_in(batch.get("data")), batch.get(archive.labels)
    if not isinstance(labels, list):
        _refuse(path, f"a list {archive.labels}", type(labels).__name__)
    if pixels is None or pixels.shape != (len(labels), 3 * 32 * 32):
        shape = "no array" if pixels is None else f"shape {pixels.shape}"
        _refuse(path, f"an array data of shape ({len(labels)}, 3072)", shape)
    return pixels.reshape(-1, 3, 32, 32)


def _number(label: object) -> float:
    return label if isinstance(label, int) and abs(label) < 2**31 else float("nan")


def _shown(label: object) -> str:
    is_plain = isinstance(label, int | float | str | bytes)
    return f"{label!r:.40}" if is_plain else f"a {type(label).__name__}"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _refuse(path: Path, expected: str, got: str) -> NoReturn:
    raise DataError(f"data {path}", expected=expected, got=got, fix="download the archive again")
