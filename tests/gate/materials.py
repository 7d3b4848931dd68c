"""Findings and stores for gates, made without any network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.audit.stores import CLASSES, failed, make_store, row

from seewhy.audit.findings import Finding, Findings, Place, Proof, write_findings
from seewhy.audit.opened import open_audit

LABELS = [1, 0, 1, 2, 0, 1]
PREDICTED = [1, 1, 0, 2, 0, 2]
BORDERS = [0.125, 0.625, 0.25, 0.875, 0.25, 0.375]


def plain(number: int, **others: Any) -> dict[str, Any]:
    """A row of six that are half right; its classes are the predicted one and another."""
    label, said = LABELS[number], PREDICTED[number]
    return row(
        number,
        label=label,
        label_name=CLASSES[label],
        predicted=said,
        predicted_name=CLASSES[said],
        correct=label == said,
        classes=[said, (said + 1) % 3],
        probabilities=[0.5 + number / 16, 0.01],
        border=BORDERS[number],
        **others,
    )


def six(folder: Path, others: list[dict[str, Any]] | None = None) -> Path:
    """A store of six pictures, of which 1, 2 and 5 are mistaken, and one that failed."""
    changed = others or [{}] * 6
    return make_store(folder, [*(plain(i, **changed[i]) for i in range(6)), failed(6)])


def maps(*grids: Any) -> np.ndarray[Any, Any]:
    """Maps of 2 x 3 as they are stored, for a `map_scale` of 2."""
    return (np.array(grids) / 2).astype(np.float16).ravel()


def finding(number: int, **others: Any) -> Finding:
    place = Place(((0.5, 0.5),), (0.25, 0.5), 0.9, True, 0.1, 0.2)
    given: dict[str, Any] = {
        "kind": "group",
        "class_id": 1,
        "class_name": "dog",
        "rows": (0, 1),
        "prototypes": (1, 0),
        "share": 0.5,
        "accuracy": 0.5,
        "accuracy_elsewhere": 0.75,
        "place": place,
        "oddness": 1.0,
        "reasons": ("always at the same place",),
        "proof": Proof("confirmed", "it moved the decision"),
    }
    return Finding(number=number, **(given | others))


def with_findings(run: Path, *found: Finding) -> Path:
    write_findings(run, Findings(open_audit(run).manifest.fingerprint, 0, found))
    return run
