"""Pictures that are files: on this machine, or wherever fsspec reaches."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from seewhy import images
from seewhy.audit.names import Names
from seewhy.datasets.walk import files_below
from seewhy.errors import DataError, ImageError, MissingExtraError
from seewhy.images import SUFFIXES
from seewhy.wording import complaint

MAX_BYTES = 2**28  # of one encoded picture that is not a file here: it is read whole
_AT_ONCE = 8  # requests of one batch
_TELLING = ("ETag", "etag", "CRC", "md5Hash", "content_md5", "mtime", "LastModified", "updated")


@dataclass(frozen=True, eq=False)
class Local:
    """Files below a folder of this machine."""

    root: str
    names: Names

    def path_of(self, row: int) -> str:
        """The path of a file."""
        return os.path.join(self.root, self.names[row])  # noqa: PTH118 -- of strings, very often

    def read(self, rows: Sequence[int]) -> list[images.Source | ImageError]:
        """Their paths: a file is read as far as it has to be."""
        return [self.path_of(row) for row in rows]


@dataclass(frozen=True, eq=False)
class Remote:
    """Files of a file system of fsspec's."""

    system: Any
    prefix: str  # what a person puts before a path to name it
    root: str
    names: Names
    sizes: NDArray[np.int64]

    def path_of(self, row: int) -> str:
        """The address of a file."""
        return f"{self.prefix}{_joined(self.root, self.names[row])}"

    def read(self, rows: Sequence[int]) -> list[images.Source | ImageError]:
        """Their contents, several at once."""
        with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(rows)))) as pool:
            return list(pool.map(self._content, rows))

    def _content(self, row: int) -> images.Source | ImageError:
        size, limit = int(self.sizes[row]), MAX_BYTES
        if size > limit:
            return self._refusal(row, f"{size:,} bytes", "make it smaller")
        try:
            content: bytes = self.system.cat_file(_joined(self.root, self.names[row]))
        except Exception as problem:  # a file system can raise anything
            return self._refusal(row, complaint(problem), "check that it can be read")
        return content

    def _refusal(self, row: int, got: str, fix: str) -> ImageError:
        return ImageError(self.path_of(row), expected="a picture", got=got, fix=fix)


def _joined(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{name}" if root else name


def below(root: Path, suffixes: Iterable[str] = SUFFIXES) -> list[str]:
    """The files in and below a folder with one of these suffixes, as paths from there, sorted."""
    wanted, start = frozenset(suffixes), str(root)
    return sorted(
        os.path.relpath(path, start) for path in files_below(root) if path.suffix.lower() in wanted
    )


def state_of_files(root: str | Path, names: Iterable[str]) -> str:
    """What changes when one of these files does: of their sizes and times."""
    digest = hashlib.sha256()
    for name in names:
        try:
            found = (Path(root) / name).stat()
            digest.update(f"{found.st_size} {found.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(b"missing\n")
    return digest.hexdigest()


def state_of_infos(infos: Iterable[Mapping[str, Any]]) -> str:
    """The same of files elsewhere, from what their file system says of them."""
    digest = hashlib.sha256()
    for info in infos:
        telling = [f"{name}={info[name]}" for name in _TELLING if name in info]
        digest.update(f"{info.get('size')} {' '.join(telling)}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Address:
    """A file, a folder or a pattern elsewhere.

    Attributes:
        text: as the user wrote it.
        system: fsspec's file system.
        path: in there.
    """

    text: str
    system: Any
    path: str

    @property
    def prefix(self) -> str:
        """What to put before a path of this file system to name it."""
        scheme = self.text.partition("://")[0]
        return f"{scheme}://"

    def open(self, path: str | None = None) -> BinaryIO:
        """A file there, to be read.

        Raises:
            DataError: it cannot be.
        """
        try:
            opened: BinaryIO = self.system.open(path or self.path, "rb")
        except Exception as problem:  # a file system can raise anything
            raise self.refusal(complaint(problem)) from problem
        return opened

    def is_file(self) -> bool:
        """Whether it is one file."""
        return bool(self.system.isfile(self.path))

    def find(self) -> dict[str, dict[str, Any]]:
        """Every file there, by its path, with what the file system says of it.

        Raises:
            DataError: the file system does not answer.
        """
        try:
            if any(sign in self.path for sign in "*?["):
                found = self.system.glob(self.path, detail=True)
            else:
                found = self.system.find(self.path, detail=True)
        except Exception as problem:  # a file system can raise anything
            raise self.refusal(complaint(problem)) from problem
        files = {path: info for path, info in found.items() if info.get("type") != "directory"}
        return dict(sorted(files.items()))

    def refusal(self, got: str) -> DataError:
        """The error that says what came instead of data."""
        return DataError(
            f"data {self.text}",
            expected="pictures, or a table of them",
            got=got,
            fix="check the address, and that you may read it",
        )


def address(text: str) -> Address:
    """An address as fsspec understands it: `s3://bucket/folder`, `zip://**/*.jpg::photos.zip`.

    Raises:
        DataError: there is no such file system, or it does not answer.
        MissingExtraError: fsspec, or what it needs for this address, is not installed.
    """
    try:
        import fsspec
    except ImportError as problem:
        raise _missing(text, "fsspec", "pip install 'seewhy[audit]'") from problem
    try:
        system, path = fsspec.core.url_to_fs(text)
    except ImportError as problem:
        raise _missing(text, complaint(problem), "install what it names") from problem
    except Exception as problem:  # a file system can raise anything
        raise DataError(
            f"data {text}",
            expected="an address that fsspec can open",
            got=complaint(problem),
            fix="check it",
        ) from problem
    return Address(text, system, path)


def _missing(text: str, what: str, fix: str) -> MissingExtraError:
    subject, wanted = f"data {text}", "what opens this address"
    return MissingExtraError(subject, expected=wanted, got=f"{what} not installed", fix=fix)
