"""What does an audit cost beyond decoding and inference; in memory, in time, on disk?

python -m benchmarks.audit                   # all; writes its tables into docs/audit.md
python -m benchmarks.audit memory decoders   # some of them
python -m benchmarks.audit speed --net ResNet-50
python -m benchmarks.audit --quick           # a shorter look, prints only
python -m benchmarks audit --quick           # speed alone, among the other benchmarks

It reads the pictures in SEEWHY_DATA, or ../shared/data beside the checkout.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import decoders
from benchmarks.data import DATA, require_photographs
from benchmarks.nets import NETS
from benchmarks.page import keep_rows, machine
from benchmarks.timing import Ratio
from seewhy import heads, load_model
from seewhy.audit import open_audit
from seewhy.audit.explaining import normalised
from seewhy.audit.local import Watching, Wish, cores, in_order, run
from seewhy.audit.prepare import prepare
from seewhy.audit.sources import list_pictures
from seewhy.engines import make_engine
from seewhy.memory import keep_freed_memory
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

PACKAGES = ("torch", "onnxruntime", "openvino", "pillow", "opencv-python-headless", "pyarrow")
GOAL, BATCH = 0.90, 32
NAMES = ("EfficientNet-Lite0", "ResNet-50")
DOMINATED = ("ResNet-50",)  # where inference takes nearly all of the time
ABOUT = """## Audits: from JPEG files to a store

Full-size ImageNet pictures. Decoding alone (read, decode, resize, crop) and inference alone (the
network, without maps; one engine with all threads or an engine a core, whichever is faster) have
both cores each; the audit does both, makes maps, statistics and boxes, and writes the store. Its
speed over `1 / (decoding + inference)` should be at least 0.90; of ResNet-50, where inference
dominates, its speed over inference alone, too. All take turns in each round;
medians over the rounds, and of each round's ratios, with the interval that holds them with 95 %
confidence.

| network | engine | decoding alone | inference alone | audit | over both, one after the other \
| over inference | goal |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


@dataclass(frozen=True)
class Round:
    """Seconds a picture: decoding, inference, both as an audit."""

    decode: float
    infer: float
    audit: float


def classifiers() -> dict[str, Classifier]:
    """The two networks: EfficientNet-Lite0 as it comes, and ResNet-50 with random weights."""
    fifty = next(net for net in NETS if net.name == "ResNet-50").build().eval()
    preprocess = Preprocess(interpolation="bilinear")
    both = (
        load_model("efficientnet-lite0"),
        Classifier("resnet50", fifty, preprocess, None, 1000),
    )
    return dict(zip(NAMES, both, strict=True))


def pictures(folder: Path, count: int) -> Path:
    """A folder of links to the sample pictures, again and again."""
    samples = require_photographs()
    for number in range(count):
        (folder / f"{number:06d}.jpg").symlink_to(samples[number % len(samples)].resolve())
    return folder


def rows(*, quick: bool, only: str | None = None) -> Iterator[str]:
    """The table of speeds, line by line; of one network, if it is named."""
    rounds = 2 if quick else 7
    for name, classifier in classifiers().items():
        if only not in (None, name):
            continue
        count = 64 if quick else 192 if name in DOMINATED else 384
        with tempfile.TemporaryDirectory() as folder:
            data = pictures(Path(folder), count)
            for engine in ("openvino", "onnx", "torch"):
                yield speed_row(name, engine, classifier, data, rounds)


def speed_row(name: str, engine: str, classifier: Classifier, data: Path, rounds: int) -> str:
    """One network and engine."""
    listing = list_pictures(data)
    spans = [range(i, min(i + BATCH, len(listing))) for i in range(0, len(listing), BATCH)]
    infer = fastest_inference(classifier, engine, listing_batch(classifier, data))
    taken = []
    for _ in range(rounds):
        decode = timed(lambda: decode_all(classifier, data, spans)) / len(listing)
        alone = timed(lambda: infer(spans)) / len(listing)
        taken.append(Round(decode, alone, audit_all(classifier, engine, data) / len(listing)))
    whole = Ratio.of([(r.decode + r.infer) for r in taken], [r.audit for r in taken])
    over = Ratio.of([r.infer for r in taken], [r.audit for r in taken])
    speeds = (1 / statistics.median(each) for each in zip(*map(astuple, taken), strict=True))
    per_second = " | ".join(f"{value:,.0f}/s" for value in speeds)
    needed = (whole, over) if name in DOMINATED else (whole,)
    met = "yes" if min(each.value for each in needed) >= GOAL else "**no**"
    return f"| {name} | {engine} | {per_second} | {whole} | {over} | {met} |"


def astuple(each: Round) -> tuple[float, float, float]:
    """Its three numbers."""
    return each.decode, each.infer, each.audit


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def decode_all(classifier: Classifier, data: Path, spans: Sequence[range]) -> None:
    """Read and frame every picture, on all cores."""
    listing = list_pictures(data)
    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(lambda span: prepare(listing, span, classifier.preprocess), spans):
            pass


def listing_batch(classifier: Classifier, data: Path) -> Tensor:
    """One batch of real pictures, prepared."""
    prepared = prepare(list_pictures(data), range(BATCH), classifier.preprocess)
    return normalised(prepared.frames, classifier.preprocess)


def fastest_inference(
    classifier: Classifier, engine: str, batch: Tensor
) -> Callable[[Sequence[range]], object]:
    """The network alone, over so many pictures: all threads for one batch, or a batch a core."""
    head = heads.cached_head(classifier.module, classifier.example(2))

    def make(threads: int) -> Callable[[Tensor], object]:
        return make_engine(classifier, head, engine, threads=threads, example=batch)

    wide, narrow = make(cores()), [make(1) for _ in range(cores())]

    def together(spans: Sequence[range]) -> None:
        for span in spans:
            wide(batch[: len(span)])

    def side_by_side(spans: Sequence[range]) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        with ThreadPoolExecutor(cores()) as pool:
            free = list(narrow)

            def one(span: range) -> int:
                mine = free.pop()
                mine(batch[: len(span)])
                free.append(mine)
                return len(span)

            list(in_order(pool, one, spans, ahead=cores()))
        torch.set_num_threads(before)

    trial = [range(len(batch))] * cores()
    for way in (together, side_by_side):
        way(trial)  # warm
    return min((together, side_by_side), key=lambda way: timed(lambda: way(trial)))


def audit_all(classifier: Classifier, engine: str, data: Path) -> float:
    """Seconds from the first picture read to the store complete."""
    begun = 0.0

    def begin(_total: int, _done: int) -> None:
        nonlocal begun
        begun = time.perf_counter()

    with tempfile.TemporaryDirectory() as out:
        wish = Wish(engine=engine, batch_size=BATCH)
        run(data, classifier, out, wish, Watching(begin=begin))
        return time.perf_counter() - begun


# Memory, time and size


MEMORY = """## Memory and CIFAR-10

One command a row: `seewhy audit cifar10/ --model resnet20-cifar10 --limit N --out RUN` (the last
one over the pictures twice). Start, listing and choice of the engine are included; peak memory is
that of the whole process.

| pictures | engine | seconds | pictures/s | peak memory | store | a picture |
| ---: | --- | ---: | ---: | ---: | ---: | ---: |"""


def memory_rows(*, quick: bool) -> Iterator[str]:
    """The memory curve, line by line."""
    counts = (1_000, 4_000) if quick else (1_000, 10_000, 60_000, 100_000)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        data.mkdir()
        for copy in range(2):
            for part in ("train", "test"):
                name = f"{copy}-{part}.parquet"
                (data / name).symlink_to((DATA / "cifar10-jpeg" / f"{part}.parquet").resolve())
        for count in counts:
            source = data if count > 60_000 else DATA / "cifar10-jpeg"
            yield memory_row(source, count, Path(folder, str(count)))


def memory_row(source: Path, count: int, out: Path) -> str:
    """One audit, in a process of its own."""
    typed = f"audit {source} --model resnet20-cifar10 --limit {count} --out {out}"
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "seewhy", *typed.split()], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(typed)
    manifest = open_audit(out).manifest
    size = sum(shard.bytes for shard in manifest.shards)
    return (
        f"| {count:,} | {manifest.engine['engine']} | {seconds:.0f} | {count / seconds:,.0f}"
        f" | {usage.ru_maxrss / 1024:,.0f} MiB"
        f" | {size / 1e6:.1f} MB | {size / count:,.0f} bytes |"
    )


TABLES: Mapping[str, tuple[str, Callable[..., Iterator[str]]]] = {
    "speed": (ABOUT, rows),
    "memory": (MEMORY, memory_rows),
    "decoders": (decoders.ABOUT, decoders.rows),
}


def main() -> None:
    """Print the tables, and write them into the page unless the look was short."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="all, if none")
    parser.add_argument("--net", choices=NAMES, help="of the speeds, those of this network alone")
    parser.add_argument("--quick", action="store_true", help="a short look")
    options = parser.parse_args()
    torch.set_num_threads(cores())
    keep_freed_memory()  # as the command does
    for name in options.tables or TABLES:
        about, lines = TABLES[name]
        which = {"only": options.net} if name == "speed" else {}
        words = [*about.splitlines()[:-2], machine(PACKAGES), "", *about.splitlines()[-2:]]
        print("\n".join(["", *words]), flush=True)
        found = []
        for line in lines(quick=options.quick, **which):
            print(line, flush=True)
            found.append(line)
        if not options.quick:
            keep_rows("audit.md", name, words, found, NAMES if which else [])


if __name__ == "__main__":
    main()
