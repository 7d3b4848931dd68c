"""What a finding is, an artefact or a part of the object: a person says so, or the true boxes do.

A wheel that half of the cars show decides as a sticker does: no intervention tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from seewhy.audit.findings import Finding, Findings, Nature
from seewhy.errors import InputError

OUTSIDE = 0.5  # of a group's evidence inside the boxes, median: below, it is an artefact
SAME = 0.5  # Jaccard index of two groups that are the same finding

Numbers = NDArray[np.floating]


def parse(marks: list[str]) -> dict[int, Nature | None]:
    """What "2=part" and its like say, by number; "2=unknown" takes it back.

    Raises:
        InputError: it says nothing.
    """
    said: dict[int, Nature | None] = {}
    for mark in marks:
        number, _, word = mark.partition("=")
        if not number.isdecimal() or word not in (*get_args(Nature), "unknown"):
            raise InputError(
                "--mark",
                expected="N=artefact, N=part or N=unknown, N the number of a finding",
                got=repr(mark),
                fix="see the numbers: seewhy find RUN",
            )
        said[int(number)] = word if word in get_args(Nature) else None  # type: ignore[assignment]
    return said


def marked(found: Findings, said: Mapping[int, Nature | None]) -> Findings:
    """Findings with what a person said of some.

    Raises:
        AuditError: there is no such number.
    """
    for number in said:
        found.numbered(number)
    made = (
        replace(each, nature=said[each.number]) if each.number in said else each
        for each in found.findings
    )
    return replace(found, findings=tuple(made))


def carried(found: Findings, before: Findings) -> Findings:
    """Findings with what was said of the same ones before: a person is not asked twice."""
    known = [each for each in before.findings if each.nature is not None]
    made = (
        next((replace(one, nature=old.nature) for old in known if _is_same(one, old)), one)
        for one in found.findings
    )
    return replace(found, findings=tuple(made))


def _is_same(one: Finding, other: Finding) -> bool:
    if (one.kind, one.class_id) != (other.kind, other.class_id):
        return False
    rows, others = set(one.rows), set(other.rows)
    return len(rows & others) >= SAME * len(rows | others)


def by_boxes(inside: Numbers) -> tuple[Nature | None, str]:
    """What the true boxes say of a group, and why; "" where there are none.

    They call it an artefact where most of its evidence lies outside. What lies inside can be a part
    of the object, or something on it: they cannot tell.

    Args:
        inside: (n,), of each picture of the group the share of the evidence inside its boxes; NaN
            without boxes.
    """
    known = inside[np.isfinite(inside)]
    if len(known) < len(inside) / 2:
        return None, ""
    median = float(np.median(known))
    held = f"the object's boxes hold {median:.0%} of its evidence"
    if median < OUTSIDE:
        return "artefact", f"{held}: an artefact"
    return None, f"{held}: a part of it, or something on it"
