"""Audits that are killed, again and again: `python -m tests.audit.killing DATA OUT KILLS ENGINE`.

A process of its own forks a child for every try, so that importing costs its time only once. It
does nothing but that itself: whoever forks after Arrow, PyTorch or a runtime began threads of its
own leaves the child locks that nobody will ever open. The last line it prints is a JSON document.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.audit.materials import classifier, content

from seewhy.audit.local import Wish, run
from seewhy.audit.manifest import read_manifest

WISH = Wish(top=2, batch_size=16, rows_per_shard=32, threads=2)


def child(work: Callable[[], object]) -> int:
    """Do something in a process of its own, and return its id."""
    process = os.fork()
    if process:
        return process
    try:
        work()
        os._exit(0)
    except BaseException as problem:
        sys.stderr.write(f"{type(problem).__name__}: {problem}\n")
        os._exit(1)


def audit(data: Path, out: Path, engine: str) -> Callable[[], object]:
    return lambda: run(data, classifier(), out, replace(WISH, engine=engine))


def digest(folder: Path, into: Path) -> Callable[[], object]:
    return lambda: into.write_text(hashlib.sha256(repr(content(folder)).encode()).hexdigest())


def done(work: Callable[[], object]) -> None:
    """Do something in a process of its own, to its end."""
    assert os.waitpid(child(work), 0)[1] == 0


def wait(process: int, folder: Path, took: float, writing: float) -> None:
    """Wait to any moment of an audit; every other time, to one after it wrote a shard."""
    if random.random() < 0.5:
        time.sleep(random.uniform(0, 0.6 * took))
        return
    before = _shards(folder)
    while _shards(folder) == before and not _has_ended(process):
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.6 * writing))


def _shards(folder: Path) -> int:
    return len(list(folder.glob("shards/*.parquet")))


def _has_ended(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def main(data: Path, out: Path, kills: int, engine: str) -> None:
    """Kill until enough were killed and the last audit is whole."""
    start = time.monotonic()
    done(audit(data, out / "whole", engine))
    took = time.monotonic() - start
    writing = time.time() - (out / "whole" / "shards" / "00000.parquet").stat().st_mtime
    done(digest(out / "whole", whole := out / "whole.txt"))
    random.seed(os.getpid())
    killed, finished, partial, same = 0, 0, 0, True
    while killed < kills:
        folder = out / f"killed-{finished}"
        while not _is_complete(folder):
            process = child(audit(data, folder, engine))
            wait(process, folder, took, writing)
            os.kill(process, signal.SIGKILL)
            was_killed = os.WIFSIGNALED(os.waitpid(process, 0)[1])
            killed += was_killed
            partial += was_killed and (folder / "manifest.json").exists()
        done(audit(data, folder, engine))
        done(digest(folder, seen := out / f"killed-{finished}.txt"))
        finished += 1
        left = [path.name for path in folder.rglob("*.part")]
        same = same and seen.read_text() == whole.read_text() and not left
    told = {"killed": killed, "begun": partial, "finished": finished, "same": same}
    sys.stdout.write(json.dumps(told) + "\n")


def _is_complete(folder: Path) -> bool:
    manifest = read_manifest(folder)
    return manifest is not None and manifest.complete


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
