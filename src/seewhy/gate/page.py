"""A page about two audits: class by class, and pictures with both of their maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seewhy.audit.opened import Audit
from seewhy.audit.page import LONGEST_SIDE, Opener, geometry_of
from seewhy.audit.reading import name_of
from seewhy.audit.schema import Row
from seewhy.errors import SeewhyError
from seewhy.gate.diff import Change, Diff, coarsened
from seewhy.render import contact_sheet
from seewhy.report import write_report
from seewhy.report.charts import table
from seewhy.report.markup import escape
from seewhy.results import ClassEvidence, PictureEvidence


def write_page(found: Diff, path: str | Path, places: Sequence[int], opener: Opener) -> Path:
    """Write one self-contained HTML page about two audits.

    Args:
        found: what differs.
        path: of the page.
        places: which pictures are shown, as places in `found`.
        opener: gives a row's upright picture; where it fails the maps stand alone.

    Raises:
        FileError: a shard is missing or damaged, or the page cannot be written.
    """
    first, second = (each.manifest.model["name"] for each in (found.first, found.second))
    return write_report(
        path,
        [_picture(found, place, opener) for place in places],
        title=f"What changed from {first} to {second}",
        model=f"{len(found.rows):,} pictures of {found.first.manifest.data['source']}",
        lead=_lead(found, len(places)),
        longest=LONGEST_SIDE,
    )


def sheet(found: Diff, places: Sequence[int], opener: Opener) -> Image.Image:
    """A row a picture: the picture, and both maps side by side on one scale.

    Args:
        found: what differs.
        places: which pictures are shown, one at least, as places in `found`.
        opener: gives a row's upright picture; where it fails the maps stand alone.

    Raises:
        InputError: there is nothing to show.
        FileError: a shard is missing or damaged.
    """
    return contact_sheet([_picture(found, place, opener) for place in places], top=2)


def _lead(found: Diff, shown: int) -> str:
    names = [each.name.replace("_", " ") for each in fields(Change)]
    rows = [tuple(vars(each).values()) for each in (found.overall(), *found.per_class())]
    folders = " and ".join(f"<bdi>{escape(str(each.folder))}</bdi>" for each in _both(found))
    return (
        f'<section class="overview"><p class="summary">{folders}</p>{table(names, rows)}'
        f"<h2>{shown:,} pictures whose evidence changed most</h2></section>"
    )


def _both(found: Diff) -> tuple[Audit, Audit]:
    return found.first, found.second


def _picture(found: Diff, place: int, opener: Opener) -> PictureEvidence:
    wanted = int(found.predicted[place, 0])
    pairs = zip(_both(found), found.rows[place].tolist(), strict=True)
    entries = [_entry(audit, number, wanted) for audit, number in pairs]
    shown = [each for each in entries if each is not None]
    grid = tuple(min(sides) for sides in zip(*(each.map.shape for each in shown), strict=True))
    row = found.first.row(int(found.rows[place, 0]))
    image, note = _opened(row, opener)
    after = name_of(found.second, int(found.predicted[place, 1]))
    title = f"{row['id']}: {row['predicted_name']}, then {after}{note}"
    geometry = geometry_of(found.first.manifest.preprocess, (row["width"], row["height"]))
    return PictureEvidence(title, image, geometry, tuple(_on(each, grid) for each in shown))


def _opened(row: Row, opener: Opener) -> tuple[Image.Image, str]:
    try:
        return opener(row), ""
    except SeewhyError as problem:
        size = (row["width"], row["height"])
        return Image.new("RGB", size, "gray"), f" (not shown: {problem.got})"


def _entry(audit: Audit, number: int, wanted: int) -> ClassEvidence | None:
    """The evidence for a class in an audit's row; None where it keeps no map of it."""
    row = audit.row(number)
    if wanted not in row["classes"]:
        return None
    at = row["classes"].index(wanted)
    values: dict[str, Any] = {name: row[name][at] for name in ("logits", "bias", "certificate")}
    probability = row["probabilities"][at]
    map_ = audit.maps(row)[at]
    return ClassEvidence(
        id=wanted,
        name=f"{name_of(audit, wanted)} in {audit.folder.name}",
        probability=float("nan") if probability is None else probability,
        logit=values["logits"],
        evidence=float(map_.mean(dtype=np.float64)),
        bias=values["bias"],
        certificate=values["certificate"],
        map=map_,
        kind=audit.manifest.model["kind"],
    )


def _on(entry: ClassEvidence, grid: tuple[int, ...]) -> ClassEvidence:
    """The same on a coarser grid: a cell is the mean of what it covers."""
    if entry.map.shape == grid:
        return entry
    cells = entry.map.size / (grid[0] * grid[1])
    coarse = coarsened(entry.map[None], (grid[0], grid[1]))[0] / cells
    return replace(entry, map=coarse.astype(np.float32))
