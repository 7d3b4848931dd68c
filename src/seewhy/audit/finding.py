"""`find`: what is odd about how an audit's classes are decided for. No torch, no labels needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from seewhy.audit import nature, oddness
from seewhy.audit.findings import Finding, Findings, Place
from seewhy.audit.gathering import Gathered, classes_of
from seewhy.audit.grouping import LEAST, Group, groups, stability
from seewhy.audit.opened import Audit
from seewhy.audit.singles import Singles, singles
from seewhy.classes import class_id

RESEEDS = 4  # other seeds that a group has to come back under
STABLE = 0.5  # of a group, what other seeds find; less came by chance
PROTOTYPES = 12
TOP = 20  # findings


def find(
    audit: Audit,
    seed: int = 0,
    *,
    of_class: int | str | None = None,
    top: int = TOP,
    reseeds: int = RESEEDS,
) -> Findings:
    """Find groups of pictures, and single ones, that a class was decided for by odd evidence.

    These are suspicions; interventions tell whether they matter. The same audit and seed give the
    same findings.

    Args:
        audit: what `open_audit` gave.
        seed: of what is random.
        of_class: only this predicted class, its number or name.
        top: how many findings at most, the oddest first: groups before single pictures.
        reseeds: other seeds under which groups are looked for again; 0 leaves stability open.

    Raises:
        ClassError: there is no such class.
        FileError: a shard is missing or damaged.
    """
    names = audit.class_names
    count = audit.manifest.model["num_classes"]
    wanted = None if of_class is None else class_id(of_class, names, count)
    found: list[Finding] = []
    for number, pictures in classes_of(audit):
        if wanted in (None, number) and len(pictures) >= LEAST:
            name = names[number] if names else str(number)
            found += (
                replace(each, class_id=number, class_name=name)
                for each in _of_class(pictures, seed, reseeds)
            )
    ranked = sorted(found, key=lambda each: (each.kind != "group", -each.oddness, each.class_id))
    numbered = (replace(each, number=n) for n, each in enumerate(ranked[:top], 1))
    return Findings(audit.manifest.fingerprint, seed, tuple(numbered))


def _of_class(pictures: Gathered, seed: int, reseeds: int) -> Iterator[Finding]:
    found = _groups(pictures, seed)
    again = [_groups(pictures, seed + 1 + n) for n in range(reseeds)] if found else []
    for group in found:
        stable = stability(group, again)
        if stable is None or stable >= STABLE:
            yield _of_group(pictures, group, stable)
    for each in singles(pictures):
        yield _of_singles(pictures, each)


def _groups(pictures: Gathered, seed: int) -> list[Group]:
    shapes = pictures.shapes.reshape(len(pictures), -1)
    described = shapes if pictures.descriptors is None else pictures.descriptors
    return groups(described.astype(np.float64), shapes, seed)


def _of_group(pictures: Gathered, group: Group, stable: float | None) -> Finding:
    inside, outside = (pictures.where(each) for each in (group.members, ~group.members))
    seen = oddness.contrast(inside, outside)
    where = _place(inside, localised=seen.is_placed)
    order = np.argsort(-group.typicality[group.members], kind="stable")
    said, why = nature.by_boxes(inside.inside)
    reasons = oddness.reasons(seen, group.separation, where)
    return replace(
        _bare(pictures, np.flatnonzero(group.members)),
        kind="group",
        prototypes=tuple(inside.rows[_typical(order)].tolist()),
        place=where,
        oddness=round(group.separation * (1 + seen.size), 6),
        reasons=tuple(filter(None, (*reasons, why))),
        stability=stable,
        direction=_direction(inside, outside),
        nature=said,
    )


def _typical(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """From the middle of the nearer half: what is farthest out is an outlier, not a type."""
    quarter = len(order) // 4
    return order[quarter : quarter + PROTOTYPES]


def _of_singles(pictures: Gathered, found: Singles) -> Finding:
    return replace(
        _bare(pictures, np.sort(found.places)),
        kind=found.kind,
        prototypes=tuple(pictures.rows[found.places[:PROTOTYPES]].tolist()),
        oddness=round(found.oddness, 6),
        reasons=(found.reason,),
    )


def _bare(pictures: Gathered, places: NDArray[np.int64]) -> Finding:
    """What is the same for groups and single pictures."""
    members = np.zeros(len(pictures), bool)
    members[places] = True
    inside, outside = pictures.where(members), pictures.where(~members)
    return Finding(
        number=0,
        kind="group",
        class_id=int(pictures.predicted[0]),
        class_name="",
        rows=tuple(inside.rows.tolist()),
        prototypes=(),
        share=len(inside) / len(pictures),
        accuracy=_known(oddness.mean(inside.correct)),
        accuracy_elsewhere=_known(oddness.mean(outside.correct)),
        place=_place(inside, localised=True),
        oddness=0.0,
        reasons=(),
    )


def _place(pictures: Gathered, *, localised: bool) -> Place:
    return oddness.place(pictures.maps, pictures.area, pictures.border, localised=localised)


def _direction(inside: Gathered, outside: Gathered) -> tuple[float, ...] | None:
    if inside.descriptors is None or outside.descriptors is None:
        return None
    difference = inside.descriptors.mean(0, np.float64) - outside.descriptors.mean(0, np.float64)
    return tuple(float(f"{each:.6g}") for each in difference)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
