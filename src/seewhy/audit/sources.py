"""`list_pictures`: look at what the user called data, and list what is there."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from seewhy import images, localize
from seewhy.audit.listing import UNKNOWN, Labels, Listing, unique
from seewhy.audit.names import Names
from seewhy.audit.places import (
    Address,
    Local,
    Remote,
    address,
    below,
    state_of_files,
    state_of_infos,
)
from seewhy.audit.tables import of_csv, of_parquet
from seewhy.audit.true_boxes import of_coco, with_boxes
from seewhy.datasets.cifar import ARCHIVES, extracted
from seewhy.datasets.found import TEST, TRAIN
from seewhy.datasets.load import load_dataset
from seewhy.datasets.split import Split
from seewhy.errors import DataError, ImageError
from seewhy.images import SUFFIXES

_TEXT, _TAR = (".csv", ".tsv"), (".tar.gz", ".tgz", ".tar")


def list_pictures(
    source: str | Path, *, boxes: str | Path | None = None, labels: Labels = "auto"
) -> Listing:
    """List the pictures of a data set; none is read.

    Args:
        source: a picture, a folder of pictures (with a folder for each class), a glob; Parquet, CSV
            or COCO's JSON, a folder of Parquet files; a zip file; an archive of CIFAR; or any
            address that fsspec opens.
        boxes: true boxes beside them: COCO's JSON, or a folder of Pascal VOC's files or of masks
            (PNG, 0 where the object is not), named as the pictures are.
        labels: whether the folders that pictures lie in are their classes. "auto": where the
            model has classes of these names.

    Raises:
        DataError: there are no pictures, or a table cannot be used.
        MissingExtraError: a package that is needed is not installed.
    """
    localize.checked_choice("labels", labels, Labels)
    text = os.fspath(source)
    found = _elsewhere(text, labels) if "://" in text else _here(text, labels)
    if not len(found):
        raise DataError(f"data {text}", expected="pictures", got="none", fix="check the path")
    return found if boxes is None else with_boxes(found, Path(boxes).expanduser())


def _here(text: str, labels: Labels) -> Listing:
    path = Path(text).expanduser()
    text = os.path.abspath(path) if path.exists() else text  # noqa: PTH100 -- links stay links
    path = Path(text)
    if path.is_dir():
        return _folder(text, path, labels)
    if not path.exists():
        return _cifar(text) if text in ARCHIVES else _glob(text, labels)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return of_parquet(text, [path.name], [str(path)])
    if suffix in _TEXT:
        return of_csv(text, str(path))
    if suffix == ".json":
        return of_coco(path)
    if suffix == ".zip":
        return _elsewhere(f"zip://::{path.absolute()}", labels)
    if path.name.endswith(_TAR):
        return _cifar(path)
    return _files(text, str(path.parent), [path.name], "never")


def _folder(text: str, folder: Path, labels: Labels) -> Listing:
    if extracted(folder):
        return _cifar(folder)
    tables = below(folder, (".parquet",))
    if tables:
        return of_parquet(text, tables, [str(folder / name) for name in tables])
    return _files(text, str(folder), below(folder), labels)


def _glob(text: str, labels: Labels) -> Listing:
    try:
        paths = [str(path.absolute()) for path in images.find_pictures([text])]
    except ImageError as problem:
        raise DataError(
            f"data {text}",
            expected="a file, a folder, a glob or an address",
            got="nothing there",
            fix="check the path",
        ) from problem
    root = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    return _files(text, root, [os.path.relpath(path, root) for path in paths], labels)


def _files(text: str, root: str, names: Sequence[str], labels: Labels) -> Listing:
    numbers, classes = _classes(names, labels)
    state = state_of_files(root, names)
    pictures = Local(root, Names(names))
    return Listing(
        text,
        unique(names),
        pictures,
        numbers,
        classes,
        state=state,
        guessed=labels == "auto",
    )


def _classes(
    names: Sequence[str], labels: Labels
) -> tuple[NDArray[np.int32], tuple[str, ...] | None]:
    """The class of each file: the folder that it lies in, below a part such as train/."""
    folders = [_class_of(name) for name in names] if labels != "never" else [""] * len(names)
    classes = tuple(sorted({each for each in folders if each}))
    number_of = {name: number for number, name in enumerate(classes)}
    numbers = np.array([number_of.get(each, UNKNOWN) for each in folders], dtype=np.int32)
    return numbers, classes or None


def _class_of(name: str) -> str:
    folders = PurePosixPath(name).parts[:-1]
    if folders and folders[0].lower() in TRAIN + TEST:
        folders = folders[1:]
    return folders[0] if folders else ""


def _elsewhere(text: str, labels: Labels) -> Listing:
    where = address(text)
    suffix = PurePosixPath(where.path).suffix.lower()
    if suffix in _TEXT and where.is_file():
        return of_csv(text, where)
    found = where.find()
    tables = [path for path in found if path.lower().endswith(".parquet")]
    if tables:
        opened = [Address(f"{where.prefix}{path}", where.system, path) for path in tables]
        root = _root(tables)
        return of_parquet(text, [_below(root, path) for path in tables], opened)
    return _remote(text, where, labels)


def _remote(text: str, where: Address, labels: Labels) -> Listing:
    infos = {
        path: info
        for path, info in where.find().items()
        if PurePosixPath(path).suffix.lower() in SUFFIXES
        and not PurePosixPath(path).name.startswith(".")
    }
    root = _root(list(infos)) if "*" in where.path else where.path.rstrip("/")
    root = root if all(path.startswith(f"{root}/") for path in infos) else _root(list(infos))
    names = [_below(root, path) for path in infos]
    sizes = np.array([info.get("size") or 0 for info in infos.values()], dtype=np.int64)
    numbers, classes = _classes(names, labels)
    pictures = Remote(where.system, where.prefix, root, Names(names), sizes)
    state = state_of_infos(infos.values())
    return Listing(
        text,
        unique(names),
        pictures,
        numbers,
        classes,
        state=state,
        guessed=labels == "auto",
    )


def _root(paths: Sequence[str]) -> str:
    """The folder that all of them lie in."""
    return posixpath.commonpath([posixpath.dirname(path) for path in paths]) if paths else ""


def _below(root: str, path: str) -> str:
    return path[len(root) :].lstrip("/") if root else path.lstrip("/")


class _Splits:
    """The pictures of CIFAR's archives, train and test."""

    def __init__(self, splits: Sequence[Split]) -> None:
        self._splits = splits

    def _place(self, row: int) -> tuple[Split, int]:
        for split in self._splits:
            if row < len(split):
                return split, row
            row -= len(split)
        raise IndexError(row)

    def path_of(self, row: int) -> str:
        split, inside = self._place(row)
        return split.name_of(inside).replace(" row ", "#")

    def read(self, rows: Sequence[int]) -> list[images.Source | ImageError]:
        places = map(self._place, rows)
        return [split.source.picture(int(split.places[inside])) for split, inside in places]


def _cifar(path: str | Path) -> Listing:
    found = load_dataset(path)
    pictures = _Splits([found.train, found.test])
    labels = np.concatenate([found.train.labels, found.test.labels]).astype(np.int32)
    ids = Names(pictures.path_of(row) for row in range(len(labels)))
    return Listing(str(path), ids, pictures, labels, found.class_names)
