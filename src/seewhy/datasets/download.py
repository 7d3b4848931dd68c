"""Download a file once: in parts if need be, and never one with the wrong checksum."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from seewhy.errors import FileError
from seewhy.files import writable_folder
from seewhy.wording import complaint

# Told how many bytes are there, and how many there will be, if the server says so.
OnDownload = Callable[[int, int | None], None]

MAX_BYTES = 2**30

_CHUNK = 2**18
_TIMEOUT = 30.0  # seconds without a byte


def cache_folder() -> Path:
    """Return where downloads are kept: SEEWHY_CACHE, else ~/.cache/seewhy."""
    return Path(os.environ.get("SEEWHY_CACHE") or "~/.cache/seewhy").expanduser()


def download(url: str, path: Path, *, md5: str, on_download: OnDownload | None = None) -> Path:
    """Return `path` with the content of `url`; what was downloaded before is not fetched again.

    An interrupted download stays beside it as `.part`, and the next call goes on from there.

    Raises:
        FileError: the server cannot be reached, sends another file, or there is no room.
    """
    writable_folder(path.parent)
    with _alone(path):
        if _has(path, md5):
            return path
        part = path.with_name(f"{path.name}.part")
        if not _has(part, md5):
            _fetch_all(url, part, on_download or (lambda _done, _total: None))
            _check(url, part, md5)
        return part.replace(path)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time download a file; the system takes the lock from a dead one."""
    with path.with_name(f".{path.name}.lock").open("a") as file:
        with contextlib.suppress(ImportError, OSError):  # not on Windows, nor on every network
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_all(url: str, part: Path, on_download: OnDownload) -> None:
    """Go on after each interruption, as long as an attempt brings something."""
    while True:
        before = _size(part)
        try:
            return _fetch_rest(url, part, on_download)
        except (OSError, HTTPException) as problem:
            if isinstance(problem, HTTPError) and problem.code == 416 and before:
                part.unlink()  # it has more than there is
            elif isinstance(problem, HTTPError) or _size(part) <= before:
                _refuse(url, part, problem)


def _fetch_rest(url: str, part: Path, on_download: OnDownload) -> None:
    have = _size(part)
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 -- ours
    with urlopen(request, timeout=_TIMEOUT) as reply:  # noqa: S310 -- a constant, https
        if not _goes_on(reply, have):
            have = 0
        length = reply.headers["Content-Length"]
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file:
            while have <= MAX_BYTES and (chunk := reply.read(_CHUNK)):
                file.write(chunk)
                have += len(chunk)
                on_download(have, total)
    if total is not None and have < min(total, MAX_BYTES):
        raise ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")


def _goes_on(reply: HTTPResponse, have: int) -> bool:
    """Whether the server sends the rest; one that cannot do so sends all of it again."""
    return reply.status == 206 and reply.headers.get("Content-Range", "").startswith(
        f"bytes {have}-"
    )


def _check(url: str, part: Path, md5: str) -> None:
    found = _md5(part)
    if found != md5:
        part.unlink()
        raise FileError(
            url,
            expected=f"the checksum {md5}",
            got=found,
            fix="try again, or download it elsewhere and pass its path",
        )


def _refuse(url: str, part: Path, problem: Exception) -> None:
    raise FileError(
        url,
        expected="a download",
        got=f"{_reason(problem)}, with {_size(part):,} bytes there",
        fix="run it again: it goes on from there; or download it elsewhere, and pass its path",
    ) from problem


def _reason(problem: Exception) -> str:
    reason = problem.reason if isinstance(problem, URLError) else problem
    return complaint(reason) if isinstance(reason, OSError) else complaint(problem)


def _has(path: Path, md5: str) -> bool:
    return path.is_file() and _md5(path) == md5


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
