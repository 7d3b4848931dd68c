"""An audit on a real cluster of two machines, each a Ray node of its own on this one.

Run by `test_ray.py` in a process of its own: Ray ends the process of a driver whose machine it
thinks is lost, and with it whatever else was being tested there.
"""

from __future__ import annotations

import builtins
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.audit.materials import CLASSES, HEADS, SIZE, Tiny, classifier, content, lay_out

from seewhy.audit import ray as rayed
from seewhy.audit.cluster import Cluster, import_ray
from seewhy.audit.local import Watching, Wish, run
from seewhy.audit.manifest import read_manifest
from seewhy.audit.opened import open_audit
from seewhy.cli import main
from seewhy.errors import AuditError, ModelError
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

SMALL = Wish(engine="torch", top=2, batch_size=2, rows_per_shard=3, threads=1)
COUNT, SHARDS = 48, 16
JOB = {"workers": 1, "cpus": 1, "gpus": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each."""
    pytest.importorskip("ray.data", reason="needs ray", exc_type=ImportError)
    import_ray()  # with its environment
    from ray._common.utils import get_ray_address_file
    from ray.cluster_utils import Cluster as Machines

    folder = tempfile.mkdtemp(prefix="ray")  # short: sockets lie below it
    Path(get_ray_address_file(None)).parent.mkdir(exist_ok=True)  # Ray writes there, come what may
    noticing = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    made = Machines(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "object_store_memory": 100 * 2**20,
            "temp_dir": folder,
            "include_dashboard": False,
            "_system_config": {**noticing, "health_check_failure_threshold": 10},
        },
    )
    made.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    yield made
    made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _print_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts a `print` of its own into the place of Python's, and leaves it there."""
    monkeypatch.setattr(builtins, "print", builtins.print)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("data") / "pictures", COUNT)


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "local"
    run(pictures, classifier(), out, SMALL)
    return out


def on(cluster: Any, workers: int = 2) -> Cluster:
    return Cluster(cluster.address, workers)


def slowed(before: Callable[[], object]) -> Classifier:
    """The same network with something to do before it answers."""

    def head(net: Tiny, x: torch.Tensor) -> torch.Tensor:
        before()
        return HEADS["linear"](net, x)

    names: dict[str, Any] = {"class_names": CLASSES, "num_classes": 5}
    return Classifier(
        "tiny", Tiny(head).eval(), preprocess=Preprocess(size=SIZE, crop=0.8), **names
    )


def require_same(out: Path, undisturbed: Path) -> None:
    assert content(out) == content(undisturbed)
    made, expected = read_manifest(out), read_manifest(undisturbed)
    assert made is not None
    assert expected is not None
    assert made.complete
    assert made.pinned == expected.pinned
    assert made.shards == expected.shards
    open_audit(out).verify()


def test_it_is_the_store_of_one_machine(
    cluster: Any, pictures: Path, undisturbed: Path, tmp_path: Path
) -> None:
    begun: list[tuple[int, int]] = []
    rows: list[int] = []
    notes: list[str] = []
    watching = Watching(
        begin=lambda *counts: begun.append(counts), advance=rows.append, note=notes.append
    )
    rayed.run(pictures, classifier(), tmp_path, SMALL, watching, on(cluster))
    require_same(tmp_path, undisturbed)
    assert begun == [(COUNT, 0)]
    assert rows == [3] * SHARDS
    assert notes == []


def test_a_machine_is_killed_and_nothing_is_lost(
    cluster: Any, pictures: Path, undisturbed: Path, tmp_path: Path
) -> None:
    (victim,) = cluster.worker_nodes
    rows: list[int] = []
    notes: list[str] = []

    def advance(count: int) -> None:
        rows.append(count)
        if len(rows) == 3:
            cluster.remove_node(victim, allow_graceful=False)

    model = slowed(lambda: time.sleep(0.3))
    watching = Watching(advance=advance, note=notes.append)
    try:
        rayed.run(pictures, model, tmp_path, SMALL, watching, on(cluster))
    finally:
        cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    require_same(tmp_path, undisturbed)
    assert rows == [3] * SHARDS
    assert notes
    assert notes[0].startswith("a worker was lost; asking again for ")


def test_a_worker_is_killed_and_nothing_is_lost(
    cluster: Any, pictures: Path, undisturbed: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"

    def die_once() -> None:
        time.sleep(0.05)
        if mark.exists():
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    watching = Watching(begin=lambda _total, _done: mark.touch())
    rayed.run(pictures, slowed(die_once), tmp_path / "run", SMALL, watching, on(cluster))
    assert not mark.exists()
    require_same(tmp_path / "run", undisturbed)


def test_workers_that_always_die_are_given_up(cluster: Any, pictures: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def die() -> None:
        if mark.exists():
            os.kill(os.getpid(), signal.SIGKILL)

    watching = Watching(begin=lambda _total, _done: mark.touch())
    wish = replace(SMALL, limit=6)
    with pytest.raises(AuditError, match=r"3 rounds .* such as shards/00000.parquet \(rows 0 to 2"):
        rayed.run(pictures, slowed(die), tmp_path / "run", wish, watching, on(cluster, 1))


def test_what_one_began_the_other_ends(
    cluster: Any, pictures: Path, undisturbed: Path, tmp_path: Path
) -> None:
    def interrupt(rows: int) -> None:
        raise KeyboardInterrupt

    there: list[int] = []
    ends = Watching(begin=lambda _total, done: there.append(done))
    for name, begins in (("cluster", rayed.run), ("local", run)):
        out, extra = tmp_path / name, {"cluster": on(cluster)} if name == "cluster" else {}
        with pytest.raises(KeyboardInterrupt):
            begins(pictures, classifier(), out, SMALL, Watching(advance=interrupt), **extra)
        if name == "cluster":
            run(pictures, classifier(), out, replace(SMALL, engine="auto"), ends)
        else:
            wish = replace(SMALL, engine="auto")
            rayed.run(pictures, classifier(), out, wish, ends, on(cluster))
        require_same(out, undisturbed)
    assert there[0] == 3


def test_failed_pictures_are_rows_and_told(cluster: Any, pictures: Path, tmp_path: Path) -> None:
    data, failures = tmp_path / "data", list[str]()
    shutil.copytree(pictures, data)
    broken = sorted(data.rglob("*.png"))[1]
    broken.write_bytes(b"no picture")
    watching = Watching(failed=failures.append)
    made = rayed.run(data, classifier(), tmp_path / "run", SMALL, watching, on(cluster))
    assert made.counts == {"rows": COUNT, "failed": 1, "inexact": 0}
    assert len(failures) == 1
    assert str(broken) in failures[0]


def test_an_error_of_a_worker_is_one_line(cluster: Any, pictures: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def fail() -> None:
        if mark.exists():
            raise RuntimeError("out of\nink")

    watching = Watching(begin=lambda _total, _done: mark.touch())
    with pytest.raises((AuditError, ModelError), match="RuntimeError: out of"):
        rayed.run(pictures, slowed(fail), tmp_path / "run", SMALL, watching, on(cluster))


def test_the_command(
    cluster: Any, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = ["--ray", cluster.address, "--workers", "2", "--model", "resnet20-cifar10"]
    options = ["--limit", "5", "--shard-rows", "2", "--batch-size", "2", "--engine", "torch"]
    out = str(tmp_path / "run")
    assert main(["audit", str(pictures), "--out", out, *where, *options, "--json"]) == 0
    said = capfd.readouterr()
    document = json.loads(said.out)
    assert (document["rows"], document["shards"], document["complete"]) == (5, 3, True)
    assert said.err.splitlines() == [
        f"no labels: the folders of {pictures} are no classes of resnet20-cifar10"
    ]
