"""`run`: an audit on a Ray cluster. Ray Data hands the numbers of missing shards to workers.

A worker holds the network and turns the number of a shard into the bytes of its file, with the
functions of an audit on one machine. The driver, where the command was typed, lists the pictures,
holds the lock and alone writes: only the pictures have to be within reach of every machine. Nothing
in a store tells that a cluster made it, so that either way of running goes on where the other was.

What a lost worker or machine had not delivered is asked for again in another round. Ray could
repeat a task by itself, but only on the worker that it was given to: without a machine to put that
worker on it would wait for ever.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import Any

import torch

from seewhy.audit import store
from seewhy.audit.explaining import Explainer, Settings, explain_prepared, joined
from seewhy.audit.listing import Listing
from seewhy.audit.local import (
    Watching,
    Wish,
    example_of,
    explainer_of,
    gone_on,
    in_order,
    matched,
    missing,
    pool,
)
from seewhy.audit.manifest import Manifest, Shard, check_same, read_manifest, write_manifest
from seewhy.audit.pinned import manifest_of
from seewhy.audit.places import Local
from seewhy.audit.prepare import prepare
from seewhy.audit.sources import list_pictures
from seewhy.engines import AUTO
from seewhy.errors import (
    AuditError,
    DataError,
    InputError,
    MissingExtraError,
    ModelError,
    SeewhyError,
)
from seewhy.memory import keep_freed_memory
from seewhy.models import Classifier
from seewhy.wording import complaint

HERE = "local"
PATIENCE = 3  # rounds without a single shard
KNOCK = 10  # seconds

# Ray reads these as it is imported: no report to its makers, no warning that a worker without a GPU
# will see none, and nothing on stderr about what is ours to judge.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True)
class Cluster:
    """Where an audit runs.

    Attributes:
        address: HOST:PORT of a cluster's head; "auto" for the one that this machine is part of;
            "local" starts one here, for as long as the audit takes.
        workers: how many at once; by default one a GPU, or one a core where there are none.
        device: what they compute on; by default a GPU if the cluster has any.
    """

    address: str = HERE
    workers: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            got = str(self.workers)
            raise InputError("workers", expected="1 or more", got=got, fix="pass another")


def run(
    source: str | Path,
    classifier: Classifier,
    out: str | Path,
    wish: Wish | None = None,
    watching: Watching | None = None,
    cluster: Cluster | None = None,
) -> Manifest:
    """Explain every picture of a data set on a cluster; see `seewhy.audit.local.run`.

    Args:
        source: within reach of every machine under the same name.
        classifier: sent to the workers as it is, weights and all.
        out: the folder; only this machine needs it.
        wish: how it is wanted; its `threads` are not used.
        watching: told how it is going.
        cluster: where it runs; a Ray that this process has started already is used as it is.

    Raises:
        AuditError: there is no such cluster; its machines differ in what has a say in the numbers;
            its workers die again and again; and as on one machine.
        MissingExtraError: Ray is not installed.
        SeewhyError: as on one machine.
    """
    wish, watching, cluster = wish or Wish(), watching or Watching(), cluster or Cluster()
    folder = Path(out).expanduser()
    with store.claimed(folder), _connected(cluster.address) as ray:
        if wish.restart:
            store.forget(folder)
        begun = read_manifest(folder)
        listing = list_pictures(source, boxes=wish.boxes, labels=wish.labels).first(wish.limit)
        share = _share(ray, cluster)
        engine = begun.engine["engine"] if begun and wish.engine == AUTO else wish.engine
        job = _Job(_movable(classifier), listing, replace(wish, engine=engine), share)
        asked, notes = _asked(ray, job)
        for line in notes:
            watching.note(line)
        manifest = gone_on(folder, begun, asked)
        watching.begin(len(listing), manifest.counts["rows"])
        return _Run(ray, folder, manifest, job, watching).finish()


# What a worker does


@dataclass(frozen=True)
class _Share:
    """What of the cluster there is, and what each worker takes of it."""

    workers: int
    cpus: int
    gpus: int
    device: str

    @property
    def each(self) -> dict[str, int]:
        """In Ray's words."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}


@dataclass(frozen=True, eq=False)
class _Job:
    """What travels to the workers; each does with it what an audit on one machine does."""

    classifier: Classifier
    listing: Listing
    wish: Wish
    share: _Share
    asked: Manifest | None = None

    @property
    def settings(self) -> Settings:
        return self.wish.settings(self.classifier.preprocess)

    @cached_property
    def explainer(self) -> Explainer:
        torch.set_num_threads(1)
        wish, module = self.wish, self.classifier.module.to(self.share.device)
        classifier = replace(self.classifier, module=module)
        example = example_of(self.listing, classifier, self.settings, wish.precision)
        precision = wish.precision
        return explainer_of(classifier, wish.engine, example, precision=precision, top=wish.top)

    @cached_property
    def matched(self) -> Listing:
        _require_pictures(self.listing)
        return matched(self.listing, self.explainer)

    @cached_property
    def manifest(self) -> Manifest:
        """What this machine would make.

        Raises:
            AuditError: that differs from what was asked for.
        """
        own = manifest_of(self.matched, self.explainer, self.settings)
        if self.asked is not None:
            check_same(f"on {os.uname().nodename}", self.asked, own)
        return own

    def shard(self, number: int) -> _Made:
        """One shard, as an audit on one machine would write it."""
        manifest, settings, size = self.manifest, self.settings, self.wish.rows_per_shard
        rows = range(number * size, min((number + 1) * size, len(self.matched)))
        read = partial(
            prepare,
            self.matched,
            preprocess=self.classifier.preprocess,
            scaled=settings.scaled,
        )
        with pool(self.share.cpus) as readers:
            prepared = in_order(readers, read, settings.batches(rows), ahead=self.share.cpus + 1)
            table = joined(explain_prepared(batch, self.explainer) for batch in prepared)
        shard, content = store.encoded(number, table, manifest)
        return _Made(shard, content.to_pybytes(), table["error"].drop_null().to_pylist())


@dataclass(frozen=True, eq=False)
class _Made:
    """A shard, the bytes of its file, and a line for each picture that failed."""

    shard: Shard
    content: bytes
    failures: list[str]


class _Worker:
    """An actor of Ray Data's: from a table of shard numbers to one of pickled answers.

    An error is an answer, too, and stops the audit where it arrives; Ray would wrap it, and take it
    for the death of a worker.
    """

    def __init__(self, job: Any) -> None:
        self._reference = job
        keep_freed_memory()

    @cached_property
    def _job(self) -> _Job:
        import ray

        job: _Job = ray.get(self._reference)
        return job

    def __call__(self, batch: Any) -> Any:
        import pyarrow as pa

        answers = [self._answer(number) for number in batch["shard"].to_pylist()]
        return pa.table({"answer": pa.array(answers, pa.large_binary())})

    def _answer(self, number: int) -> bytes:
        try:
            return pickle.dumps(self._job.shard(number))
        except Exception as problem:
            return pickle.dumps(_presentable(problem))


def _presentable(problem: Exception) -> SeewhyError:
    """The error as one that can travel, and that a command shows in one line."""
    if isinstance(problem, SeewhyError):
        return problem
    place, reason = os.uname().nodename, f"{type(problem).__name__}: {complaint(problem)}"
    return AuditError(
        f"worker on {place}", expected="a shard", got=reason, fix="try one machine without --ray"
    )


def _require_pictures(listing: Listing) -> None:
    """See that a folder of pictures is here, too: otherwise every row would be a failure."""
    pictures = listing.pictures
    if isinstance(pictures, Local) and not Path(pictures.root).is_dir():
        raise DataError(
            f"data {listing.source}",
            expected="the same folder on every machine of the cluster",
            got=f"none on {os.uname().nodename}",
            fix="share it between them, or pass an address such as s3://bucket/folder",
        )


def _first_look(job: _Job) -> tuple[Manifest, tuple[str, ...]] | SeewhyError:
    """What a worker says an audit of this job is of: the engine is chosen where it will run."""
    try:
        return job.manifest, job.matched.notes
    except Exception as problem:
        return _presentable(problem)


# What the driver does


def _without_deprecations(do: Callable[..., Any]) -> Callable[..., Any]:
    """Ray warns of its own settings as it makes them, and of how often a task may be tried."""

    @wraps(do)
    def run(*given: Any) -> Any:
        from ray.util.annotations import RayDeprecationWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", RayDeprecationWarning)
            return do(*given)

    return run


def _asked(ray: Any, job: _Job) -> tuple[Manifest, tuple[str, ...]]:
    answer = ray.get(ray.remote(_first_look).options(**job.share.each).remote(job))
    if isinstance(answer, SeewhyError):
        raise answer
    found: tuple[Manifest, tuple[str, ...]] = answer
    return found


class _Run:
    """One run of an audit: rounds, until every shard is there."""

    def __init__(
        self, ray: Any, folder: Path, manifest: Manifest, job: _Job, watching: Watching
    ) -> None:
        self.ray, self.folder, self.manifest, self.watching = ray, folder, manifest, watching
        wish = replace(job.wish, engine=manifest.engine["engine"])
        self.share, self.job = job.share, ray.put(replace(job, wish=wish, asked=manifest))

    def finish(self) -> Manifest:
        """Make every shard that is not there yet."""
        in_vain = 0
        while todo := missing(self.manifest):
            self._round([number for number, _ in todo])
            left = missing(self.manifest)
            in_vain = in_vain + 1 if len(left) == len(todo) else 0
            if in_vain == PATIENCE:
                raise self._refusal(left)
            if left:
                count = f"{len(left):,} of {len(todo):,} shards"
                self.watching.note(f"a worker was lost; asking again for {count}")
        return self.manifest

    def _round(self, numbers: Sequence[int]) -> None:
        """Ask for each of these shards once, and keep those that come."""
        with _quiet(self.ray):
            answers = self._answers(numbers)
            tables = answers.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            )
            try:
                with closing(iter(tables)) as arriving:  # whatever ends it, its workers end, too
                    for table in arriving:
                        for answer in table["answer"]:
                            self._keep(pickle.loads(answer.as_py()))  # noqa: S301 -- our workers'
            except self.ray.exceptions.RayError:  # a machine took answers with it
                return

    @_without_deprecations
    def _answers(self, numbers: Sequence[int]) -> Any:
        """A Ray Dataset that is computed as it is read."""
        data = self.ray.data
        shards = [{"shard": number} for number in numbers]
        return data.from_items(shards, override_num_blocks=len(numbers)).map_batches(
            _Worker,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(self.job,),
            compute=data.ActorPoolStrategy(size=min(self.share.workers, len(numbers))),
            max_restarts=-1,
            max_task_retries=0,
            **self.share.each,
        )

    def _keep(self, made: _Made | SeewhyError) -> None:
        if isinstance(made, SeewhyError):
            raise made
        store.write_content(self.folder, made.shard, made.content)
        self.manifest = self.manifest.with_shards([*self.manifest.shards, made.shard])
        write_manifest(self.folder, self.manifest)
        for line in made.failures:
            self.watching.failed(line)
        self.watching.advance(made.shard.rows)

    def _refusal(self, left: Sequence[tuple[int, range]]) -> AuditError:
        number, rows = left[0]
        return AuditError(
            f"audit {self.folder}",
            expected="workers that live",
            got=f"{PATIENCE} rounds in which they died before they had made one of"
            f" {len(left):,} shards, such as {store.shard_file(number)} (rows {rows[0]:,} to"
            f" {rows[-1]:,})",
            fix="look into Ray's logs; give them more memory, or take smaller --shard-rows",
        )


def _movable(classifier: Classifier) -> Classifier:
    """The same in the memory of the CPU: not every machine needs to have a GPU.

    Raises:
        ModelError: it cannot be sent anywhere.
    """
    from ray import cloudpickle

    try:
        module = classifier.module
        if classifier.device.type != "cpu":
            module = copy.deepcopy(module).cpu()
        cloudpickle.dumps(module)
    except Exception as problem:  # a module can raise anything
        raise ModelError(
            f"model {classifier.name}",
            expected="a network that can be pickled, to be sent to other machines",
            got=complaint(problem),
            fix="audit it on one machine, without --ray",
        ) from problem
    return replace(classifier, module=module)


# Ray itself


def _import_ray() -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as problem:
        raise MissingExtraError(
            "a cluster",
            expected="the package ray, with its part for data",
            got="none installed",
            fix="pip install 'seewhy[ray]'",
        ) from problem
    return ray


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected; what was begun here is ended here."""
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        _knock(address)
        with _hushed():
            ray.init(
                address=address,
                include_dashboard=False if address == HERE else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as problem:  # of several kinds
        raise AuditError(
            f"cluster {address}",
            expected="the head of a Ray cluster",
            got=complaint(problem),
            fix="start one with `ray start --head`, or pass --ray local",
        ) from problem
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens at HOST:PORT; Ray would try for minutes, without a word.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()


@contextmanager
def _hushed() -> Iterator[None]:
    """What Ray's own core says on stderr as it starts, past Python, goes nowhere."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Ray Data without bars and log lines, and with errors that are ours to judge."""
    context, logger = _context(ray), logging.getLogger("ray.data")
    names = ("enable_progress_bars", "max_errored_blocks")
    before, level = {name: getattr(context, name) for name in names}, logger.level
    context.enable_progress_bars, context.max_errored_blocks = False, -1
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)


@_without_deprecations
def _context(ray: Any) -> Any:
    return ray.data.DataContext.get_current()


def _share(ray: Any, cluster: Cluster) -> _Share:
    """One worker a GPU, with its part of that machine's cores to read pictures; or one a core.

    Raises:
        AuditError: the cluster has nothing to compute with.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    device = cluster.device or ("cuda" if any(gpus) else "cpu")
    is_cpu = torch.device(device).type == "cpu"
    usual = sum(cpus if is_cpu else gpus)
    if not usual:
        raise AuditError(
            f"cluster {cluster.address}",
            expected=f"machines with a {'core' if is_cpu else 'GPU'} to spare",
            got="none",
            fix="add some, or choose another --device",
        )
    workers = cluster.workers or usual
    if is_cpu:
        return _Share(workers, 1, 0, device)
    readers = min(c // g for c, g in zip(cpus, gpus, strict=True) if g)
    return _Share(workers, max(1, readers), 1, device)
