"""Data sets as commands read them: one that has to be downloaded first shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from seewhy.datasets import Dataset
    from seewhy.datasets.download import OnDownload


def load_dataset(path: str) -> Dataset:
    """Load a data set; a download is shown as a bar, or in a log as a line when it begins.

    Raises:
        SeewhyError: as `seewhy.datasets.load_dataset`.
    """
    from seewhy import datasets

    with download_shown() as on_download:
        return datasets.load_dataset(path, on_download=on_download)


@contextmanager
def download_shown() -> Iterator[OnDownload]:
    """Give what is to be told how many bytes are there; it shows nothing where it is told none."""
    parts = (
        TextColumn("downloading"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*parts, console=Console(stderr=True), transient=True, redirect_stdout=False)
    is_watched = sys.stderr.isatty()

    def told(done: int, total: int | None) -> None:
        if not bar.tasks:
            bar.add_task("", total=total)
            if is_watched:
                bar.start()
            else:
                size = "" if total is None else f" {total / 1e6:,.0f} MB"
                print(f"downloading{size}", file=sys.stderr, flush=True)
        bar.update(bar.task_ids[0], completed=done, total=total)

    try:
        yield told
    finally:
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()
