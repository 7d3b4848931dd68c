from __future__ import annotations

import hashlib
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.datasets.making import cifar10_files, tar_of

from seewhy.cli import main
from seewhy.datasets import cifar, load_dataset
from seewhy.datasets.download import cache_folder, download
from seewhy.errors import FileError

CONTENT = bytes(range(256)) * 4_000
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Site:
    """A server of one file, and how it behaves."""

    content: bytes = CONTENT
    url: str = ""
    ranges: bool = True  # whether it can send a part
    lies: bool = False  # whether the part begins elsewhere
    breaks_after: list[int] = field(default_factory=list)  # bytes, of each answer in turn
    status: int = 200
    asked: list[str | None] = field(default_factory=list)  # the Range of each request

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        begins = 7 if self.lies and start else start
        body = self.content[begins:]
        status = self.status if self.status != 200 else 206 if start else 200
        handler.send_response(416 if start >= len(self.content) else status)
        handler.send_header("Content-Length", str(len(body)))
        if start:
            handler.send_header("Content-Range", f"bytes {begins}-/{len(self.content)}")
        handler.end_headers()
        with suppress(ConnectionError):  # who asked has enough
            handler.wfile.write(body[: self.breaks_after.pop(0) if self.breaks_after else None])


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/file.tar.gz"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_file_is_downloaded_once(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    told: list[tuple[int, int | None]] = []
    for _ in range(2):
        done = download(site.url, path, md5=MD5, on_download=lambda *each: told.append(each))
        assert done == path
    assert path.read_bytes() == CONTENT
    assert (site.asked, names(path.parent)) == ([None], ["file"])
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert len(told) > 2


def test_an_interrupted_download_goes_on_by_itself(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [300_000, 100_000]
    path = download(site.url, tmp_path / "file", md5=MD5)
    assert path.read_bytes() == CONTENT
    assert site.asked == [None, "bytes=300000-", "bytes=400000-"]


def test_the_next_call_goes_on_where_the_last_one_stopped(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [300_000, 0]
    with pytest.raises(FileError) as caught:
        download(site.url, tmp_path / "file", md5=MD5)
    assert str(caught.value) == (
        f"{site.url}: expected a download, got ConnectionError: the connection ended after"
        " 300,000 of 1,024,000 bytes, with 300,000 bytes there; run it again: it goes on from"
        " there; or download it elsewhere, and pass its path"
    )
    assert names(tmp_path) == ["file.part"]
    assert download(site.url, tmp_path / "file", md5=MD5).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=300000-", "bytes=300000-"]
    assert names(tmp_path) == ["file"]


def test_a_server_that_cannot_send_a_part_sends_all_again(site: Site, tmp_path: Path) -> None:
    site.ranges, site.breaks_after = False, [300_000]
    assert download(site.url, tmp_path / "file", md5=MD5).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=300000-"]


def test_a_part_that_begins_elsewhere_is_not_put_together(site: Site, tmp_path: Path) -> None:
    site.lies, site.breaks_after = True, [300_000]
    with pytest.raises(FileError, match="checksum"):
        download(site.url, tmp_path / "file", md5=MD5)
    assert names(tmp_path) == []


def test_a_part_that_is_whole_needs_no_server(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert download(site.url, tmp_path / "file", md5=MD5).read_bytes() == CONTENT
    assert site.asked == []


def test_a_part_longer_than_the_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    assert download(site.url, tmp_path / "file", md5=MD5).read_bytes() == CONTENT
    assert site.asked == ["bytes=1024004-", None]


def test_the_wrong_file_is_not_kept(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"x"
    with pytest.raises(FileError) as caught:
        download(site.url, tmp_path / "file", md5=MD5)
    found = hashlib.md5(site.content).hexdigest()
    assert str(caught.value) == (
        f"{site.url}: expected the checksum {MD5}, got {found}; try again, or download it"
        " elsewhere and pass its path"
    )
    assert names(tmp_path) == []


def test_a_damaged_download_from_before_is_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"damaged")
    assert download(site.url, tmp_path / "file", md5=MD5).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [403, 404, 416, 500])
def test_a_server_that_refuses(site: Site, tmp_path: Path, status: int) -> None:
    site.status = status
    with pytest.raises(FileError, match=f"HTTP Error {status}"):
        download(site.url, tmp_path / "file", md5=MD5)
    assert len(site.asked) == 1


def test_a_server_without_an_end(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seewhy.datasets.download.MAX_BYTES", 400_000)
    with pytest.raises(FileError, match="checksum"):
        download(site.url, tmp_path / "file", md5=MD5)
    assert (len(site.asked), names(tmp_path)) == (1, [])


def test_no_server_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(FileError, match="got connection refused, with 0 bytes there; run it again"):
        download("http://127.0.0.1:9/file", tmp_path / "file", md5=MD5)


def test_two_at_once_download_it_once(site: Site, tmp_path: Path) -> None:
    call = lambda: download(site.url, tmp_path / "file", md5=MD5)  # noqa: E731
    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert site.asked == [None]


def test_a_data_set_by_its_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = tar_of(cifar10_files())
    md5 = hashlib.md5(site.content).hexdigest()
    archive = replace(cifar.ARCHIVES["cifar10"], url=site.url, md5=md5)
    monkeypatch.setitem(cifar.ARCHIVES, "cifar10", archive)
    monkeypatch.setenv("SEEWHY_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    told: list[tuple[int, int | None]] = []
    for _ in range(2):
        data = load_dataset("cifar10", on_download=lambda *each: told.append(each))
        assert (len(data.train), len(data.test)) == (30, 6)
    assert (len(site.asked), names(tmp_path)) == (1, ["file.tar.gz"])
    assert told[-1] == (len(site.content), len(site.content))


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _offered(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `cifar10` be a small archive of classes that the shipped net has, on the site."""
    files = cifar10_files()
    files["batches.meta"]["label_names"] = ["cat", "dog", "frog"]
    site.content = tar_of(files)
    md5 = hashlib.md5(site.content).hexdigest()
    archive = replace(cifar.ARCHIVES["cifar10"], url=site.url, md5=md5)
    monkeypatch.setitem(cifar.ARCHIVES, "cifar10", archive)
    monkeypatch.setenv("SEEWHY_CACHE", str(folder))
    monkeypatch.chdir(folder)


EVALUATE = ["evaluate", "resnet20-cifar10", "--data", "cifar10"]


def test_a_log_says_when_a_download_begins(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _offered(site, tmp_path, monkeypatch)
    for line in ("downloading 0 MB\n", ""):
        assert main(EVALUATE) == 0
        out, err = capsys.readouterr()
        assert "of 6 pictures" in out
        assert err == line


def test_a_person_sees_how_far_a_download_is(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    _offered(site, tmp_path, monkeypatch)
    assert main(EVALUATE) == 0
    shown = terminal.getvalue()
    assert "downloading" in shown
    assert "━" in shown
    assert f"{len(site.content) / 1000:.1f} kB" in shown


def test_the_official_checksums() -> None:
    found = {name: (each.url.rpartition("/")[2], each.md5) for name, each in cifar.ARCHIVES.items()}
    assert found == {
        "cifar10": ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        "cifar100": ("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
    }
    assert all(each.url.startswith("https://") for each in cifar.ARCHIVES.values())


def test_where_downloads_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEEWHY_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "seewhy"
    monkeypatch.setenv("SEEWHY_CACHE", "~/data")
    assert cache_folder() == tmp_path / "data"
