"""`run`: an audit on one machine. Pictures are read ahead, batch by batch, while the network runs.

Each worker has a whole engine of its own that computes with one thread: nobody waits for anybody at
the end of every layer, and the numbers do not depend on how many workers there are.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import torch
from torch import Tensor

from seewhy import heads
from seewhy.audit import store
from seewhy.audit.explaining import Explainer, Settings, explain_prepared, joined, normalised
from seewhy.audit.listing import Labels, Listing, with_classes
from seewhy.audit.manifest import Manifest, Shard, check_same, read_manifest, write_manifest
from seewhy.audit.pinned import manifest_of
from seewhy.audit.prepare import Prepared, prepare
from seewhy.audit.sources import list_pictures
from seewhy.engines import AUTO, Precision, make_engine
from seewhy.errors import InputError
from seewhy.files import writable_folder
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

Item = TypeVar("Item")
Result = TypeVar("Result")

PIXELS = 2**21  # of a batch, where its size is not given
LARGEST_BATCH = 256
CALIBRATION = 128  # pictures


@dataclass(frozen=True)
class Wish:
    """How an audit is wanted.

    Attributes:
        top: how many of the most probable classes get a map.
        engine: what runs the network, see `seewhy.engines`; "auto" is decided once.
        precision: what it computes with.
        threads: how many workers there are; by default one a core. No number depends on it.
        batch_size: how many pictures go through the network together; by default by their size.
        rows_per_shard: how many rows a file has.
        limit: the first pictures only.
        labels: see `list_pictures`.
        boxes: see `list_pictures`.
        scaled: whether large JPEGs may be decoded smaller: faster, with slightly other logits.
        restart: forget what an audit left in the folder before.
    """

    top: int = 5
    engine: str = "auto"
    precision: Precision = "float32"
    threads: int | None = None
    batch_size: int | None = None
    rows_per_shard: int = 4096
    limit: int | None = None
    labels: Labels = "auto"
    boxes: str | Path | None = None
    scaled: bool = False
    restart: bool = False

    def __post_init__(self) -> None:
        numbers = ("top", "threads", "batch_size", "rows_per_shard", "limit")
        for name in numbers:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(name, expected="1 or more", got=str(value), fix="pass another")

    def settings(self, preprocess: Preprocess) -> Settings:
        """What has a say in the numbers."""
        width, height = preprocess.size
        fitting = max(1, min(LARGEST_BATCH, PIXELS // (width * height)))
        usual = 1 << (fitting.bit_length() - 1)
        batch = self.batch_size or usual
        return Settings(self.top, batch, self.rows_per_shard, self.scaled)


@dataclass(frozen=True)
class Watching:
    """Where an audit tells how it is going.

    Attributes:
        begin: told how many rows there are, and how many are there already.
        advance: told how many rows more are done.
        failed: told of a picture that failed, in one line.
        note: told what is worth knowing.
    """

    begin: Callable[[int, int], None] = lambda _total, _done: None
    advance: Callable[[int], None] = lambda _count: None
    failed: Callable[[str], None] = lambda _line: None
    note: Callable[[str], None] = lambda _line: None


def run(
    source: str | Path,
    classifier: Classifier,
    out: str | Path,
    wish: Wish | None = None,
    watching: Watching | None = None,
) -> Manifest:
    """Explain every picture of a data set, and keep it in a folder; go on where one was begun.

    A shard is a fixed range of rows in fixed batches, and is there whole or not at all: killed at
    any moment, the same call goes on, to the very bytes of a run that was never disturbed.

    Args:
        source: see `list_pictures`.
        classifier: what `load_model` gives.
        out: the folder.
        wish: how it is wanted.
        watching: told how it is going.

    Returns:
        The manifest of the complete store.

    Raises:
        AuditError: another audit is in the folder, or another process is at work there.
        DataError: the data cannot be used, or not with this model.
        FileError: a file cannot be written: disk full, no permission.
        HeadNotFound: the model has no features with positions.
        ModelError: the network cannot be run.
    """
    wish, watching = wish or Wish(), watching or Watching()
    folder = Path(out).expanduser()
    with store.claimed(folder), _one_thread_each():
        if wish.restart:
            store.forget(folder)
        begun = read_manifest(folder)
        listing = list_pictures(source, boxes=wish.boxes, labels=wish.labels).first(wish.limit)
        explainers = _explainers(classifier, wish, listing, begun, watching.note)
        listing = matched(listing, explainers[0])
        settings = wish.settings(classifier.preprocess)
        asked = manifest_of(listing, explainers[0], settings)
        for line in listing.notes:
            watching.note(line)
        manifest = gone_on(folder, begun, asked)
        return _Run(folder, manifest, listing, settings, explainers, watching).finish()


def matched(listing: Listing, explainer: Explainer) -> Listing:
    """The same with labels that are numbers of the explainer's classes, see `with_classes`."""
    name = explainer.classifier.name
    return with_classes(listing, explainer.class_names, explainer.num_classes, model=name)


def gone_on(folder: Path, begun: Manifest | None, asked: Manifest) -> Manifest:
    """The manifest to go on from: written, and with every shard that lies there whole.

    Raises:
        AuditError: what was begun is another audit.
        FileError: it cannot be written.
    """
    if begun is not None:
        check_same(folder, begun, asked)
        asked = replace(asked, created=begun.created)
    writable_folder(folder / store.SHARDS)
    listed = {shard.file: shard for shard in (begun.shards if begun else ())}
    found = [_found(folder, number, listed, asked) for number in range(len(ranges(asked)))]
    manifest = asked.with_shards([shard for shard in found if shard is not None])
    write_manifest(folder, manifest)
    return manifest


def _found(folder: Path, number: int, listed: dict[str, Shard], asked: Manifest) -> Shard | None:
    known = listed.get(store.shard_file(number))
    if known is not None and store.is_there(folder, known):
        return known
    return store.whole_shard(folder, number, asked)


def ranges(manifest: Manifest) -> list[range]:
    """The rows of each shard."""
    count, size = manifest.data["count"], manifest.settings["rows_per_shard"]
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def missing(manifest: Manifest) -> list[tuple[int, range]]:
    """The number and the rows of each shard that is not there yet."""
    there = {shard.file for shard in manifest.shards}
    every = enumerate(ranges(manifest))
    return [(number, rows) for number, rows in every if store.shard_file(number) not in there]


def explainer_of(
    classifier: Classifier,
    engine: str,
    example: Tensor,
    *,
    precision: Precision = "float32",
    threads: int = 1,
    top: int = 5,
    note: Callable[[str], object] = lambda _line: None,
) -> Explainer:
    """An engine and a head for a network.

    Args:
        classifier: the network.
        engine: see `make_engine`.
        example: prepared pictures like those to come, as many as will come together.
        precision: of the engine.
        threads: of the engine.
        top: see `Explainer`.
        note: see `make_engine`.

    Raises:
        HeadNotFound: it has no features with positions.
        ModelError: the engine cannot take it.
    """
    head = heads.cached_head(classifier.module, classifier.example(2))
    made = make_engine(
        classifier,
        head,
        engine,
        precision=precision,
        threads=threads,
        example=example,
        note=note,
    )
    return Explainer(classifier, head, made, top)


def _explainers(
    classifier: Classifier,
    wish: Wish,
    listing: Listing,
    begun: Manifest | None,
    note: Callable[[str], object],
) -> list[Explainer]:
    """One for each worker; where the engine is left open, the one that it was begun with.

    What is read anew in each pass is recorded with a switch that threads share, and a GPU is one:
    there is one worker only.
    """
    engine = begun.engine["engine"] if begun and wish.engine == AUTO else wish.engine
    settings = wish.settings(classifier.preprocess)
    make = partial(explainer_of, classifier, precision=wish.precision, top=wish.top)
    example = example_of(listing, classifier, settings, wish.precision)
    first = make(engine, example, note=note)
    is_alone = first.head.plan is not None or classifier.device.type != "cpu"
    others = 0 if is_alone else (wish.threads or cores()) - 1
    return [first, *(make(first.engine.name, example) for _ in range(others))]


def example_of(
    listing: Listing, classifier: Classifier, settings: Settings, precision: Precision
) -> Tensor:
    """The first pictures, prepared: one batch, or as many as integers are calibrated on."""
    count = max(settings.batch_size, CALIBRATION if precision == "int8" else 0)
    rows = range(min(count, len(listing)))
    prepared = prepare(listing, rows, classifier.preprocess, scaled=settings.scaled)
    return normalised(prepared.frames, classifier.preprocess).to(classifier.device)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep PyTorch from computing with several threads in each worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Run:
    """One run of an audit: batches go through the workers in order, and shards to the disk."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        listing: Listing,
        settings: Settings,
        explainers: Sequence[Explainer],
        watching: Watching,
    ) -> None:
        self.folder, self.manifest, self.listing = folder, manifest, listing
        self.settings, self.watching = settings, watching
        self.free: SimpleQueue[Explainer] = SimpleQueue()
        for explainer in explainers:
            self.free.put(explainer)
        self.workers = len(explainers)
        self.preprocess = explainers[0].classifier.preprocess
        self.readers = max(self.workers, cores() if self.workers == 1 else 1)

    def finish(self) -> Manifest:
        """Make every shard that is not there yet."""
        done = self.manifest.counts["rows"]
        self.watching.begin(len(self.listing), done)
        todo = missing(self.manifest)
        with pool(self.readers) as readers, pool(self.workers) as workers, pool(1) as writer:
            writing: deque[Future[None]] = deque()
            for number, table in self._tables(todo, readers, workers):
                writing.append(writer.submit(self._write, number, table))
                if len(writing) > 1:
                    writing.popleft().result()
            while writing:
                writing.popleft().result()
        return self.manifest

    def _write(self, number: int, table: Any) -> None:
        shard = store.write_shard(self.folder, number, table, self.manifest)
        self.manifest = self.manifest.with_shards([*self.manifest.shards, shard])
        write_manifest(self.folder, self.manifest)

    def _tables(
        self,
        todo: Sequence[tuple[int, range]],
        readers: ThreadPoolExecutor,
        workers: ThreadPoolExecutor,
    ) -> Iterator[tuple[int, Any]]:
        """The rows of each shard, in order."""
        batches = [list(self.settings.batches(rows)) for _, rows in todo]
        prepared = in_order(
            readers, self._prepare, itertools.chain.from_iterable(batches), ahead=self.readers + 1
        )
        explained = in_order(workers, self._explain, prepared, ahead=self.workers)
        for (number, _), each in zip(todo, batches, strict=True):
            parts = []
            for part in itertools.islice(explained, len(each)):
                self._tell(part)
                parts.append(part)
            yield number, joined(parts)

    def _prepare(self, rows: range) -> Prepared:
        return prepare(self.listing, rows, self.preprocess, scaled=self.settings.scaled)

    def _explain(self, prepared: Prepared) -> Any:
        explainer = self.free.get()
        try:
            return explain_prepared(prepared, explainer)
        finally:
            self.free.put(explainer)

    def _tell(self, table: Any) -> None:
        errors = table["error"]
        if errors.null_count < len(errors):
            for line in errors.drop_null().to_pylist():
                self.watching.failed(line)
        self.watching.advance(len(table))


@contextmanager
def pool(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads; what has not begun when the context is left never will."""
    made = ThreadPoolExecutor(count, thread_name_prefix="seewhy-audit")
    try:
        yield made
    finally:
        made.shutdown(cancel_futures=True)


def in_order(
    workers: ThreadPoolExecutor,
    do: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int,
) -> Iterator[Result]:
    """Yield `do(item)` for each item in order, at most `ahead` begun before they are asked for."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(workers.submit(do, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
