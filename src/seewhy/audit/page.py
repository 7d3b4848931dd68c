"""A page about an audit: charts of all of it, and a chosen few of its pictures with their maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seewhy.audit.opened import Audit
from seewhy.audit.query import Answer, query
from seewhy.audit.questions import QUESTIONS, ask, per_class
from seewhy.audit.schema import Row
from seewhy.errors import InputError, SeewhyError
from seewhy.geometry import Geometry
from seewhy.preprocess import Preprocess
from seewhy.report import write_report
from seewhy.report.charts import Histogram, table
from seewhy.report.markup import escape
from seewhy.results import ClassEvidence, PictureEvidence

USUAL_COUNT = 60
LONGEST_SIDE = 512  # of an embedded picture, in pixels
BINS = 20
CLASSES_SHOWN = 100
RANDOM = "random"
CHOICES = (*(name for name in QUESTIONS if name != "failed"), RANDOM)

Opener = Callable[[Row], Image.Image]


@dataclass(frozen=True)
class Choice:
    """Which pictures are shown.

    Attributes:
        question: one of `CHOICES`.
        where: instead, a condition in SQL.
        of_class: only pictures predicted as this class.
        count: how many at most.
        seed: of "random".
    """

    question: str = RANDOM
    where: str | None = None
    of_class: int | str | None = None
    count: int = USUAL_COUNT
    seed: int = 0

    @property
    def words(self) -> str:
        """What is shown, in words."""
        if self.where is not None:
            return f"where {self.where}"
        return "at random" if self.question == RANDOM else QUESTIONS[self.question].finds

    def rows(self, audit: Audit) -> list[int]:
        """The rows of these pictures, in the order in which they are shown.

        Raises:
            InputError: there is no such question, or DuckDB does not understand the condition.
            AuditError: the audit knows nothing of what is asked.
        """
        if self.where is not None:
            return _first_column(query(audit, _where(self.where, self.count)))
        if self.question == RANDOM:
            return self._random(audit)
        if self.question not in CHOICES:
            raise InputError(
                "--question",
                expected=f"one of {', '.join(CHOICES)}",
                got=repr(self.question),
                fix="choose one, or pass --where with a condition in SQL",
            )
        return _first_column(ask(audit, self.question, of_class=self.of_class, limit=self.count))

    def _random(self, audit: Audit) -> list[int]:
        found = _first_column(query(audit, "SELECT row FROM audit WHERE error IS NULL ORDER BY 1"))
        kept = np.random.default_rng(self.seed).permutation(len(found))[: self.count]
        return [found[each] for each in np.sort(kept)]


def _where(condition: str, count: int) -> str:
    # S608: whoever runs the command writes the condition, and the connection only reads
    return (
        f"SELECT row FROM audit WHERE ({condition}) AND error IS NULL "  # noqa: S608
        f"ORDER BY row LIMIT {int(count)}"
    )


def _first_column(answer: Answer) -> list[int]:
    return [row[0] for row in answer.rows]


def write_page(audit: Audit, path: str | Path, choice: Choice, opener: Opener) -> Path:
    """Write one self-contained HTML page about an audit.

    However large the audit, the page carries charts of all of it, and only the pictures chosen.

    Args:
        audit: what `open_audit` gave.
        path: of the page.
        choice: which pictures are shown.
        opener: gives a row's upright picture; where it fails the map stands alone.

    Raises:
        InputError, AuditError: see `Choice.rows`.
        FileError: a shard is missing or damaged, or the page cannot be written.
    """
    chosen = choice.rows(audit)
    pictures = [picture_of(audit, row, opener) for row in chosen]
    return write_report(
        path,
        pictures,
        title=f"What {audit.manifest.model['name']} looked at",
        model=f"{len(audit):,} pictures of {audit.manifest.data['source']}",
        lead=_lead(audit, choice, len(pictures)),
        longest=LONGEST_SIDE,
    )


# The charts


def _lead(audit: Audit, choice: Choice, shown: int) -> str:
    facts = _facts(audit)
    charts = "".join(map(str, _charts(audit)))
    heading = f"{shown:,} of them: {escape(choice.words)}" if shown else "No picture was found"
    return (
        f'<section class="overview"><p class="summary">{facts}</p>'
        f'<div class="charts">{charts}</div>{_classes(audit)}<h2>{heading}</h2></section>'
    )


def _facts(audit: Audit) -> str:
    counts, manifest = audit.manifest.counts, audit.manifest
    found = query(audit, "SELECT avg(correct::INT), max(list_max(certificate)) FROM audit")
    right, certificate = found.rows[0]
    parts = [
        f"<bdi>{escape(str(manifest.model['head']))}</bdi>",
        "" if right is None else f"{right:.1%} right",
        "" if certificate is None else f"maps add up to {certificate:.0e} or better",
        f"{counts['failed']:,} pictures failed" if counts["failed"] else "",
        "" if manifest.complete else f"not finished: {manifest.data['count']:,} in all",
    ]
    return " · ".join(filter(None, parts))


def _charts(audit: Audit) -> list[Histogram]:
    return [
        _histogram(audit, "Probability of the predicted class", "probabilities[1]"),
        _histogram(
            audit,
            "Share of the evidence at the edges",
            "border",
            "in the outer 10 % at each edge; 0.36 where evidence is the same everywhere",
        ),
        _histogram(
            audit, "Area of the evidence", "area", "share of cells above 20 % of the strongest"
        ),
        *_inside(audit),
    ]


def _inside(audit: Audit) -> list[Histogram]:
    known = query(audit, "SELECT count(inside) FROM audit").rows[0][0]
    title = "Share of the evidence inside the given boxes"
    return [_histogram(audit, title, "inside")] if known else []


def _histogram(audit: Audit, title: str, column: str, note: str = "") -> Histogram:
    # S608: the column is one of this file's
    counted = query(
        audit,
        f"SELECT correct, least(floor({column} * {BINS}), {BINS - 1})::INT AS bin, count(*) "  # noqa: S608
        f"FROM audit WHERE {column} IS NOT NULL AND isfinite({column}) GROUP BY ALL",
    )
    parts = {None: "pictures", True: "right", False: "wrong"}
    counts = {name: [0] * BINS for name in parts}
    for correct, place, number in counted.rows:
        counts[correct][max(0, place)] += number
    kept = {parts[name]: bins for name, bins in counts.items() if any(bins)}
    return Histogram(title, kept or {"pictures": [0] * BINS}, note)


def _classes(audit: Audit) -> str:
    answer = per_class(audit)
    rest = len(answer) - CLASSES_SHOWN
    title = "Class by class" + (f": the first {CLASSES_SHOWN} of {len(answer):,}" * (rest > 0))
    rows = answer.rows[:CLASSES_SHOWN]
    return (
        f"<details class='per-class'><summary>{title}</summary>"
        f"{table(answer.columns, rows)}</details>"
    )


# The pictures


def picture_of(audit: Audit, number: int, opener: Opener) -> PictureEvidence:
    """A row's picture with its maps; grey, with a note, where it cannot be opened."""
    row = audit.row(number)
    size = (row["width"], row["height"])
    note = ""
    try:
        image = opener(row)
    except SeewhyError as problem:
        image, note = Image.new("RGB", size, "gray"), f" (not shown: {problem.got})"
    geometry = geometry_of(audit.manifest.preprocess, size)
    classes = _class_evidence(audit, row)
    return PictureEvidence(row["id"] + _truth(row) + note, image, geometry, classes)


def _truth(row: Row) -> str:
    return "" if row["label_name"] is None else f", labelled {row['label_name']}"


def geometry_of(preprocess: Mapping[str, Any], size: tuple[int, int]) -> Geometry:
    """How a picture of this size lies on the network's input, by a manifest's preprocessing."""
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in preprocess.items()
        if name in Preprocess.__dataclass_fields__
    }
    return Preprocess(**known).geometry(size)


def _class_evidence(audit: Audit, row: Row) -> tuple[ClassEvidence, ...]:
    names, kind = audit.class_names, audit.manifest.model["kind"]
    each = ("classes", "probabilities", "logits", "bias", "certificate")
    return tuple(
        ClassEvidence(
            id=index,
            name=names[index] if names else f"class {index}",
            probability=_number(probability),
            logit=logit,
            evidence=float(map_.mean(dtype=np.float64)),
            bias=bias,
            certificate=_number(certificate),
            map=map_,
            kind=kind,
        )
        for index, probability, logit, bias, certificate, map_ in zip(
            *(row[name] for name in each), audit.maps(row), strict=True
        )
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
