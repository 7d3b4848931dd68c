"""Two processes on the CPU (gloo) against one that sees the same batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.materials import lay_out

from seewhy.training.metrics import read_metrics

TRAIN = (
    "train nets.py:{net} --data data --size 16 --batch-size 16 --epochs {epochs} "
    "--precision float32 --device cpu --out {out}"
)
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def trained(
    folder: Path, out: str, *more: str, net: str = "Plain", epochs: int = 3, by: str = "-m seewhy"
) -> subprocess.CompletedProcess[str]:
    typed = TRAIN.format(net=net, out=out, epochs=epochs).split()
    return subprocess.run(
        [sys.executable, *by.split(), *typed, *more],
        cwd=folder,
        env=ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def assert_same_training(folder: Path, one: str, other: str) -> None:
    """Sums of floats in another order, no more: the last digits may differ."""
    alone, together = (load_file(folder / out / "model.safetensors") for out in (one, other))
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=1e-4, atol=1e-5)
    for row, its in zip(
        *(read_metrics(folder / o / "metrics.csv") for o in (one, other)), strict=True
    ):
        assert (its["step"], its["accuracy"]) == (row["step"], row["accuracy"])
        assert float(its["loss"]) == pytest.approx(float(row["loss"]), rel=1e-4)


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    lay_out(tmp_path)
    assert trained(tmp_path, "one").returncode == 0
    two = trained(tmp_path, "two", "--processes", "2", "--json")
    assert two.returncode == 0, two.stderr
    assert json.loads(two.stdout)["trained"]["processes"] == 2
    assert two.stderr.count("epoch 3/3") == 1
    assert_same_training(tmp_path, "one", "two")


@pytest.mark.slow
def test_torchrun_starts_them_too(tmp_path: Path) -> None:
    lay_out(tmp_path)
    assert trained(tmp_path, "one").returncode == 0
    by = "-m torch.distributed.run --standalone --nproc-per-node 2 -m seewhy"
    run = trained(tmp_path, "two", by=by)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("test accuracy") == 1
    assert_same_training(tmp_path, "one", "two")


@pytest.mark.slow
def test_killed_together_they_go_on_together(tmp_path: Path) -> None:
    lay_out(tmp_path)
    more = ("--processes", "2", "--checkpoint-every", "0.05")
    assert trained(tmp_path, "whole", *more, net="Slow", epochs=10).returncode == 0
    typed = TRAIN.format(net="Slow", out="cut", epochs=10).split()
    process = subprocess.Popen(
        [sys.executable, "-m", "seewhy", *typed, *more], cwd=tmp_path, env=ONE_THREAD, stderr=-3
    )
    path = tmp_path / "cut" / "checkpoint.safetensors"
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()  # the one that started them: they end with it
    assert process.wait() == -signal.SIGKILL
    again = trained(tmp_path, "cut", *more, net="Slow", epochs=10)
    for _ in range(50):
        if "another process" not in again.stderr:
            break
        time.sleep(0.1)
        again = trained(tmp_path, "cut", *more, net="Slow", epochs=10)
    assert again.returncode == 0, again.stderr
    assert "goes on after step" in again.stderr
    whole, cut = ((tmp_path / o / "model.safetensors").read_bytes() for o in ("whole", "cut"))
    assert cut == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--batch-size", "15"), "batch_size: expected a multiple of the 2 processes, got 15"),
        (("--lr", "nan"), "lr: expected a finite number above 0, got nan; pass another lr"),
        (("--data", "nowhere"), "data nowhere: expected a folder, a "),
    ],
)
def test_what_goes_wrong_is_said_once(tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    lay_out(tmp_path)
    run = trained(tmp_path, "out", "--processes", "2", *more)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"seewhy: {said}")
    assert run.stderr.count("\n") == 1
