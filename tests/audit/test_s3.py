"""Audits of pictures in S3, through a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.audit.materials import classifier, content, lay_out
from tests.audit.s3_server import Bucket, serving
from tests.datasets.making import encoded, write_parquet

from seewhy import open_audit
from seewhy.audit.local import Wish, run
from seewhy.audit.sources import list_pictures
from seewhy.cli import main
from seewhy.errors import DataError

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")

WISH = Wish(engine="torch", top=2, batch_size=4, threads=2, labels="always")


def objects(folder: Path) -> dict[str, bytes]:
    """The files of a folder as objects below `pictures/`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"pictures/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "data", 10)


@pytest.fixture
def bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    made = Bucket("bucket", objects(folder) | {"notes.txt": b"no picture"}, page=4)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with serving(made) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield made
        system = fsspec.filesystem("s3")
        system.clear_instance_cache()  # a new server comes with another address


def test_a_folder_and_a_pattern(bucket: Bucket, folder: Path) -> None:
    listing, here = list_pictures("s3://bucket/pictures"), list_pictures(folder)
    assert list(listing.ids) == list(here.ids)
    assert listing.labels.tolist() == here.labels.tolist()
    assert listing.entry(0).path == "s3://bucket/pictures/cat/0000.png"
    pngs = [name for name in here.ids if name.endswith(".png")]
    assert list(list_pictures("s3://bucket/**/*.png").ids) == pngs
    assert not [key for method, key, _ in bucket.asked if method == "GET"]  # listed, not read


def test_an_audit_is_the_one_of_the_same_folder_here(
    bucket: Bucket, folder: Path, tmp_path: Path
) -> None:
    there = run("s3://bucket/pictures", classifier(), tmp_path / "there", WISH)
    here = run(folder, classifier(), tmp_path / "here", WISH)
    assert there.counts == here.counts == {**here.counts, "rows": 10, "failed": 0, "inexact": 0}
    far, near = (open_audit(tmp_path / name) for name in ("there", "here"))
    assert far.table().drop_columns("path") == near.table().drop_columns("path")
    assert far.table(["path"])["path"][3].as_py() == "s3://bucket/pictures/cat/0009.jpg"
    read = [key for method, key, _ in bucket.asked if method == "GET"]
    assert len(set(read)) == 10
    before = content(tmp_path / "there")
    run("s3://bucket/pictures", classifier(), tmp_path / "there", WISH)  # all of it is there
    assert content(tmp_path / "there") == before


def test_the_command(bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bucket.forbidden = frozenset({"pictures/dog/0001.jpg"})
    typed = "audit s3://bucket/pictures --model resnet20-cifar10 --engine torch --threads 1"
    assert main([*typed.split(), "--out", str(tmp_path / "run")]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path}/run: 10 pictures explained in ")
    assert "1 of 10 pictures failed" in err
    assert "s3://bucket/pictures/dog/0001.jpg: expected a picture, got " in err


def test_tables_are_read_in_parts(bucket: Bucket, tmp_path: Path) -> None:
    made = write_parquet(tmp_path / "some.parquet", [encoded(0), encoded(1)], [1, 0])
    bucket.objects = {"tables/some.parquet": made.read_bytes()}
    listing = list_pictures("s3://bucket/tables")
    assert listing.labels.tolist() == [1, 0]
    assert all(isinstance(each, bytes) for each in listing.pictures.read([0, 1]))


@pytest.mark.parametrize("address", ["s3://bucket/nothing", "s3://elsewhere/pictures"])
def test_what_is_not_there_is_one_line(bucket: Bucket, address: str) -> None:
    with pytest.raises(DataError) as caught:
        list_pictures(address)
    assert str(caught.value).startswith(f"data {address}: expected pictures")
    assert "\n" not in str(caught.value)
