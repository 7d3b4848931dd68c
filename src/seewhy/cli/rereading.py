"""Pictures are read once to be explained and again to be drawn; in between they may be lost."""

from __future__ import annotations

from pathlib import Path

from PIL.Image import Image

from seewhy import images
from seewhy.errors import ImageError

Version = tuple[int, int]  # time of the last change in nanoseconds, and bytes


class LostPicture(Exception):  # noqa: N818 -- named for what happened
    """A picture that was explained, and that nobody can see any more.

    Attributes:
        path: where it was.
        line: what happened to it.
    """

    def __init__(self, path: Path, line: str) -> None:
        super().__init__(line)
        self.path, self.line = path, line


def version_of(path: Path) -> Version | None:
    """Return what changes when a file does; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def read_again(path: Path, version: Version | None) -> Image:
    """Return the picture of which the version was taken before it was first read.

    Raises:
        LostPicture: it cannot be read any more, or has changed.
    """
    try:
        image = images.read(path)
    except ImageError as problem:
        raise LostPicture(path, str(problem)) from problem
    if version_of(path) != version:
        change = ImageError(
            str(path),
            expected="the picture that was explained",
            got="one that was changed since",
            fix="explain it again",
        )
        raise LostPicture(path, str(change))
    return image
