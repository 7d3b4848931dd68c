"""How far training is, on stderr: a bar for a person, a line after each epoch for a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from seewhy.cli.text import plain

if TYPE_CHECKING:
    from seewhy.training import Progress as Done


@dataclass(frozen=True)
class Shown:
    """Where training tells how it is going.

    Attributes:
        watch: told how far it is.
        tell: told in words what is worth knowing.
    """

    watch: Callable[[Done], None]
    tell: Callable[[str], None]


@contextmanager
def epochs_shown() -> Iterator[Shown]:
    """Show a bar while the context lasts if a person watches, and a line for each epoch."""
    if not sys.stderr.isatty():
        yield Shown(lambda done: _tell_epoch(done, say), _say_lines)
        return
    parts = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*parts, console=console, transient=True, redirect_stdout=False) as bar:
        yield _on(bar)


def say(line: str) -> None:
    """Print a line on stderr."""
    print(plain(line), file=sys.stderr, flush=True)


def _say_lines(lines: str) -> None:
    for line in lines.splitlines():
        say(line)


def _on(bar: Progress) -> Shown:
    task = bar.add_task("reading the pictures", total=None)

    def tell(line: str) -> None:
        for part in line.splitlines():
            bar.console.out(plain(part), highlight=False)

    def watch(done: Done) -> None:
        doing = f"epoch {done.epoch}/{done.epochs}  {_numbers(done)}"
        bar.update(task, description=doing, completed=done.step, total=done.steps)
        _tell_epoch(done, tell)

    return Shown(watch, tell)


def _tell_epoch(done: Done, tell: Callable[[str], None]) -> None:
    if done.row is None or done.step * done.epochs != done.epoch * done.steps:
        return
    held_out = done.row.validation_accuracy
    more = "" if held_out is None else f"  held out {held_out:.2%}"
    left = f"  {timedelta(seconds=round(done.left))} left" if done.step < done.steps else ""
    tell(f"epoch {done.epoch}/{done.epochs}  {_numbers(done)}{more}{left}")


def _numbers(done: Done) -> str:
    speed = done.pictures / max(done.seconds, 1e-9)
    return f"loss {done.loss:.4f}  accuracy {done.accuracy:.2%}  {speed:,.0f} images/s"
