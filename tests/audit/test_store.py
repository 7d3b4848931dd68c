from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.audit.stores import failed, make_store, manifest, row

from seewhy import open_audit
from seewhy.audit import store
from seewhy.audit.manifest import MANIFEST, check_same
from seewhy.audit.schema import COLUMNS
from seewhy.errors import AuditError, FileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_store(tmp_path / "run", [row(0), row(1), failed(2), row(3), row(4)])


def test_everything_comes_back(folder: Path) -> None:
    audit = open_audit(folder)
    assert len(audit) == 5
    assert audit.manifest.complete
    assert audit.manifest.counts == {"rows": 5, "failed": 1, "inexact": 0}
    assert [each["id"] for each in audit] == [f"a/{n}.png" for n in range(5)]
    assert repr(audit) == f"Audit('{folder}', 5 rows, 1 failed, complete)"
    expected = row(3)
    got = audit.row(3)
    assert list(got) == list(COLUMNS)
    for name, value in expected.items():
        is_number = isinstance(value, float) or name in ("certificate", "map_error")
        same: Any = np.testing.assert_allclose if is_number else np.testing.assert_equal
        same(got[name], value, err_msg=name, **({"rtol": 1e-6} if is_number else {}))


def test_maps_are_in_logits(folder: Path) -> None:
    audit = open_audit(folder)
    maps = audit.maps(3)
    assert maps.dtype == np.float32
    np.testing.assert_array_equal(maps, 2 * np.arange(12).reshape(2, 2, 3))
    np.testing.assert_array_equal(audit.maps(audit.row(4)), maps)
    with pytest.raises(AuditError, match=r"row 2: expected a picture that was explained, got one"):
        audit.maps(2)


def test_a_table_of_some_columns(folder: Path) -> None:
    table = open_audit(folder).table(["id", "margin"])
    assert table.column_names == ["id", "margin"]
    assert table["margin"].to_pylist() == [0.5, 0.5, None, 0.5, 0.5]
    assert [dict(each) for each in open_audit(folder).rows(["row"])][-1] == {"row": 4}


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda a: a.row(5), "row 5: expected one of the 5 rows of"),
        (lambda a: a.row(-1), "row -1: expected one of the 5 rows of"),
        (lambda a: a.table(["margn"]), "did you mean margin?"),
    ],
)
def test_what_is_not_there_is_refused(folder: Path, ask: Any, line: str) -> None:
    with pytest.raises(AuditError) as caught:
        ask(open_audit(folder))
    assert line in str(caught.value)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"expected a folder with a manifest.json, .* another"):
        open_audit(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(AuditError, match="expected the manifest of an audit"):
        open_audit(tmp_path)


def test_another_version_is_refused(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(AuditError, match="expected version 1, got version 2; update seewhy"):
        open_audit(folder)


def test_damage_is_found(folder: Path) -> None:
    audit = open_audit(folder)
    audit.verify()
    shard = audit.files[1]
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)
    with pytest.raises(FileError, match="expected a shard as it was written, got other bytes"):
        audit.verify()
    shard.write_bytes(b"")
    with pytest.raises(FileError, match="expected a shard as it was written"):
        open_audit(folder).table()


def test_bytes_are_the_same_every_time(tmp_path: Path) -> None:
    rows = [row(0), failed(1), row(2)]
    one, two = (make_store(tmp_path / name, rows) for name in ("one", "two"))
    assert open_audit(one).manifest == open_audit(two).manifest
    assert (one / store.shard_file(0)).read_bytes() == (two / store.shard_file(0)).read_bytes()


def test_a_shard_that_the_manifest_does_not_know_is_recognised(folder: Path) -> None:
    audit = open_audit(folder)
    assert store.whole_shard(folder, 1, audit.manifest) == audit.manifest.shards[1]
    assert store.whole_shard(folder, 2, audit.manifest) is None
    assert store.whole_shard(folder, 1, manifest(7)) is None
    whole = audit.files[1].read_bytes()
    audit.files[1].write_bytes(whole[:-10])
    assert store.whole_shard(folder, 1, audit.manifest) is None
    assert not store.is_there(folder, audit.manifest.shards[1])


def test_what_differs_is_named() -> None:
    other = manifest(5)
    other.settings["top"] = 3
    check_same("run", manifest(5), manifest(5))
    with pytest.raises(AuditError, match="audit run: expected settings top 2, as it was begun"):
        check_same("run", manifest(5), other)


def test_maps_that_do_not_add_up_are_counted(tmp_path: Path) -> None:
    rows = [row(0), row(1, certificate=[1e-7, 1e-3]), row(2, certificate=[float("nan"), 0.0])]
    assert open_audit(make_store(tmp_path / "run", rows)).manifest.counts["inexact"] == 2


def _hold(folder: str, ready: Any, done: Any) -> None:
    with store.locked(folder):
        ready.set()
        done.wait(20)


def test_a_second_writer_is_refused(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(folder), ready, done))
    holder.start()
    assert ready.wait(20)
    with (
        pytest.raises(AuditError, match="got another process at work there"),
        store.locked(folder),
    ):
        pass
    done.set()
    holder.join()
    with store.locked(folder):
        pass


def test_forgetting_leaves_what_is_not_its_own(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "shards" / "mine.parquet").write_text("mine")
    store.forget(folder)
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert left == ["notes.txt", "shards/mine.parquet"]
