"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable
from pathlib import Path

from seewhy.errors import FileError


def write_text(path: Path, chunks: Iterable[str]) -> None:
    """Write `chunks` to `path` as UTF-8; a reader sees the old file or the new one, never a part.

    Raises:
        FileError: if the file cannot be written: no such folder, no permission, disk full. What
            was at `path` before is still there, and nothing else is left behind.
    """
    draft = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(chunks)
        draft.replace(path)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _refusal(path: Path, error: OSError) -> FileError:
    reason = (error.strerror or str(error)).lower()
    return FileError(
        str(path),
        expected="a place to write the report to",
        got=f"{reason!r}",
        fix="choose a folder that exists, that you may write to and that has space left",
    )
