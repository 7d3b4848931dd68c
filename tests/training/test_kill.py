"""`kill -9` at any moment: the same command goes on, and ends with the same weights."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.training.materials import lay_out

from seewhy.training.metrics import read_metrics

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def command(net: str, *more: str) -> list[str]:
    typed = f"train nets.py:{net} --data data --size 16 --batch-size 16 --epochs 30 --device cpu"
    return [sys.executable, "-m", "seewhy", *typed.split(), *more]


def begun(folder: Path, out: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("Slow", "--out", out, "--checkpoint-every", "0.05", *more),
        cwd=folder,
        env=ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def without_time(path: Path) -> list[dict[str, str]]:
    return [{**row, "seconds": ""} for row in read_metrics(path)]


def until_trained(out: Path, process: subprocess.Popen[str]) -> None:
    """Wait for a checkpoint that the process itself wrote, or for its end."""
    began, end = time.time(), time.monotonic() + 120
    path = out / "checkpoint.safetensors"
    while process.poll() is None and not (path.exists() and path.stat().st_mtime > began):
        assert time.monotonic() < end, "no checkpoint in two minutes"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    [
        "--precision float32",
        "--precision bfloat16",
        "--precision float32 --cutout 0.3 --hide-and-seek 0.25 --cutmix 1",
    ],
)
def test_killed_several_times_it_ends_with_the_same_weights(tmp_path: Path, typed: str) -> None:
    lay_out(tmp_path)
    more = typed.split()
    assert ended(begun(tmp_path, "whole", *more))[0] == 0
    moments, kills = random.Random(0), 0
    for _ in range(5):
        process = begun(tmp_path, "cut", *more)
        until_trained(tmp_path / "cut", process)
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        kills += ended(process)[0] == -signal.SIGKILL
    code, out, err = ended(begun(tmp_path, "cut", *more))
    assert kills >= 3
    assert code == 0
    assert "goes on after step" in err
    assert "test accuracy" in out
    whole, cut = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("whole", "cut"))
    assert cut == whole
    assert without_time(tmp_path / "cut/metrics.csv") == without_time(
        tmp_path / "whole/metrics.csv"
    )


@pytest.mark.slow
def test_ctrl_c_saves_where_it_is_and_says_how_to_go_on(tmp_path: Path) -> None:
    lay_out(tmp_path)
    process = begun(tmp_path, "out")
    until_trained(tmp_path / "out", process)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out) == (130, "")
    last = err.splitlines()[-1]
    assert last.startswith("interrupted after step ")
    assert last.endswith(" of 120; the same command goes on")
    step = last.split()[3]
    again = begun(tmp_path, "out")
    until_trained(tmp_path / "out", again)
    again.send_signal(signal.SIGTERM)
    assert f"goes on after step {step} of 120" in ended(again)[2]


@pytest.mark.slow
def test_two_at_once_in_one_folder(tmp_path: Path) -> None:
    lay_out(tmp_path)
    first = begun(tmp_path, "out")
    until_trained(tmp_path / "out", first)
    code, out, err = ended(begun(tmp_path, "out"))
    first.kill()
    first.communicate()
    assert (code, out) == (2, "")
    assert err == (
        "seewhy: run out: expected a folder that nobody is training in, got another process at "
        "work there; wait for it, or choose another --out\n"
    )


@pytest.mark.slow
def test_compiled_in_bfloat16_two_runs_and_a_cut_one_are_the_same(tmp_path: Path) -> None:
    """As `seewhy train resnet20` runs here by default; a fresh compilation each time."""
    lay_out(tmp_path)
    more = ("--compile", "--precision", "bfloat16", "--threads", "2", "--epochs", "12")

    def trained(out: str, *, kill: bool) -> bytes:
        environment = {**ONE_THREAD, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / f"cache-{out}")}
        typed = command("Normed", "--out", out, "--checkpoint-every", "0.01", *more)
        if kill:
            process = subprocess.Popen(typed, cwd=tmp_path, env=environment, stderr=-3, stdout=-3)
            path = tmp_path / out / "checkpoint.safetensors"
            while not path.exists() and process.poll() is None:
                time.sleep(0.01)
            process.kill()
            assert process.wait() == -signal.SIGKILL
        subprocess.run(typed, cwd=tmp_path, env=environment, check=True, capture_output=True)
        return (tmp_path / out / "model.safetensors").read_bytes()

    whole = trained("a", kill=False)
    assert trained("b", kill=False) == whole
    assert trained("c", kill=True) == whole
