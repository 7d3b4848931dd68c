"""Read some files of a tar archive, without ever extracting it, and no more than they may weigh."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from seewhy.errors import DataError
from seewhy.wording import complaint

MAX_FILE = 2**28  # 256 MiB; the largest file in CIFAR-100's archive has 155 MB
MAX_ALL = 2**29

_GZIP = b"\x1f\x8b"


class _Limited:
    """A stream that ends with an error once more than `limit` bytes came out of it."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _TooLargeError
        return content


class _TooLargeError(Exception):
    """More than an archive of pictures this small can hold."""


def read_members(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the archive's plain files whose last name is wanted, each with its content.

    Raises:
        DataError: it cannot be read, is no tar archive, or holds more than it should.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
            file.seek(0)
            opened = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if zipped else file
            with closing(opened):
                yield from _members(_Limited(opened, MAX_ALL), wanted)
    except _TooLargeError as problem:
        _refuse(path, f"more than {MAX_ALL // 2**20} MiB", "take the official archive", problem)
    except Exception as problem:  # a damaged archive can raise anything
        got = f"a damaged or another one ({complaint(problem)})"
        _refuse(path, got, "download it again", problem)


def _members(stream: Any, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if not member.isreg() or name not in wanted:
                continue
            if member.size > MAX_FILE:
                raise _TooLargeError
            content = archive.extractfile(member)
            assert content is not None  # as it is a plain file
            yield name, content.read()


def _refuse(path: Path, got: str, fix: str, problem: Exception) -> None:
    line = DataError(f"data {path}", expected="a tar archive of CIFAR", got=got, fix=fix)
    raise line from problem
