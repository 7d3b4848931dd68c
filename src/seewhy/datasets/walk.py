"""Walk through folders that may hold anything: links in a circle, hidden files, closed doors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from seewhy.errors import DataError
from seewhy.wording import complaint


def files_below(root: Path) -> Iterator[Path]:
    """Yield the files in and below a folder, in order.

    Links are followed, but no folder is entered twice, nor one that `root` itself lies in.

    Raises:
        DataError: a folder may not be read.
    """
    entered = {_identity(folder) for folder in root.resolve().parents}
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        place = _identity(Path(folder))
        folders[:] = [] if place in entered else sorted(filter(is_visible, folders))
        if place not in entered:
            yield from (Path(folder, name) for name in sorted(filter(is_visible, files)))
        entered.add(place)


def folders_in(root: Path) -> list[Path]:
    """Return the folders in a folder, in order.

    Raises:
        DataError: it may not be read.
    """
    try:
        return sorted(path for path in root.iterdir() if is_visible(path.name) and path.is_dir())
    except OSError as problem:
        _refuse(problem)


def is_visible(name: str) -> bool:
    """Say whether a person put it there, not the system."""
    return not name.startswith((".", "__MACOSX"))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _refuse(problem: OSError) -> NoReturn:
    raise DataError(
        f"data {problem.filename}",
        expected="a folder that can be read",
        got=complaint(problem),
        fix="change its permissions",
    ) from problem
