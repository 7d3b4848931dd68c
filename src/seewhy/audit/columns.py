"""Arrays of a batch as columns of the store: no Python object a row but for texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32
from numpy.typing import NDArray

from seewhy.audit.names import BoxTable
from seewhy.audit.prepare import Prepared
from seewhy.audit.schema import schema
from seewhy.errors import ImageError

PerClass = Float32[NDArray[np.float32], "batch k"]
Rows = Bool[NDArray[np.bool_], " batch"]
Scalars = Float[NDArray[np.floating], " batch"]


@dataclass(frozen=True, eq=False)
class Explained:
    """What the network and its head said of a batch.

    Attributes:
        classes: the k that are explained, the predicted one first.
        keep: which of them count: the last is a label that may be among the others.
        logits: of these classes.
        probabilities: of these classes.
        bias: of these classes.
        certificate: of these classes.
        maps: evidence in logits.
        scale: the largest magnitude of each picture's logits.
        margin: the largest logit less the second largest; NaN where there is one only.
        descriptors: row of the predicted class times the pooled features; None without rows.
    """

    classes: Int32[NDArray[np.int32], "batch k"]
    keep: Bool[NDArray[np.bool_], "batch k"]
    logits: PerClass
    probabilities: PerClass
    bias: PerClass
    certificate: PerClass
    maps: Float32[NDArray[np.float32], "batch k h w"]
    scale: Float32[NDArray[np.float32], " batch"]
    margin: Float32[NDArray[np.float32], " batch"]
    descriptors: Float32[NDArray[np.float32], "batch channel"] | None

    @property
    def is_finite(self) -> Rows:
        """Whether all that counts is a number."""
        maps = np.isfinite(self.maps).all((2, 3))
        each = [maps, *(np.isfinite(v) for v in (self.logits, self.bias, self.certificate))]
        finite: Rows = (np.logical_and.reduce(each) | ~self.keep).all(1)
        return finite

    def only(self, rows: Rows) -> Explained:
        """The same of some of the rows."""
        chosen: dict[str, Any] = {
            name: None if values is None else values[rows] for name, values in vars(self).items()
        }
        return Explained(**chosen)


@dataclass(frozen=True, eq=False)
class Numbers:
    """What the maps of the predicted classes say, for the pictures that could be read.

    Attributes:
        original: (n, 2), width and height.
        predicted_boxes: in pixels of the original.
        area: see `statistics`, as all that follow; NaN where there is none.
        concentration: see there.
        centre_x: see there.
        centre_y: see there.
        border: see there.
        inside: see there.
    """

    original: Int32[NDArray[np.int32], "n 2"]
    predicted_boxes: BoxTable
    area: Scalars
    concentration: Scalars
    centre_x: Scalars
    centre_y: Scalars
    border: Scalars
    inside: Scalars


STATISTICS = ("area", "concentration", "centre_x", "centre_y", "border", "inside")


def table_of(
    prepared: Prepared,
    explained: Explained,
    numbers: Numbers | None,
    names: Sequence[str] | None,
) -> Any:
    """The rows of a batch as a `pyarrow.Table` of the store's schema.

    Args:
        prepared: the pictures; those that failed become rows with an error.
        explained: what was seen of them; what is not finite becomes a row with an error, too.
        numbers: of those that could be read; None if none could.
        names: of the classes, if known.
    """
    import pyarrow as pa

    readable = np.array([each is None for each in prepared.errors])
    good = readable & explained.is_finite
    rows = _Rows(good)
    columns = _known(prepared, _errors(prepared, good))
    columns |= _of_classes(rows, explained.only(good), names, columns["label"])
    if numbers is not None:
        columns |= _of_numbers(rows, numbers, readable, good)
    everything = [
        columns[field.name] if field.name in columns else pa.nulls(len(prepared), field.type)
        for field in schema()
    ]
    return pa.Table.from_arrays(everything, schema=schema())


@dataclass(frozen=True, eq=False)
class _Rows:
    """Spreads what is known of the good rows over all rows; the others are null."""

    good: Rows

    def scalars(self, values: NDArray[Any], kind: Any) -> Any:
        import pyarrow as pa

        missing = ~self.good
        full = np.zeros(len(self.good), dtype=values.dtype)
        full[self.good] = values
        if values.dtype.kind == "f":
            missing = missing | np.isnan(full)
        return pa.array(full, kind, mask=missing)

    def lists(self, values: Any, lengths: NDArray[np.integer[Any]] | int) -> Any:
        """Lists of these lengths, of values one after another."""
        import pyarrow as pa

        ends = np.zeros(len(self.good) + 1, dtype=np.int32)
        ends[1:][self.good] = lengths
        ends = np.cumsum(ends, dtype=np.int32)
        offsets, mask = pa.array(ends), pa.array(~self.good)
        return pa.ListArray.from_arrays(offsets, values, mask=mask)


def _errors(prepared: Prepared, good: Rows) -> list[str | None]:
    def line(index: int) -> str | None:
        if good[index] or prepared.errors[index] is not None:
            return prepared.errors[index]
        path = prepared.entries[index].path
        wanted, fix = "finite logits and maps", "check the network's weights"
        return str(ImageError(path, expected=wanted, got="NaN or infinity", fix=fix))

    return [line(index) for index in range(len(prepared))]


def _known(prepared: Prepared, errors: list[str | None]) -> dict[str, Any]:
    """What was known before the pictures were read, and why some failed."""
    import pyarrow as pa

    entries = prepared.entries
    boxes = [e.boxes for e in entries]
    known = _Rows(np.array([each is not None for each in boxes]))
    corners = [each for each in boxes if each is not None]
    return {
        "id": pa.array([e.id for e in entries], pa.string()),
        "row": pa.array([e.row for e in entries], pa.int64()),
        "path": pa.array([e.path for e in entries], pa.string()),
        "label": pa.array([e.label for e in entries], pa.int32()),
        "label_name": pa.array([e.label_name for e in entries], pa.string()),
        "boxes": known.lists(_fours(corners), np.array([len(c) for c in corners], dtype=int)),
        "error": pa.array(errors, pa.string()),
    }


def _fours(corners: Sequence[NDArray[np.floating]]) -> Any:
    import pyarrow as pa

    flat = np.concatenate([np.zeros((0, 4)), *corners]).astype(np.float32).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), 4)


def _of_classes(
    rows: _Rows, seen: Explained, names: Sequence[str] | None, labels: Any
) -> dict[str, Any]:
    """The columns that hold something for each class, and what follows from them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = seen.keep.sum(1)
    height, width = seen.maps.shape[2:]
    stored, map_scale = halves(np.where(seen.keep[..., None, None], seen.maps, 0))
    wide = stored.astype(np.float64).mean((2, 3)) * map_scale[:, None]
    deviation = np.abs(wide + seen.bias - seen.logits) / seen.scale[:, None]
    per_class = {
        "classes": seen.classes,
        "logits": seen.logits,
        "probabilities": seen.probabilities,
        "bias": seen.bias,
        "certificate": seen.certificate,
        "map_error": deviation.astype(np.float32),
    }
    predicted = rows.scalars(seen.classes[:, 0], pa.int32())
    called = [names[i] if names else f"class {i}" for i in seen.classes[:, 0].tolist()]
    each = iter(called)
    grid = np.tile(np.array([height, width], dtype=np.int32), len(counts))
    return {
        **{name: rows.lists(pa.array(v[seen.keep]), counts) for name, v in per_class.items()},
        "maps": rows.lists(pa.array(stored[seen.keep].ravel()), counts * height * width),
        "map_scale": rows.scalars(map_scale, pa.float32()),
        "grid": rows.lists(pa.array(grid), 2),
        "margin": rows.scalars(seen.margin, pa.float32()),
        "predicted": predicted,
        "predicted_name": pa.array([next(each) if is_good else None for is_good in rows.good]),
        "correct": pc.equal(predicted, labels),
        **_descriptors(rows, seen.descriptors),
    }


def _descriptors(rows: _Rows, values: NDArray[np.float32] | None) -> dict[str, Any]:
    import pyarrow as pa

    if values is None:
        return {}
    stored, scale = halves(values)
    return {
        "descriptor": rows.lists(pa.array(stored.ravel()), values.shape[1]),
        "descriptor_scale": rows.scalars(scale, pa.float32()),
    }


def _of_numbers(rows: _Rows, numbers: Numbers, readable: Rows, good: Rows) -> dict[str, Any]:
    import pyarrow as pa

    kept = good[readable]
    table = numbers.predicted_boxes
    lengths = np.diff(table.ends)
    corners = table.corners[np.repeat(kept, lengths)]
    sized = _Rows(readable)
    return {
        "width": sized.scalars(numbers.original[:, 0], pa.int32()),
        "height": sized.scalars(numbers.original[:, 1], pa.int32()),
        "predicted_boxes": rows.lists(_fours([corners]), lengths[kept]),
        **{
            name: rows.scalars(getattr(numbers, name)[kept].astype(np.float32), pa.float32())
            for name in STATISTICS
        },
    }


def halves(values: NDArray[np.float32]) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Values (batch, ...) in half precision, and a power of two for each row to multiply them by.

    The largest magnitude of a row lies from 0.5 to 1 then, whatever the unit: nothing overflows,
    and the error of each value is at most 2**-12 of the row's largest.
    """
    largest = np.abs(values).max(tuple(range(1, values.ndim)), initial=0)
    scale = np.exp2(np.frexp(largest)[1]).astype(np.float32)
    scale = np.where(largest > 0, scale, np.float32(1))
    shaped = scale.reshape(-1, *[1] * (values.ndim - 1))
    return (values / shaped).astype(np.float16), scale
