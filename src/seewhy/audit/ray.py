"""`run`: an audit on a Ray cluster. Ray Data hands the numbers of missing shards to workers.

The driver, where the command was typed, lists the pictures, holds the lock and alone writes: only
the pictures have to be within reach of every machine. Nothing in a store tells that a cluster made
it, so that either way of running goes on where the other was.

What a lost worker or machine had not delivered is asked for again in another round. Ray could
repeat a task by itself, but only on the worker that it was given to: without a machine to put that
worker on it would wait for ever.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from seewhy.audit import store
from seewhy.audit.cluster import Cluster, connected, quiet, share_of, without_deprecations
from seewhy.audit.local import Watching, Wish, gone_on, missing
from seewhy.audit.manifest import Manifest, read_manifest, write_manifest
from seewhy.audit.sources import list_pictures
from seewhy.audit.worker import Job, Made, Worker, first_look, movable
from seewhy.engines import AUTO
from seewhy.errors import AuditError, SeewhyError
from seewhy.models import Classifier

PATIENCE = 3  # rounds without a single shard


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
    with store.claimed(folder), connected(cluster.address) as ray:
        if wish.restart:
            store.forget(folder)
        begun = read_manifest(folder)
        listing = list_pictures(source, boxes=wish.boxes, labels=wish.labels).first(wish.limit)
        share = share_of(ray, cluster)
        engine = begun.engine["engine"] if begun and wish.engine == AUTO else wish.engine
        job = Job(movable(classifier), listing, replace(wish, engine=engine), share)
        asked, notes = _asked(ray, job)
        for line in notes:
            watching.note(line)
        manifest = gone_on(folder, begun, asked)
        watching.begin(len(listing), manifest.counts["rows"])
        return _Run(ray, folder, manifest, job, watching).finish()


def _asked(ray: Any, job: Job) -> tuple[Manifest, tuple[str, ...]]:
    answer = ray.get(ray.remote(first_look).options(**job.share.each).remote(job))
    if isinstance(answer, SeewhyError):
        raise answer
    found: tuple[Manifest, tuple[str, ...]] = answer
    return found


class _Run:
    """One run of an audit: rounds, until every shard is there."""

    def __init__(
        self, ray: Any, folder: Path, manifest: Manifest, job: Job, watching: Watching
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
        with quiet(self.ray):
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

    @without_deprecations
    def _answers(self, numbers: Sequence[int]) -> Any:
        """A Ray Dataset that is computed as it is read."""
        data = self.ray.data
        shards = [{"shard": number} for number in numbers]
        return data.from_items(shards, override_num_blocks=len(numbers)).map_batches(
            Worker,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(self.job,),
            compute=data.ActorPoolStrategy(size=min(self.share.workers, len(numbers))),
            max_restarts=-1,
            max_task_retries=0,
            **self.share.each,
        )

    def _keep(self, made: Made | SeewhyError) -> None:
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
