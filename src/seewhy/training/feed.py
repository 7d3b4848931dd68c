"""Batches for the steps of a run, from any step on: from memory, or read ahead by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from seewhy.datasets import Pixels, Split
from seewhy.errors import DataError
from seewhy.preprocess import Preprocess
from seewhy.training.augment import Augmentation, Views, gather, kept
from seewhy.training.draws import order

_AHEAD = 2  # batches that are read before they are needed


@dataclass(frozen=True)
class Batch:
    """Pictures as they are looked at.

    Attributes:
        pictures: (B, height, width, 3), uint8.
        labels: (B,), int64.
        others: (B,), int64, the labels of what each was mixed with; None where none was.
        shares: (B,), float32: how much of each is its own; None where all is.
    """

    pictures: Tensor
    labels: Tensor
    others: Tensor | None = None
    shares: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the same on a device."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        there = {name: each for name, each in every.items() if each is not None}
        return Batch(**{name: each.to(device, non_blocking=True) for name, each in there.items()})


def batch_of(images: Tensor, labels: Tensor, rows: Tensor, views: Views) -> Batch:
    """Return the rows (B,) of pictures (N, height, width, 3), with labels (B,), as looked at."""
    pictures = gather(images, rows, views)
    if views.mixed is None:
        return Batch(pictures, labels)
    height, width = images.shape[1:3]
    return Batch(pictures, labels, labels.roll(-1), kept(views.mixed, height, width))


@dataclass
class Timetable:
    """Which pictures each step sees.

    Attributes:
        seed: of the order.
        count: of the pictures.
        batch_size: pictures a step; what is left over at an epoch's end waits for another epoch.
        epochs: of the run.
    """

    seed: int
    count: int
    batch_size: int
    epochs: int
    _order: tuple[int, Tensor] = field(default=(-1, torch.empty(0)), repr=False)

    @property
    def steps_an_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.count // self.batch_size

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.epochs * self.steps_an_epoch

    def epoch(self, step: int) -> int:
        """The epoch that a step is in, from 0."""
        return step // self.steps_an_epoch

    def rows(self, step: int) -> Tensor:
        """The pictures of a step: (batch_size,), int64."""
        epoch, place = divmod(step, self.steps_an_epoch)
        if self._order[0] != epoch:
            self._order = epoch, order(self.seed, epoch, self.count)
        return self._order[1][place * self.batch_size : (place + 1) * self.batch_size]


class Source(Protocol):
    """Pictures with labels, from which batches are read."""

    count: int
    size: tuple[int, int]

    @property
    def skipped(self) -> tuple[str, ...]:
        """One line for each picture that could not be read so far."""
        ...

    def read(self, rows: Tensor, views: Views) -> Batch:
        """Return the pictures `rows` as they are looked at."""
        ...


class Memory:
    """A source whose pictures are all in memory.

    Attributes:
        count: of the pictures.
        size: (height, width).
        skipped: one line for each picture that could not be read.
    """

    def __init__(self, pixels: Pixels) -> None:
        self._images = torch.from_numpy(pixels.images)
        self._labels = torch.from_numpy(pixels.labels)
        self.count, self.skipped = len(pixels), pixels.skipped
        self.size = pixels.images.shape[1], pixels.images.shape[2]

    def read(self, rows: Tensor, views: Views) -> Batch:
        """Return the pictures `rows` as they are looked at."""
        return batch_of(self._images, self._labels[rows], rows, views)


class Disk:
    """A source that decodes pictures as they are needed.

    Attributes:
        count: of the pictures, broken ones among them: these are left out of their batches.
        size: (height, width).
        skipped: one line for each picture that could not be read so far.
    """

    def __init__(self, split: Split, preprocess: Preprocess) -> None:
        self._split, self._preprocess = split, preprocess
        self._broken: dict[str, None] = dict.fromkeys(split.skipped)
        self.count, self.size = len(split), preprocess.size[::-1]

    @property
    def skipped(self) -> tuple[str, ...]:
        """One line for each picture that could not be read so far."""
        return tuple(self._broken)

    def read(self, rows: Tensor, views: Views) -> Batch:
        """Return those of the pictures `rows` that can be read, as they are looked at."""
        pixels = self._split.batch(rows.numpy(), self._preprocess)
        self._broken.update(dict.fromkeys(pixels.skipped))
        if not len(pixels):
            raise DataError(
                f"data, {self._split.name}",
                expected="pictures that can be read",
                got=f"a batch with none: {pixels.skipped[0]}",
                fix="check the files",
            )
        whole = torch.from_numpy(np.isin(rows.numpy(), pixels.rows))
        images, labels = torch.from_numpy(pixels.images), torch.from_numpy(pixels.labels)
        return batch_of(images, labels, torch.arange(len(pixels)), views[whole])


@dataclass(frozen=True)
class Feed:
    """Batches of a source by a timetable; of several processes each gets its part of every batch.

    Attributes:
        source: of the pictures.
        timetable: which of them a step sees.
        augmentation: how they are looked at.
        rank: of this process.
        world: how many processes there are.
    """

    source: Source
    timetable: Timetable
    augmentation: Augmentation
    rank: int = 0
    world: int = 1

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: this process' part of it."""
        rows = self.timetable.rows(step)
        views = self.augmentation.views(step, self.timetable.epoch(step), rows)
        share = len(rows) // self.world
        part = slice(self.rank * share, (self.rank + 1) * share)
        return self.source.read(rows[part], views[part])

    @contextmanager
    def batches(self, start: int) -> Iterator[Iterator[Batch]]:
        """Give the batches from a step on; what is not in memory is read ahead meanwhile."""
        each = (self.batch(step) for step in range(start, self.timetable.steps))
        if isinstance(self.source, Memory):
            yield each
        else:
            with closing(ahead(each)) as read:
                yield read


def ahead(batches: Iterator[Batch], *, count: int = _AHEAD) -> Generator[Batch]:
    """Take from an iterator in a thread, some before they are asked for; its errors come through.

    Closing the generator ends the thread.
    """
    room, ready = threading.Semaphore(count), queue.SimpleQueue[Batch | BaseException | None]()
    is_wanted = threading.Event()
    is_wanted.set()

    def work() -> None:
        last: BaseException | None = None
        try:
            for batch in batches:
                ready.put(batch)
                room.acquire()
                if not is_wanted.is_set():
                    return
        except BaseException as problem:
            last = problem
        ready.put(last)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while isinstance(each := ready.get(), Batch):
            room.release()
            yield each
        if each is not None:
            raise each
    finally:
        is_wanted.clear()
        room.release()
        thread.join()
