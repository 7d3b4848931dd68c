"""The schema of an audit's store: which columns there are, and what they hold. pyarrow only."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from seewhy.errors import MissingExtraError

VERSION = 1

Row = dict[str, Any]

# Each column: its type as pyarrow.types would spell it, and what it holds. `k` classes a row.
COLUMNS: Mapping[str, tuple[str, str]] = {
    "id": ("string", "unique and stable: the path below the data's root, or file#row"),
    "row": ("int64", "the place in the data's order, from 0, without gaps"),
    "path": ("string", "where the picture lies, for people and for reading it again"),
    "width": ("int32", "of the upright original, in pixels"),
    "height": ("int32", "of the upright original, in pixels"),
    "label": ("int32", "the true class, as the number of one of the model's; null if unknown"),
    "label_name": ("string", "its name"),
    "boxes": ("boxes", "the true boxes x0, y0, x1, y1 in original pixels; null if unknown"),
    "predicted": ("int32", "the most probable class: the first of `classes`"),
    "predicted_name": ("string", "its name"),
    "correct": ("bool", "whether it is the label; null without a label"),
    "margin": ("float", "the largest logit less the second largest; null where there is one"),
    "classes": ("list<int32>", "k: the most probable first, then the label if not among them"),
    "logits": ("list<float>", "k: as the model returned them"),
    "probabilities": ("list<float>", "k: softmax over all classes, or a sigmoid each"),
    "bias": ("list<float>", "k: the part of the logit that lies nowhere in the picture"),
    "certificate": (
        "list<float>",
        "k: abs(mean of the float32 map + bias - logit) / the largest abs(logit) of the picture",
    ),
    "maps": ("list<half>", "k * h * w: evidence / map_scale, in the order (class, y, x)"),
    "map_scale": ("float", "a power of two: maps * map_scale is evidence in logits"),
    "grid": ("list<int32>", "h, w"),
    "map_error": ("list<float>", "k: the certificate of the maps as they are stored"),
    "descriptor": (
        "list<half>",
        "K: weight[predicted] * mean(features) / descriptor_scale; times that, it sums to the"
        " predicted class's logit less its bias. Null where the head has no such weights",
    ),
    "descriptor_scale": ("float", "a power of two"),
    "predicted_boxes": (
        "boxes",
        "around what is above 20 % of the predicted map's maximum, largest first, original pixels",
    ),
    "area": ("float", "share of the map's cells above 20 % of its maximum"),
    "concentration": ("float", "share of the positive evidence in its strongest 20 % of cells"),
    "centre_x": ("float", "centre of mass of the positive evidence, 0 to 1 of the original width"),
    "centre_y": ("float", "the same of the original height"),
    "border": (
        "float",
        "share of the positive evidence in the outer 10 % at each edge of what"
        " the network saw; 0.36 where it is the same everywhere",
    ),
    "inside": ("float", "share of the positive evidence inside the true boxes; null without"),
    "error": (
        "string",
        "why the picture could not be explained; then only id, row, path, label,"
        " label_name and boxes are there, and sometimes the size",
    ),
}


def pyarrow_for(subject: str) -> Any:
    """The package, where it is installed.

    Raises:
        MissingExtraError: it is not; the error is about `subject`.
    """
    try:
        import pyarrow
    except ImportError as problem:
        raise MissingExtraError(
            subject,
            expected="the package pyarrow, to read and write Parquet",
            got="none installed",
            fix="pip install 'seewhy[audit]'",
        ) from problem
    return pyarrow


@functools.cache
def schema() -> Any:
    """The schema of version 1, a `pyarrow.Schema`; its fields' metadata say what they hold.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pa = pyarrow_for("audit")
    single = {
        "string": pa.string(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
        "float": pa.float32(),
        "half": pa.float16(),
    }
    types = {**single, **{f"list<{name}>": pa.list_(kind) for name, kind in single.items()}}
    types["boxes"] = pa.list_(pa.list_(pa.float32(), 4))
    required = ("id", "row", "path")
    return pa.schema(
        [pa.field(name, types[kind], name not in required) for name, (kind, _) in COLUMNS.items()]
    )
