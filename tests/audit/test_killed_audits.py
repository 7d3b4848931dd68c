"""`kill -9` at any moment, a full disk, Ctrl-C: the same command goes on to the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.audit.materials import classifier, content, lay_out

from seewhy import open_audit
from seewhy.audit.local import Wish, run
from seewhy.errors import FileError

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
WISH = Wish(engine="torch", top=2, batch_size=16, rows_per_shard=32, threads=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "kills"), [("torch", 10), ("onnx", 4), ("openvino", 4), ("mnn", 4)]
)
def test_killed_at_random_it_ends_with_the_same_bytes(
    engine: str, kills: int, tmp_path: Path
) -> None:
    pytest.importorskip({"onnx": "onnxruntime", "mnn": "MNN"}.get(engine, engine))
    data = lay_out(tmp_path / "data", 403)  # the last batch is no whole number of parts
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit.killing", data, tmp_path, str(kills), engine],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["same"], told
    assert told["killed"] >= kills
    assert told["begun"] >= 1  # some of them while there was a store; when, no one can say
    audit = open_audit(tmp_path / "killed-0")
    assert audit.manifest.engine["engine"] == engine
    assert audit.table(["row"])["row"].to_pylist() == list(range(403))
    audit.verify()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if not made or made.returncode:
        pytest.skip("no right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_costs_nothing_that_was_there(small_disk: Path, tmp_path: Path) -> None:
    data = lay_out(tmp_path / "data", 403)  # the last batch is no whole number of parts
    run(data, classifier(), tmp_path / "whole", WISH)
    with pytest.raises(FileError, match="no space left on device"):
        run(data, classifier(), small_disk, WISH)
    begun = open_audit(small_disk)
    assert 0 < len(begun) < 400
    begun.verify()
    assert not list(small_disk.rglob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    run(data, classifier(), small_disk, WISH)
    assert content(small_disk) == content(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "data", 403)  # the last batch is no whole number of parts
    typed = f"audit {data} --model resnet20-cifar10 --out {tmp_path}/run --shard-rows 8"
    command = [sys.executable, "-m", "seewhy", *typed.split(), "--batch-size", "4"]
    process = subprocess.Popen(
        [*command, "--engine", "torch"], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while not (tmp_path / "run" / "shards" / "00001.parquet").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted; the same command goes on from {tmp_path}/run" in said
    assert 0 < len(open_audit(tmp_path / "run")) < 400
