"""Columns of an audit as arrays, and the maps of one class for each of its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from seewhy.audit.opened import Audit
from seewhy.errors import AuditError

UNKNOWN = -1
_BATCH = 1024  # rows that are read at once

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


def require_complete(audit: Audit) -> Audit:
    """The audit, if every row is there.

    Raises:
        AuditError: it is not finished.
        FileError: a shard is missing.
    """
    if not audit.manifest.complete:
        raise AuditError(
            f"audit {audit.folder}",
            expected=f"all of its {audit.manifest.data['count']:,} rows",
            got=f"{len(audit):,}",
            fix="let it go on: run the same seewhy audit again",
        )
    audit.check()
    return audit


def name_of(audit: Audit, number: int) -> str:
    """The name of a class of an audit."""
    return audit.class_names[number] if audit.class_names else f"class {number}"


def as_floats(column: Any) -> Floats:
    """A pyarrow array of numbers or truth values as float64; NaN where it is null."""
    import pyarrow as pa

    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))


def as_ids(column: Any) -> Numbers:
    """A pyarrow array of class numbers as int64; -1 where it is null."""
    return np.asarray(column.fill_null(UNKNOWN).to_numpy(zero_copy_only=False), np.int64)


def first_of(lists: Any) -> Floats:
    """The first entry of each list of a pyarrow array; NaN where there is none."""
    import pyarrow.compute as pc

    known = np.asarray(lists.is_valid())
    found = np.full(len(known), np.nan)
    found[known] = pc.list_element(lists.drop_null(), 0).to_numpy()
    return found


@dataclass(frozen=True, eq=False)
class OfClass:
    """What an audit keeps of one class for each of its pictures; NaN where it keeps nothing.

    Attributes:
        maps: evidence in logits.
        logits: of that class.
    """

    maps: Float32[NDArray[np.float32], "rows h w"]
    logits: Floats


def of_class(audit: Audit, wanted: Numbers) -> OfClass:
    """The map and the logit of one class of each row, batch by batch.

    Args:
        audit: a finished one.
        wanted: the class of each row, (rows,); -1 for none.
    """
    grid = tuple(audit.manifest.model["grid"])
    maps = np.full((len(audit), *grid), np.nan, dtype=np.float32)
    logits = np.full(len(audit), np.nan)
    start = 0
    for batch in _batches(audit, ["classes", "logits", "maps", "map_scale"]):
        length = len(batch)
        kept = np.asarray(batch["classes"].combine_chunks().value_lengths().fill_null(0))
        owner = np.repeat(np.arange(length), kept)
        hit = _flat(batch["classes"]) == wanted[start : start + length][owner]
        rows, places = start + owner[hit], np.flatnonzero(hit)
        scale = as_floats(batch["map_scale"].combine_chunks()).astype(np.float32)[owner[hit]]
        stored = _flat(batch["maps"]).reshape(-1, *grid)[places].astype(np.float32)
        maps[rows] = stored * scale[:, None, None]
        logits[rows] = _flat(batch["logits"])[places]
        start += length
    return OfClass(maps, logits)


def descriptors(audit: Audit, rows: Numbers) -> Float32[NDArray[np.float32], "n channel"] | None:
    """The evidence descriptors of some rows, in logits; None where the audit has none."""
    found, start = [], 0
    order = np.sort(rows)
    for batch in _batches(audit, ["descriptor", "descriptor_scale"]):
        low, high = np.searchsorted(order, [start, start + len(batch)])
        part = batch.take(order[low:high] - start)
        if part["descriptor"].null_count:
            return None
        if len(part):
            values = _flat(part["descriptor"]).astype(np.float32).reshape(len(part), -1)
            found.append(values * as_floats(part["descriptor_scale"].combine_chunks())[:, None])
        start += len(batch)
    if not found:
        return None
    every = np.concatenate(found).astype(np.float32)
    return every[np.searchsorted(order, rows)]


def _batches(audit: Audit, columns: list[str]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    for path in audit.files:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, columns=columns):
                yield pa.Table.from_batches([batch])


def _flat(column: Any) -> NDArray[Any]:
    """All that the lists of a chunked array hold, one after another."""
    return np.asarray(column.combine_chunks().flatten().to_numpy(zero_copy_only=False))
