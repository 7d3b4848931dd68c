"""The proving ground: reasons planted in CIFAR-10, found, proven and repaired.

python -m benchmarks.shortcuts --data ../shared/data/cifar10-jpeg   # goes on where it was
python -m benchmarks.shortcuts --seeds 0 --only corner clean        # some of it
python -m benchmarks.shortcuts --page                               # writes docs/shortcuts.md alone

Everything a network needs lies in .benchmarks/shortcuts/NAME-SEED: planted data, the network, its
audit, and result.json. What carries a reason is known to this program and to nothing that it calls.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import rivals
from benchmarks.harm import Judge
from benchmarks.planting import PLANTED, Reason, plant
from benchmarks.shortcuts_page import WAYS, write
from seewhy.audit.finding import find
from seewhy.audit.findings import Finding, Findings
from seewhy.audit.local import Wish
from seewhy.audit.local import run as make_audit
from seewhy.audit.manifest import read_manifest
from seewhy.audit.opened import Audit, open_audit
from seewhy.audit.revisit import Revisit, revisit
from seewhy.datasets import load_dataset
from seewhy.memory import keep_freed_memory
from seewhy.models import load_model
from seewhy.proving import prove_all
from seewhy.proving.prove import placed
from seewhy.repair.fold import folded, layer_of
from seewhy.repair.make import MEANS, Fitting, project
from seewhy.repair.material import FITTING, gather, halves
from seewhy.repair.project import Linear
from seewhy.training import Recipe, train

HOME = Path(__file__).parents[1] / ".benchmarks" / "shortcuts"
EPOCHS = 4


@dataclass(frozen=True)
class Cell:
    """One network: what was planted, and from which seed all that is random is drawn."""

    name: str
    seed: int
    home: Path

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self.home / f"{self.name}-{self.seed}"

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What was planted."""
        return PLANTED[self.name]


def prepared(cell: Cell, data: Path) -> Revisit:
    """Plant, train and audit, as far as that was not done before."""
    planted, net, run = (cell.folder / name for name in ("data", "net", "audit"))
    if not (planted / "truth.parquet").exists():
        plant(data, planted, cell.name, cell.seed)
    if not (net / "model.json").exists():
        train(
            "resnet20",
            load_dataset(planted),
            net,
            Recipe(epochs=EPOCHS, seed=cell.seed, compile=True),
        )
    classifier = load_model(net)
    begun = read_manifest(run)
    if begun is None or not begun.complete:
        make_audit(planted / "train.parquet", classifier, run, Wish(engine="torch"))
    return revisit(open_audit(run), classifier)


def result(cell: Cell, data: Path, only: Sequence[str] = ()) -> dict[str, Any]:
    """All that the page says of a network; of repairs those that are named, or all."""
    seen = prepared(cell, data)
    begun = time.perf_counter()
    suspected = find(seen.audit, seed=cell.seed)
    looked = time.perf_counter()
    proven = prove_all(seen, suspected, seed=cell.seed)
    seconds = {"find": looked - begun, "prove": time.perf_counter() - looked}
    print(f"{cell.name} {cell.seed}: {seconds}", flush=True)
    truth = _truth(cell, seen.audit)
    judge = Judge(seen, data, cell.seed)
    return {
        "name": cell.name,
        "seed": cell.seed,
        "seconds": seconds,
        "harm": judge.harm(cell.reasons).account(),
        "untaught": {} if cell.reasons else _untaught(judge),
        "confirmed": [_told(each) for each in _confirmed(proven)],
        "reasons": [
            _of_reason(judge, proven, each, truth[each.name], only) for each in cell.reasons
        ],
    }


def _untaught(judge: Judge) -> dict[str, Any]:
    """What each reason does to a network that was trained without any: it hides something."""
    every = {each.name: each for reasons in PLANTED.values() for each in reasons}
    return {name: judge.harm([reason]).account() for name, reason in every.items()}


def _told(finding: Finding) -> dict[str, Any]:
    return {"number": finding.number, "class": finding.class_name, "rows": len(finding.rows)}


def _confirmed(findings: Findings) -> list[Finding]:
    return [each for each in findings.findings if each.is_confirmed]


def _truth(cell: Cell, audit: Audit) -> dict[str, dict[int, list[int] | None]]:
    """Of each reason the rows that carry it, and where."""
    import pyarrow.parquet as pq

    ids = audit.table(["id"])["id"].to_pylist()
    rows = {each.rsplit("/", 1)[-1]: row for row, each in enumerate(ids)}
    found: dict[str, dict[int, list[int] | None]] = {each.name: {} for each in cell.reasons}
    for each in pq.read_table(cell.folder / "data" / "truth.parquet").to_pylist():
        if each["id"] in rows:
            found[each["reason"]][rows[each["id"]]] = each["box"]
    return found


def _of_reason(
    judge: Judge,
    proven: Findings,
    reason: Reason,
    places: dict[int, list[int] | None],
    only: Sequence[str],
) -> dict[str, Any]:
    seen = judge.revisit
    carrying = np.array(sorted(places), dtype=np.int64)
    suspected = [each for each in proven.findings if _is_of(each, reason)]
    confirmed = [each for each in suspected if each.is_confirmed]
    flagged = np.unique(np.concatenate([np.zeros(0, np.int64), *(each.rows for each in confirmed)]))
    group = confirmed[0] if confirmed else None
    return {
        "reason": reason.name,
        "harm": judge.harm([reason]).account(),
        "verdicts": [each.proof.verdict for each in suspected if each.proof],
        "localised": [each.place.localised for each in suspected if each.proof],
        "flagged": asdict(rivals.found(flagged.astype(np.int64), carrying)),
        "iou": None if group is None else _overlap(seen, group, places),
        "finders": _finders(seen.audit, reason, carrying, len(flagged), judge.seed),
        "repairs": list(_repairs(judge, reason, group, carrying, only)),
    }


def _is_of(finding: Finding, reason: Reason) -> bool:
    return finding.kind == "group" and finding.class_id == reason.class_id


def _overlap(seen: Revisit, finding: Finding, truth: dict[int, list[int] | None]) -> float | None:
    """The median IoU of the regions that were cut out with the planted ones."""
    rows = [row for row in finding.rows if truth.get(row)][:200]
    if not rows:
        return None
    boxes = placed(seen, finding, rows)
    return float(np.median([_iou(a, truth[row]) for a, row in zip(boxes, rows, strict=True)]))


def _iou(a: Any, b: Any) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(shared / (sum(areas) - shared))


def _finders(
    audit: Audit, reason: Reason, carrying: NDArray[np.int64], count: int, seed: int
) -> dict[str, Any]:
    table = audit.table(["predicted", "border"])
    rows = np.flatnonzero(table["predicted"].to_numpy() == reason.class_id)
    border = table["border"].to_numpy()[rows].astype(np.float64)
    drawn = rivals.at_random(rows, count or len(carrying), np.random.default_rng(seed))
    return {
        "border strip": asdict(rivals.by_border(border, rows, carrying)),
        "random": asdict(rivals.found(drawn, carrying)),
    }


def _repairs(
    judge: Judge,
    reason: Reason,
    finding: Finding | None,
    carrying: NDArray[np.int64],
    only: Sequence[str],
) -> Iterator[dict[str, Any]]:
    seen, seed, plain = judge.revisit, judge.seed, judge.harm([reason])
    ways: dict[str, Callable[[], torch.nn.Module]] = {}
    if not only or set(only) - set(MEANS):  # they look at every picture: minutes
        ways.update(_rivals(seen, carrying))
    reading, is_added = 0.0, None
    if finding is not None:
        begun = time.perf_counter()
        fitting = _fitting(seen, list(finding.rows), reason, seed)
        reading = time.perf_counter() - begun
        is_added = float(fitting.material.is_added.double().mean())
        ways["P-ClArC"] = lambda: folded(seen, _clarc(fitting))
        for how, means in MEANS.items():
            ways[how] = lambda means=means: means(fitting)  # type: ignore[misc]
        drawn = _random_group(seen.audit, reason, len(finding.rows), seed)
        ways["project, random group"] = lambda: project(_fitting(seen, drawn, reason, seed))
    for name, make in ways.items():
        if only and name not in only:
            continue
        begun = time.perf_counter()
        module = make()
        seconds = time.perf_counter() - begun + (reading if name in MEANS else 0)
        print(f"{reason.name} {seed}: {name}, {seconds:.0f} s", flush=True)
        after = judge.harm([reason], module)
        yield {
            "how": name,
            "seconds": seconds,
            "added": is_added if name in MEANS else None,
            "harm": after.account(),
            "recovered": after.recovered(plain),
        }


def _fitting(seen: Revisit, rows: list[int], reason: Reason, seed: int) -> Fitting:
    """What `seewhy repair` makes repairs from, a quarter held out; features are pooled here."""
    made_from, _ = halves(seen.audit, seed)
    fitting = Fitting(seen, gather(seen, made_from, rows, reason.class_id, FITTING, seed), seed)
    for features in (fitting.plain, fitting.members, fitting.given):
        assert len(features)
    return fitting


def _clarc(fitting: Fitting) -> Linear:
    group, rest, mean = fitting.members, fitting.rest, fitting.plain.mean(0)
    return rivals.clarc_layer(layer_of(fitting.revisit), group, rest, mean)


def _random_group(audit: Audit, reason: Reason, count: int, seed: int) -> list[int]:
    rows = np.flatnonzero(audit.table(["predicted"])["predicted"].to_numpy() == reason.class_id)
    drawn: list[int] = rivals.at_random(rows, count, np.random.default_rng(seed)).tolist()
    return drawn


def _rivals(
    seen: Revisit, carrying: NDArray[np.int64]
) -> Iterator[tuple[str, Callable[[], torch.nn.Module]]]:
    layer, pooled = layer_of(seen), _all_pooled(seen)
    labels = torch.from_numpy(seen.audit.table(["label"])["label"].to_numpy().astype(np.int64))
    carries = torch.zeros(len(labels), dtype=torch.bool)
    carries[torch.from_numpy(carrying)] = True
    yield (
        "true groups, head (oracle)",
        lambda: folded(seen, rivals.oracle_head(layer, pooled, labels, carries)),
    )
    yield "JTT, head", lambda: folded(seen, rivals.jtt_head(layer, pooled, labels))


@lru_cache(maxsize=1)
def _all_pooled(seen: Revisit) -> torch.Tensor:
    """(N, K), of every picture of the audit."""
    return torch.from_numpy(seen.pooled(range(len(seen.audit))))


def main() -> None:
    """Do what is not done yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cifar10-jpeg"))
    parser.add_argument("--home", type=Path, default=HOME)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=PLANTED, default=list(PLANTED))
    parser.add_argument(
        "--again", nargs="+", choices=WAYS, default=[], help="these means alone, where results are"
    )
    parser.add_argument("--page", action="store_true", help="write the page alone")
    given = parser.parse_args()
    cells = [Cell(name, seed, given.home) for seed in given.seeds for name in given.only]
    keep_freed_memory()
    if not given.page:
        measure(cells, given.data, given.again)
    write(given.home)


def measure(cells: Sequence[Cell], data: Path, again: Sequence[str] = ()) -> None:
    """The results of these networks, each written down as soon as it is there.

    Args:
        cells: the networks.
        data: CIFAR-10.
        again: means that are measured anew where results are; these rows replace the old ones.
    """
    for cell in cells:
        path = cell.folder / "result.json"
        if path.exists() != bool(again):
            continue
        told = result(cell, data, again)
        if again:
            told = _replaced(json.loads(path.read_text(encoding="utf-8")), told)
        path.write_text(json.dumps(told, indent=1), encoding="utf-8")
        print(f"{cell.name} {cell.seed}: {path}", flush=True)


def _replaced(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The old result with what the new one has of each reason's repairs."""
    for was, now in zip(old["reasons"], new["reasons"], strict=True):
        found = {each["how"]: each for each in now["repairs"]}
        kept = [found.pop(each["how"], each) for each in was["repairs"]]
        was["repairs"] = [*kept, *found.values()]
    return old


if __name__ == "__main__":
    main()
