"""Start several processes that train together, and end with them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from types import FrameType

from seewhy.memory import keep_freed_memory

Outcome = tuple[int, str]
Work = Callable[[], Outcome]

GRACE = 10.0  # seconds that the others have when one has failed


def launch(work: Work, count: int) -> tuple[int, str]:
    """Run `work` in processes that find each other as those of `torchrun` do.

    Ctrl-C is passed on to them. When one fails the others are stopped, and when this process dies
    they do.

    Args:
        work: what each does; it can be pickled, and returns an exit code, and what to tell the
            user where that is not 0.
        count: how many there are.

    Returns:
        What the first one that failed returned, else 0 and nothing.
    """
    spawn = multiprocessing.get_context("spawn")
    last_words = spawn.SimpleQueue()
    every = [
        spawn.Process(target=_be_one, args=(work, environment, last_words))
        for environment in _environments(count)
    ]
    with _passing_on(every):
        for each in every:
            each.start()
        code = _outcome(every)
    return last_words.get() if not last_words.empty() else (code, "")


def _environments(count: int) -> list[dict[str, str]]:
    """What tells each process its place among the others."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // count))
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(count),
        "OMP_NUM_THREADS": threads,
    }
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def _be_one(work: Work, environment: dict[str, str], last_words: SimpleQueue[Outcome]) -> None:
    """Do the work of one process, as long as the one that started it lives."""
    os.environ.update(environment)
    keep_freed_memory()
    os.setpgid(0, 0)  # Ctrl-C comes from our parent, once
    threading.Thread(target=_die_with_parent, daemon=True).start()
    code, words = work()
    if code:
        last_words.put((code, words))
    sys.exit(code)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _outcome(every: Sequence[SpawnProcess]) -> int:
    """Wait for all; if one fails, the others get some time and are stopped then."""
    running = {each.sentinel: each for each in every}
    code = 0
    while running:
        ended = wait(list(running), GRACE if code else None)
        if not ended:
            for each in running.values():
                each.kill()
        for sentinel in [sentinel for sentinel in running if sentinel in ended]:
            each = running.pop(sentinel)
            each.join()
            code = code or _exit_code(each)
    return code


def _exit_code(process: SpawnProcess) -> int:
    code = process.exitcode or 0
    return code if code >= 0 else 128 - code  # as a shell has it for a signal


@contextlib.contextmanager
def _passing_on(every: Sequence[SpawnProcess]) -> Iterator[None]:
    """Pass Ctrl-C and `kill` on to the processes."""

    def send(number: int, _frame: FrameType | None) -> None:
        for each in every:
            if each.pid is not None and each.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, number)

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, send) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
