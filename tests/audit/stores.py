"""Little stores to read, made without any network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.audit import store
from seewhy.audit.manifest import Manifest, write_manifest
from seewhy.audit.schema import COLUMNS, schema

CLASSES = ("cat", "dog", "owl")


def manifest(count: int, **others: Any) -> Manifest:
    """Of an audit of `count` pictures by a net of three classes."""
    model = {
        "name": "tiny",
        "fingerprint": "0" * 64,
        "head": "linear: mean -> addmm, 4 x 2 x 3 -> 3 classes",
        "kind": "linear",
        "num_classes": 3,
        "channels": 4,
        "grid": [2, 3],
        "class_names": list(CLASSES),
        "task": "single-label",
        "additive": True,
        "tolerance": 1e-5,
    }
    return Manifest(
        model=model,
        preprocess={"size": [24, 16]},
        engine={"name": "torch", "precision": "float32"},
        settings={"top": 2, "rows_per_shard": 3, "batch_size": 2},
        data={"source": "pictures", "count": count, "fingerprint": "1" * 64},
        versions={"seewhy": "0"},
        created="2026-01-01T00:00:00Z",
        **others,
    )


def row(number: int, **others: Any) -> dict[str, Any]:
    """One explained picture; maps are twice 0, 1, 2, ... in (class, y, x)."""
    full = {
        "id": f"a/{number}.png",
        "row": number,
        "path": f"pictures/a/{number}.png",
        "width": 48,
        "height": 32,
        "label": number % 3,
        "label_name": CLASSES[number % 3],
        "boxes": [[0.0, 0.0, 10.0, 10.0]] if number % 2 else None,
        "predicted": 1,
        "predicted_name": "dog",
        "correct": number % 3 == 1,
        "margin": 0.5,
        "classes": [1, 0],
        "logits": [2.0, 1.5],
        "probabilities": [0.5, 0.25],
        "bias": [0.25, 0.5],
        "certificate": [1e-7, 0.0],
        "maps": np.arange(12, dtype=np.float16),
        "map_scale": 2.0,
        "grid": [2, 3],
        "map_error": [1e-4, 1e-4],
        "descriptor": np.array([0.5, 0.25, 0.5, 0.5], np.float16),
        "descriptor_scale": 1.0,
        "predicted_boxes": [[1.0, 2.0, 3.0, 4.0]],
        "area": 0.5,
        "concentration": 0.4,
        "centre_x": 0.5,
        "centre_y": 0.25,
        "border": 0.3,
        "inside": 0.75 if number % 2 else None,
        "error": None,
    }
    return full | others


def failed(number: int) -> dict[str, Any]:
    """One picture that could not be read."""
    known = ("id", "row", "path", "label", "label_name", "boxes")
    kept = {name: value for name, value in row(number).items() if name in known}
    return {name: kept.get(name) for name in COLUMNS} | {"error": "a.png: damaged"}


def make_store(folder: Path, rows: list[dict[str, Any]], per_shard: int = 3, **model: Any) -> Path:
    """Write a complete store of these rows; `model` replaces what the manifest says of it."""
    import pyarrow as pa

    (folder / store.SHARDS).mkdir(parents=True)
    made = manifest(len(rows))
    made = replace(made, model=made.model | model)
    shards = [
        store.write_shard(
            folder,
            start // per_shard,
            pa.Table.from_pylist(rows[start : start + per_shard], schema=schema()),
            made,
        )
        for start in range(0, len(rows), per_shard)
    ]
    write_manifest(folder, made.with_shards(shards))
    return folder
