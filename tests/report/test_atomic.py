"""A file is written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seewhy.errors import FileError
from seewhy.report.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534
FIX = "choose a folder that exists, that you may write to and that has space left"


def test_the_file_is_utf_8_with_plain_line_ends_and_ordinary_permissions(tmp_path: Path) -> None:
    target, other = tmp_path / "new.html", tmp_path / "other"
    write_text(target, ["猫\n", "b\n"])
    other.touch()
    assert target.read_bytes() == "猫\nb\n".encode()
    assert target.stat().st_mode == other.stat().st_mode


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def chunks() -> Iterator[str]:
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_text(target, chunks())
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert target.read_text() == "old"


def test_no_folder(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "report.html"
    with pytest.raises(FileError) as caught:
        write_text(target, ["text"])
    assert str(caught.value) == (
        f"{target}: expected a place to write the report to, got 'no such file or directory'; {FIX}"
    )


def test_the_target_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="got 'is a directory'"):
        write_text(tmp_path, ["text"])
    assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.parent.glob("*.part")) == []


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Root may write anywhere: give that up for the length of a test."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    yield
    os.seteuid(user)


def test_no_permission(tmp_path: Path, as_nobody: None, request: pytest.FixtureRequest) -> None:
    target = tmp_path / "report.html"
    if os.geteuid() != NOBODY:
        tmp_path.chmod(0o500)
        request.addfinalizer(lambda: tmp_path.chmod(0o700))
    with pytest.raises(FileError, match="got 'permission denied'"):
        write_text(target, ["text"])


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from seewhy.errors import FileError
from seewhy.report.atomic import write_text

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text(Path(sys.argv[1]), ["x" * 500] * 100)
except FileError as error:
    print(error)
"""


def test_no_space(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    command = [sys.executable, "-c", FILL_THE_DISK, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = "a place to write the report to"
    assert done.stdout == f"{target}: expected {expected}, got 'file too large'; {FIX}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert target.read_text() == "old"
