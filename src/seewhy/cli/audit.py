"""`seewhy audit`: every picture of a data set explained, and kept."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.failures import FAILED, INTERRUPTED, OK
from seewhy.cli.progress import Watcher, watched
from seewhy.cli.text import plain

if TYPE_CHECKING:
    from seewhy.audit.manifest import Manifest

HELP = """Explain every picture of a data set, and keep it where questions can be asked.

[bold]Examples[/bold]

\b
seewhy audit photos/ --out runs/photos
seewhy audit cifar10/ --model resnet20-cifar10 --out runs/cifar10
seewhy audit 's3://bucket/photos/**/*.jpg' --model timm:resnet50 --out runs/s3
seewhy audit photos/ --boxes boxes.json --engine openvino --out runs/boxes

DATA is a folder (with a folder for each class), a glob, Parquet, CSV with paths
and labels, COCO's JSON, a zip file, an archive of CIFAR, or any address that
fsspec opens. Killed at any moment, the same command goes on where it was. What
it writes is a contract: docs/audit.md.
"""

SHOWN = 5  # failures, at the end


@options.with_model()
def audit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Where the pictures are.")],
    *,
    out: Annotated[Path, typer.Option(metavar="RUN", help="The folder that it is kept in.")],
    model: options.ModelOptions,
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="Maps of the N most probable classes.")
    ] = 5,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="True boxes: COCO's JSON, or a folder of VOC's XML or masks."
        ),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            metavar="WHEN", help="Are folders classes? always, never, or auto: if so named."
        ),
    ] = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The first N pictures only.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", metavar=" ", help="Forget what is in RUN; begin anew.")
    ] = False,
    as_json: options.AsJson = False,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="torch, compile, onnx, openvino, mnn, or auto.",
            rich_help_panel="Running",
        ),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="float32, bfloat16, float16 or int8.",
            rich_help_panel="Running",
        ),
    ] = "float32",
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Workers; one a core.", rich_help_panel="Running"),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Pictures at once.", rich_help_panel="Running"),
    ] = None,
    shard_rows: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Rows of one file.", rich_help_panel="Running"),
    ] = 4096,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on a Ray cluster: HOST:PORT, auto (this machine's), or local (start one).",
            rich_help_panel="Running",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="With --ray; one a GPU or core.", rich_help_panel="Running"
        ),
    ] = None,
    scaled_decoding: Annotated[
        bool,
        typer.Option(
            "--scaled-decoding",
            metavar=" ",
            help="Decode large JPEGs smaller: faster, logits a little other.",
            rich_help_panel="Running",
        ),
    ] = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy audit` and return its exit code."""
    from seewhy.audit.local import Watching, Wish

    run = _runner(ray, workers, model)
    wish = Wish(
        top=top,
        engine=engine,
        precision=precision,  # type: ignore[arg-type]  # checked by the engine
        threads=threads,
        batch_size=batch_size,
        rows_per_shard=shard_rows,
        limit=limit,
        labels=labels,  # type: ignore[arg-type]  # checked there
        boxes=boxes,
        scaled=scaled_decoding,
        restart=restart,
    )
    network = (model if ray is None else replace(model, device="cpu")).load()
    with ExitStack() as stack:
        told = _Told(stack)
        watching = Watching(told.begin, told.advance, told.failed, told.note)
        try:
            manifest = run(data, network, out, wish, watching)
        except KeyboardInterrupt:
            _say(f"interrupted; the same command goes on from {out}")
            return INTERRUPTED
    if as_json:
        print(json.dumps(_document(out, manifest, told), indent=2, ensure_ascii=False))
    else:
        print(plain(_summary(out, manifest, told)))
    return _verdict(out, manifest)


def _runner(
    ray: str | None, workers: int | None, model: options.ModelOptions
) -> Callable[..., Manifest]:
    """What runs it: this machine, or a cluster; its machines choose their device."""
    from seewhy.errors import InputError

    if ray is None and workers is not None:
        raise InputError(
            "--workers",
            expected="--ray, of whose workers it is the number",
            got="none",
            fix="add --ray local, or use --threads",
        )
    if ray is None:
        from seewhy.audit.local import run

        return run
    from seewhy.audit.cluster import Cluster
    from seewhy.audit.ray import run as run_on_a_cluster

    return partial(run_on_a_cluster, cluster=Cluster(ray, workers, model.device))


class _Told:
    """How an audit is going: a bar for a person, and what is to be said at the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self._watcher = stack, Watcher(None, 0)
        self._started = time.monotonic()
        self.rows = 0

    @property
    def seconds(self) -> float:
        """Since the first picture was begun."""
        return time.monotonic() - self._started

    def begin(self, total: int, done: int) -> None:
        """The listing is there."""
        self._watcher = self._stack.enter_context(watched(total - done))
        self._started = time.monotonic()
        if done:
            self.note(f"{done:,} of {total:,} pictures are there already")

    def advance(self, count: int) -> None:
        """Some rows more are done."""
        self.rows += count
        self._watcher.advance(count)

    def failed(self, line: str) -> None:
        """A picture failed."""
        self._watcher.complain(plain(line))

    def note(self, line: str) -> None:
        """Something is worth knowing."""
        _say(line)


def _summary(out: Path, manifest: Manifest, told: _Told) -> str:
    count = manifest.counts["rows"]
    size = sum(shard.bytes for shard in manifest.shards)
    took = f" in {told.seconds:.1f} s, {told.rows / told.seconds:.0f} a second" if told.rows else ""
    engine = f"{manifest.engine['engine']}, {manifest.engine['precision']}"
    return f"{out}: {count:,} pictures explained{took} ({engine}), {size / 1e6:.1f} MB"


def _document(out: Path, manifest: Manifest, told: _Told) -> dict[str, object]:
    pinned = {name: value for name, value in manifest.pinned.items() if name != "preprocess"}
    return {
        "out": str(out),
        "complete": manifest.complete,
        **manifest.counts,
        "done_now": told.rows,
        "seconds": round(told.seconds, 3),
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "shards": len(manifest.shards),
        **pinned,
    }


def _verdict(out: Path, manifest: Manifest) -> int:
    failed, inexact = manifest.counts["failed"], manifest.counts["inexact"]
    if failed:
        _say(
            f"{failed:,} of {manifest.counts['rows']:,} pictures failed, and are rows with errors:"
        )
        for line in _first_errors(out):
            _say(f"  {line}")
        if failed > SHOWN:
            _say(f"  and {failed - SHOWN:,} more")
    if inexact:
        _say(f"{inexact:,} pictures have maps that do not add up")
    return FAILED if failed or inexact else OK


def _first_errors(out: Path) -> list[str]:
    """Of the whole store: some may be of an earlier run."""
    from seewhy.audit import open_audit

    lines = (row["error"] for row in open_audit(out).rows(["error"]))
    return list(islice((line for line in lines if line), SHOWN))


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr)
