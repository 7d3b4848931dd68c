"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from seewhy.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterable


def write_whole(path: str | Path, chunks: Iterable[bytes], *, durable: bool = False) -> Path:
    """Write `chunks` to `path`; a reader sees the old file or the new one, never a part.

    Args:
        path: of the file.
        chunks: what it is to hold.
        durable: wait until the disk has it, so that a loss of power finds the old or the new one.

    Raises:
        FileError: it cannot be written: no such folder, no permission, disk full. What was at
            `path` before is still there, and nothing else is left behind.
    """
    path = Path(path)
    draft = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with draft.open("xb") as file:
            file.writelines(chunks)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
        if durable:
            _settle(path.parent)
    except OSError as problem:
        raise FileError(
            str(path),
            expected="a file that can be written",
            got=_reason(problem),
            fix="check the folder, its permissions and the space left",
        ) from problem
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return path


def _settle(folder: Path) -> None:
    """Wait until the disk has the names of a folder's files."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def writable_folder(folder: Path) -> Path:
    """Make a folder, with those above it, and see that a file can be written there.

    Raises:
        FileError: it cannot be made, is no folder, or takes no files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as problem:
        raise FileError(
            str(folder),
            expected="a folder to write to",
            got="a file" if folder.is_file() else _reason(problem),
            fix="choose another folder, or make room in this one",
        ) from problem
    return folder


def _reason(problem: OSError) -> str:
    return f"the system's error '{(problem.strerror or str(problem)).lower()}'"
