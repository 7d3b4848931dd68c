"""Audits on a cluster: the real one in a process of its own, and what needs none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.audit.materials import classifier, lay_out
from tests.audit.on_a_cluster import SMALL

from seewhy.audit import ray as rayed
from seewhy.audit.cluster import Cluster, Share
from seewhy.audit.sources import list_pictures
from seewhy.audit.worker import Job, movable, require_pictures
from seewhy.cli import main
from seewhy.errors import AuditError, DataError, InputError, MissingExtraError, ModelError
from seewhy.models import Classifier

ROOT = Path(__file__).parents[2]
ON_A_CLUSTER = Path(__file__).with_name("on_a_cluster.py")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("data") / "pictures", 48)


@pytest.mark.slow
def test_on_a_cluster(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="needs ray", exc_type=ImportError)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ON_A_CLUSTER)]
    done = _in_a_process([*command, f"--basetemp={tmp_path / 'first'}"])
    if " passed" not in done.stdout and " failed" not in done.stdout:  # Ray ended the process,
        done = _in_a_process([*command, f"--basetemp={tmp_path / 'second'}"])  # which says nothing
    assert done.returncode == 0, done.stdout + done.stderr


def _in_a_process(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1500
    )


# Without a cluster


def job(pictures: Path, model: Classifier | None = None) -> Job:
    share = Share(workers=1, cpus=1, gpus=0, device="cpu")
    return Job(model or classifier(), list_pictures(pictures), SMALL, share)


def test_a_machine_that_would_compute_otherwise_is_refused(pictures: Path) -> None:
    asked = job(pictures).manifest
    other = replace(asked, versions={**asked.versions, "torch": "1.0"})
    with pytest.raises(AuditError, match=r"audit on .*: expected versions torch '1.0'"):
        replace(job(pictures), asked=other).shard(0)


def test_pictures_that_a_machine_does_not_have_are_no_failures(
    pictures: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(pictures, moved)
    listed = job(moved)
    shutil.rmtree(moved)
    with pytest.raises(DataError, match="the same folder on every machine of the cluster"):
        require_pictures(listed.listing)


def test_a_network_that_cannot_travel(pictures: Path, tmp_path: Path) -> None:
    model = classifier()
    model.module.open_file = (i for i in range(3))  # type: ignore[assignment]
    with pytest.raises(ModelError, match="a network that can be pickled"):
        movable(model)


def test_no_ray(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'seewhy\[ray\]'"):
        rayed.run(pictures, classifier(), tmp_path, SMALL)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_no_cluster_there(address: str, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="needs ray", exc_type=ImportError)
    model, where = classifier(), Cluster(address)
    with pytest.raises(AuditError, match=f"cluster {address}: expected the head of a Ray cluster"):
        rayed.run(pictures, model, tmp_path, SMALL, cluster=where)


def test_workers_want_a_cluster(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(pictures), "--out", str(tmp_path), "--workers", "2"]) == 2
    assert "--workers: expected --ray" in capsys.readouterr().err
    with pytest.raises(InputError, match="workers: expected 1 or more"):
        Cluster(workers=0)
