"""Audits that are killed, again and again: run as `python -m tests.audit.killing DATA OUT KILLS`.

A process of its own forks a child for every try, so that importing costs its time only once. It
does nothing but that itself: whoever forks after Arrow or PyTorch began threads of theirs leaves
the child locks that nobody will ever open. The last line it prints is a JSON document.
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
from pathlib import Path

from tests.audit.materials import classifier, content

from seewhy.audit.local import Wish, run
from seewhy.audit.store import read_manifest

WISH = Wish(engine="torch", top=2, batch_size=16, rows_per_shard=32, threads=2)


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


def audit(data: Path, out: Path) -> Callable[[], object]:
    return lambda: run(data, classifier(), out, WISH)


def digest(folder: Path, into: Path) -> Callable[[], object]:
    return lambda: into.write_text(hashlib.sha256(repr(content(folder)).encode()).hexdigest())


def done(work: Callable[[], object]) -> None:
    """Do something in a process of its own, to its end."""
    assert os.waitpid(child(work), 0)[1] == 0


def main(data: Path, out: Path, kills: int) -> None:
    """Kill until enough were killed and the last audit is whole."""
    start = time.monotonic()
    done(audit(data, out / "whole"))
    took = time.monotonic() - start
    done(digest(out / "whole", whole := out / "whole.txt"))
    random.seed(os.getpid())
    killed, finished, partial, same = 0, 0, 0, True
    while killed < kills:
        folder = out / f"killed-{finished}"
        while not _is_complete(folder):
            process = child(audit(data, folder))
            time.sleep(random.uniform(0, 0.6 * took))
            os.kill(process, signal.SIGKILL)
            was_killed = os.WIFSIGNALED(os.waitpid(process, 0)[1])
            killed += was_killed
            partial += was_killed and (folder / "manifest.json").exists()
        done(audit(data, folder))
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
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
