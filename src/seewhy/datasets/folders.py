"""A folder per class, in train/ and test/ or in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seewhy.datasets.found import TEST, TRAIN, Found, not_used
from seewhy.datasets.labels import labelled
from seewhy.datasets.split import Split
from seewhy.datasets.walk import files_below, folders_in, is_visible
from seewhy.errors import DataError
from seewhy.images import SUFFIXES
from seewhy.wording import first_few


@dataclass(frozen=True, eq=False)
class _Files:
    """Pictures, each in its file."""

    paths: Sequence[str]

    def name_of(self, row: int) -> str:
        return self.paths[row]

    def picture(self, row: int) -> str:
        return self.paths[row]


def read_folders(root: Path) -> Found:
    """Find the pictures of each class; their folders may have folders in them.

    Raises:
        DataError: there is no folder per class, a class has no pictures, or the test part has a
            class that the train part has not.
    """
    train, test, others = _parts(root)
    names = _class_names(train)
    splits = _split("train", train, names), _test_split(test, names)
    return Found(root.resolve().name, names, *splits, not_used(root, others))


def _parts(root: Path) -> tuple[Path, Path | None, list[Path]]:
    """The folders of the train part and of the test part, and those of neither."""
    folders = {path.name.lower(): path for path in folders_in(root)}
    train, test = _first(folders, TRAIN), _first(folders, TEST)
    if train:
        return train, test, [path for path in folders.values() if path not in (train, test)]
    if test and set(folders) <= set(TEST):
        _refuse(root, "a folder train/", f"only {first_few(folders)}", "add it, or pass one folder")
    return root, None, []


def _first(folders: Mapping[str, Path], names: Sequence[str]) -> Path | None:
    return next((folders[name] for name in names if name in folders), None)


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in folders_in(folder))
    if not names:
        inside = sorted(path.name for path in folder.iterdir() if is_visible(path.name))
        got = f"only {first_few(inside)}" if inside else "an empty folder"
        _refuse(folder, "a folder per class", got, "sort the pictures into folders, one a class")
    return names


def _test_split(folder: Path | None, names: tuple[str, ...]) -> Split | None:
    if folder is None:
        return None
    found = _class_names(folder)
    others = sorted(set(found) - set(names))
    if others:
        fix = "name the folders alike, or remove these"
        _refuse(folder, f"classes of train/ ({first_few(names)})", first_few(others), fix)
    return _split("test", folder, names)


def _split(part: str, folder: Path, names: tuple[str, ...]) -> Split:
    paths: list[str] = []
    numbers: list[int] = []
    for number, name in enumerate(names):
        pictures = _pictures(folder / name)
        if part == "train" and not pictures:
            _refuse(folder / name, "pictures of this class", "none", "add some, or remove it")
        paths += pictures
        numbers += [number] * len(pictures)
    split = labelled(part, _Files(paths), np.array(numbers, dtype=np.float64), len(names))
    return replace(split, skipped=_strays(folder))


def _strays(folder: Path) -> tuple[str, ...]:
    """A line for each picture that lies beside the folders of the classes."""
    wanted, fix = "a picture in the folder of its class", "move it"
    return tuple(
        str(DataError(str(path), expected=wanted, got="one outside of them", fix=fix))
        for path in sorted(folder.iterdir())
        if path.is_file() and is_visible(path.name) and path.suffix.lower() in SUFFIXES
    )


def _pictures(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [str(path) for path in files_below(folder) if path.suffix.lower() in SUFFIXES]


def _refuse(folder: Path, expected: str, got: str, fix: str) -> None:
    raise DataError(f"data {folder}", expected=expected, got=got, fix=fix)
