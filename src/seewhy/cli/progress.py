"""A progress bar on stderr, if a person watches it, and lines on stdout that it does not break."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Speed(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "")


class Watcher:
    """Told how far the work is; prints lines above the bar, if there is one."""

    def __init__(self, bar: Progress | None, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total) if bar else None

    def advance(self, count: int) -> None:
        """`count` more pictures are done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, count)

    def complain(self, line: str) -> None:
        """Show a line on stderr above the bar; where nobody watches there is none."""
        if self._bar is not None:
            self._bar.console.out(line, highlight=False)

    def print(self, lines: Iterable[str]) -> None:
        """Print lines on stdout, at once."""
        for line in lines:
            if self._bar is not None and sys.stdout.isatty():  # one terminal shows both
                self._bar.console.out(line, highlight=False)
            else:
                print(line)
        sys.stdout.flush()


@contextmanager
def watched(total: int, unit: str | None = "pictures") -> Iterator[Watcher]:
    """Show a bar for `total` pictures while the context lasts; it leaves nothing behind.

    Args:
        total: how many there are.
        unit: what they are; None for steps that nobody counts, of which a share is shown.
    """
    if total < 2 or not sys.stderr.isatty():
        yield Watcher(None, total)
        return
    counts = (MofNCompleteColumn(), _Speed(unit)) if unit else (TaskProgressColumn(),)
    parts = (BarColumn(), *counts, TimeRemainingColumn())
    bar = Progress(*parts, console=Console(stderr=True), transient=True, redirect_stdout=False)
    with bar:
        yield Watcher(bar, total)
