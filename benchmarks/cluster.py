"""How much faster is an audit with a second worker of a cluster, and how large is a row of a store?

python -m benchmarks.cluster            # prints both tables of docs/scale.md
python -m benchmarks.cluster --quick    # a shorter look

It reads the pictures in SEEWHY_DATA, or ../shared/data beside the checkout. Both workers are on
this machine, which should have two cores for them and nothing else to do.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from benchmarks.audit import pictures
from benchmarks.data import DATA
from benchmarks.timing import Ratio
from seewhy import load_model, open_audit
from seewhy.audit.cluster import Cluster
from seewhy.audit.local import Watching, Wish, run
from seewhy.audit.ray import run as run_on_a_cluster
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

WORKERS, SHARD, BATCH = (1, 2), 16, 16
WAIT = 0.05  # seconds
SCALING = """| network | one worker | two workers | two over one |
| --- | ---: | ---: | ---: |"""
SIZES = """| network | store | classes a row | map | descriptor | by the formula | measured |
| --- | --- | ---: | ---: | ---: | ---: | ---: |"""


class Waiting(nn.Module):
    """Next to no work, and a core that is free meanwhile, as if a GPU had it."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.fc = nn.Conv2d(3, 64, 32, stride=32), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The logits, in their time."""
        time.sleep(WAIT * len(x))
        logits: Tensor = self.fc(self.features(x).relu().mean((2, 3)))
        return logits


def networks() -> dict[str, Classifier]:
    """One that wants the core, and one that does not."""
    waiting = Classifier("waiting", Waiting().eval(), Preprocess(), None, 10)
    return {
        "EfficientNet-Lite0": load_model("efficientnet-lite0"),
        f"one that waits {WAIT:g} s a picture": waiting,
    }


def scaling_rows(*, quick: bool) -> Iterator[str]:
    """Pictures a second with each number of workers; rounds take turns."""
    count, rounds = (96, 1) if quick else (192, 3)
    with tempfile.TemporaryDirectory() as folder:
        data = pictures(Path(folder), count)
        for name, model in networks().items():
            taken = [[seconds_each(model, data, n) for n in WORKERS] for _ in range(rounds)]
            alone, both = (list(column) for column in zip(*taken, strict=True))
            speeds = (f"{1 / statistics.median(column):.1f}/s" for column in (alone, both))
            yield f"| {name} | {' | '.join(speeds)} | {Ratio.of(alone, both)} |"


def seconds_each(model: Classifier, data: Path, workers: int) -> float:
    """Seconds a picture, from where every worker has delivered once: they start slowly."""
    arrived: list[float] = []
    watching = Watching(advance=lambda _rows: arrived.append(time.perf_counter()))
    wish = Wish(engine="torch", batch_size=BATCH, rows_per_shard=SHARD)
    with tempfile.TemporaryDirectory() as out:
        run_on_a_cluster(data, model, out, wish, watching, Cluster(workers=workers))
    return (arrived[-1] - arrived[workers - 1]) / (SHARD * (len(arrived) - workers))


def size_rows(*, quick: bool) -> Iterator[str]:
    """What a row of two stores takes, and what the formula says."""
    stores = {
        "200 photos of ImageNet": (load_model("efficientnet-lite0"), DATA / "imagenet-samples"),
        "10,000 of CIFAR-10": (load_model("resnet20-cifar10"), DATA / "cifar10-jpeg"),
    }
    for name, (model, data) in stores.items():
        yield size_row(name, model, data, 200 if quick else 10_000)


def size_row(name: str, model: Classifier, data: Path, count: int) -> str:
    """One store."""
    with tempfile.TemporaryDirectory() as out:
        manifest = run(data, model, out, Wish(engine="torch", limit=count))
        classes = sum(len(row["classes"]) for row in open_audit(out).rows(["classes"]))
    rows = manifest.counts["rows"]
    each, (height, width) = classes / rows, manifest.model["grid"]
    channels, size = manifest.model["channels"], sum(shard.bytes for shard in manifest.shards)
    formula = each * (2 * height * width + 24) + 2 * channels + 120
    return (
        f"| {model.name} | {name} | {each:.2f} | {height} x {width} | {channels:,}"
        f" | {formula:,.0f} bytes | {size / rows:,.0f} bytes |"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    parser.add_argument("--quick", action="store_true", help="a short look")
    quick = parser.parse_args().quick
    for header, lines in ((SCALING, scaling_rows), (SIZES, size_rows)):
        print(header)
        for line in lines(quick=quick):
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
