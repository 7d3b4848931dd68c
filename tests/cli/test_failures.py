"""One line and one exit code for whatever ends a command."""

from __future__ import annotations

import errno
import os

import pytest

from seewhy.cli.failures import describe
from seewhy.errors import InputError


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


OUT_OF_MEMORY = "out of memory; pass a smaller --batch-size, or smaller pictures"


@pytest.mark.parametrize(
    ("problem", "line", "code"),
    [
        (KeyboardInterrupt(), "interrupted", 130),
        (
            InputError("size", expected="1", got="two\nlines\x1b[2J", fix="pass one"),
            "size: expected 1, got two lines\\x1b[2J; pass one",
            2,
        ),
        (MemoryError(), OUT_OF_MEMORY, 2),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate"), OUT_OF_MEMORY, 2),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "maps/a.png"),
            "maps/a.png: no space left on device; check the disk and the path",
            2,
        ),
        (
            ZeroDivisionError("division\nby zero"),
            "unexpected ZeroDivisionError: division by zero; --debug shows where",
            2,
        ),
    ],
)
def test_every_failure_is_one_line(problem: BaseException, line: str, code: int) -> None:
    assert describe(problem) == (line, code)
