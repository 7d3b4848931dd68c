"""What a worker of a cluster does, and what travels to it and back.

A worker turns the number of a shard into the bytes of its file, with the functions of an audit on
one machine.
"""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from seewhy.audit import store
from seewhy.audit.cluster import Share
from seewhy.audit.explaining import Explainer, Settings, explain_prepared, joined
from seewhy.audit.listing import Listing
from seewhy.audit.local import Wish, example_of, explainer_of, in_order, matched, pool
from seewhy.audit.manifest import Manifest, Shard, check_same
from seewhy.audit.pinned import manifest_of
from seewhy.audit.places import Local
from seewhy.audit.prepare import prepare
from seewhy.errors import AuditError, DataError, ModelError, SeewhyError
from seewhy.memory import keep_freed_memory
from seewhy.models import Classifier
from seewhy.wording import complaint


@dataclass(frozen=True, eq=False)
class Job:
    """What travels to the workers; each does with it what an audit on one machine does."""

    classifier: Classifier
    listing: Listing
    wish: Wish
    share: Share
    asked: Manifest | None = None

    @property
    def settings(self) -> Settings:
        """What has a say in the numbers, beside the network."""
        return self.wish.settings(self.classifier.preprocess)

    @cached_property
    def explainer(self) -> Explainer:
        """The network, ready on the worker's device."""
        torch.set_num_threads(1)
        wish, module = self.wish, self.classifier.module.to(self.share.device)
        classifier = replace(self.classifier, module=module)
        example = example_of(self.listing, classifier, self.settings, wish.precision)
        precision = wish.precision
        return explainer_of(classifier, wish.engine, example, precision=precision, top=wish.top)

    @cached_property
    def matched(self) -> Listing:
        """The listing, its labels as numbers of the network's classes."""
        require_pictures(self.listing)
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

    def shard(self, number: int) -> Made:
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
        return Made(shard, content.to_pybytes(), table["error"].drop_null().to_pylist())


@dataclass(frozen=True, eq=False)
class Made:
    """A shard, the bytes of its file, and a line for each picture that failed."""

    shard: Shard
    content: bytes
    failures: list[str]


class Worker:
    """An actor of Ray Data's: from a table of shard numbers to one of pickled answers.

    An error is an answer, too, and stops the audit where it arrives; Ray would wrap it, and take it
    for the death of a worker.
    """

    def __init__(self, job: Any) -> None:
        self._reference = job
        keep_freed_memory()

    @cached_property
    def _job(self) -> Job:
        import ray

        job: Job = ray.get(self._reference)
        return job

    def __call__(self, batch: Any) -> Any:
        """A table of pickled answers, `Made` or an error, for one of shard numbers."""
        import pyarrow as pa

        answers = [self._answer(number) for number in batch["shard"].to_pylist()]
        return pa.table({"answer": pa.array(answers, pa.large_binary())})

    def _answer(self, number: int) -> bytes:
        try:
            return pickle.dumps(self._job.shard(number))
        except Exception as problem:
            return pickle.dumps(presentable(problem))


def presentable(problem: Exception) -> SeewhyError:
    """The error as one that can travel, and that a command shows in one line."""
    if isinstance(problem, SeewhyError):
        return problem
    place, reason = os.uname().nodename, f"{type(problem).__name__}: {complaint(problem)}"
    return AuditError(
        f"worker on {place}", expected="a shard", got=reason, fix="try one machine without --ray"
    )


def require_pictures(listing: Listing) -> None:
    """See that a folder of pictures is here, too: otherwise every row would be a failure."""
    pictures = listing.pictures
    if isinstance(pictures, Local) and not Path(pictures.root).is_dir():
        raise DataError(
            f"data {listing.source}",
            expected="the same folder on every machine of the cluster",
            got=f"none on {os.uname().nodename}",
            fix="share it between them, or pass an address such as s3://bucket/folder",
        )


def first_look(job: Job) -> tuple[Manifest, tuple[str, ...]] | SeewhyError:
    """What a worker says an audit of this job is of: the engine is chosen where it will run."""
    try:
        return job.manifest, job.matched.notes
    except Exception as problem:
        return presentable(problem)


def movable(classifier: Classifier) -> Classifier:
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
