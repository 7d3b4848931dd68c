"""What does it bring to keep freed memory? The bare forward pass in PyTorch, with and without.

python -m benchmarks.kept            # every network; writes its table in docs/engines.md
python -m benchmarks.kept --quick    # a shorter look; prints only

The switch cannot be turned back, so each way has a process of its own; the two take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

from benchmarks.cost import bare
from benchmarks.nets import NETS, in_faster_format, pictures
from benchmarks.page import keep, machine
from benchmarks.timing import Contender, race
from seewhy.memory import keep_freed_memory

BATCHES = (1, 16)
LEFT, KEPT = "as glibc does", "kept"
PAGE = "engines.md"


def passes(asked: Connection, name: str, batch: int, *, is_kept: bool) -> None:
    """The other process: one pass for each message."""
    if is_kept:
        assert keep_freed_memory(), "only glibc has the switch"
    net = next(net for net in NETS if net.name == name)
    place = in_faster_format(bare, net.build(), pictures(batch))
    while asked.recv():
        place.contender()
        asked.send(True)


@contextlib.contextmanager
def process(name: str, batch: int, *, is_kept: bool) -> Iterator[Contender]:
    """A pass in a process of its own, which ends with the context."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    other = spawn.Process(target=passes, args=(there, name, batch), kwargs={"is_kept": is_kept})
    other.start()
    there.close()  # so that one that died is noticed

    def run() -> None:
        here.send(True)
        here.recv()

    try:
        yield run
    finally:
        with contextlib.suppress(BrokenPipeError):
            here.send(False)
        other.join()


def rows(*, quick: bool) -> Iterator[str]:
    """The Markdown table, line by line as the results come in."""
    yield f"| network | batch | images/s, {LEFT} | {KEPT} | times as fast |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for net in NETS:
        for batch in BATCHES:
            with (
                process(net.name, batch, is_kept=False) as left,
                process(net.name, batch, is_kept=True) as kept,
            ):
                timings = race({LEFT: left, KEPT: kept}, seconds=3.0 if quick else 15.0)
            speeds = (f"{batch / timings.median(way):.1f}" for way in (LEFT, KEPT))
            gain = timings.speed(KEPT, over=LEFT)
            yield f"| {net.name} | {batch} | {' | '.join(speeds)} | {gain} |"


def main() -> None:
    """Print the table, and put it in its page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kept")
    parser.add_argument("--quick", action="store_true", help="a short look, which is not kept")
    options = parser.parse_args()
    lines = [machine(("torch", "torchvision")), ""]
    for line in rows(quick=options.quick):
        print(line, flush=True)
        lines.append(line)
    if not options.quick:
        keep(PAGE, "kept", lines)


if __name__ == "__main__":
    main()
