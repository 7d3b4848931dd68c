"""A file is written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seewhy.errors import FileError
from seewhy.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534
FIX = "check the folder, its permissions and the space left"


def test_the_file_holds_every_chunk_with_ordinary_permissions(tmp_path: Path) -> None:
    target, other = tmp_path / "new.html", tmp_path / "other"
    write_whole(target, ["猫\n".encode(), b"b\n"])
    other.touch()
    assert target.read_bytes() == "猫\nb\n".encode()
    assert target.stat().st_mode == other.stat().st_mode


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(target, chunks())
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert target.read_text() == "old"


def test_no_folder(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "report.html"
    with pytest.raises(FileError) as caught:
        write_whole(target, [b"text"])
    assert str(caught.value) == (
        f"{target}: expected a file that can be written, "
        f"got the system's error 'no such file or directory'; {FIX}"
    )


def test_the_target_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="'is a directory'"):
        write_whole(tmp_path, [b"text"])
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
    with pytest.raises(FileError, match="'permission denied'"):
        write_whole(target, [b"text"])


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from seewhy.errors import FileError
from seewhy.files import write_whole

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(Path(sys.argv[1]), [b"x" * 500] * 100)
except FileError as error:
    print(error)
"""


def test_no_space(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    command = [sys.executable, "-c", FILL_THE_DISK, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = "a file that can be written"
    assert (
        done.stdout
        == f"{target}: expected {expected}, got the system's error 'file too large'; {FIX}\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert target.read_text() == "old"
