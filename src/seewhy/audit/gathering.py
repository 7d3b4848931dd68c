"""What findings are made of: each picture's map, descriptor and a few numbers. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64
from numpy.typing import NDArray

from seewhy.audit.opened import Audit
from seewhy.audit.statistics import Maps, positive

Numbers = Float[NDArray[np.floating], " pictures"]

_COLUMNS = (
    "row predicted correct probabilities area concentration border inside"
    " maps map_scale descriptor descriptor_scale"
).split()


@dataclass(frozen=True, eq=False)
class Gathered:
    """Explained pictures, in the order of their rows; NaN where a number is unknown.

    Attributes:
        rows: of the audit.
        predicted: the class.
        correct: 1 or 0; NaN without a label.
        probability: of the predicted class.
        area: see docs/audit.md, as the next three.
        concentration: of the evidence.
        border: share of the evidence there.
        inside: share of the evidence inside the true boxes.
        maps: (pictures, h, w), evidence for the predicted class, in logits.
        descriptors: (pictures, K), in logits; None where the head has no such weights.
    """

    rows: Int64[NDArray[np.int64], " pictures"]
    predicted: NDArray[np.int32]
    correct: Numbers
    probability: Numbers
    area: Numbers
    concentration: Numbers
    border: Numbers
    inside: Numbers
    maps: Float32[NDArray[np.float32], "pictures h w"]
    descriptors: Float32[NDArray[np.float32], "pictures channel"] | None

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.rows)

    def where(self, chosen: NDArray[Any]) -> Gathered:
        """Some of them: a mask, or places."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        some: dict[str, Any] = {name: v if v is None else v[chosen] for name, v in values.items()}
        return Gathered(**some)

    @property
    def shapes(self) -> Float[NDArray[np.floating], "pictures h w"]:
        """Shares of the positive evidence, see `shapes_of`."""
        return shapes_of(self.maps)


def shapes_of(maps: Maps) -> Float[NDArray[np.floating], "pictures h w"]:
    """Shares of the positive evidence: each map's sum is 1, or 0 where nothing is positive."""
    evidence = positive(maps)
    total = evidence.sum((1, 2), keepdims=True)
    shares: NDArray[np.float64] = evidence / np.where(total > 0, total, 1)
    return shares


def classes_of(audit: Audit) -> Iterator[tuple[int, Gathered]]:
    """The pictures of each predicted class, class by class.

    Raises:
        FileError: a shard is missing or damaged.
    """
    every = gathered(audit)
    order = np.argsort(every.predicted, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(every.predicted[order])) + 1):
        if len(places):
            yield int(every.predicted[places[0]]), every.where(places)


def gathered(audit: Audit) -> Gathered:
    """All pictures that were explained.

    Raises:
        FileError: a shard is missing or damaged.
    """
    table = audit.table(_COLUMNS)
    table = table.filter(table["predicted"].is_valid())
    height, width = audit.manifest.model["grid"]
    maps = _first_of(table["maps"], height * width).reshape(-1, height, width)
    return Gathered(
        rows=table["row"].to_numpy(),
        predicted=table["predicted"].to_numpy(),
        correct=_numbers(table["correct"].cast("uint8")),
        probability=_first_of(table["probabilities"], 1)[:, 0].astype(np.float64),
        area=_numbers(table["area"]),
        concentration=_numbers(table["concentration"]),
        border=_numbers(table["border"]),
        inside=_numbers(table["inside"]),
        maps=maps * _numbers(table["map_scale"]).astype(np.float32)[:, None, None],
        descriptors=_descriptors(table, audit.manifest.model["channels"]),
    )


def _numbers(column: Any) -> NDArray[np.float64]:
    """NaN for null."""
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return values


def _descriptors(table: Any, channels: int) -> NDArray[np.float32] | None:
    if table["descriptor"].null_count or not len(table):
        return None
    found: NDArray[np.float32] = _first_of(table["descriptor"], channels)
    return found * _numbers(table["descriptor_scale"]).astype(np.float32)[:, None]


def _first_of(column: Any, count: int) -> NDArray[np.float32]:
    """The first numbers of each list, (rows, count): of maps, those of the predicted class."""
    parts = [_first_of_chunk(chunk, count) for chunk in column.chunks]
    return np.concatenate([np.zeros((0, count), np.float32), *parts])


def _first_of_chunk(chunk: Any, count: int) -> NDArray[np.float32]:
    starts = chunk.offsets.to_numpy()[:-1]
    values = chunk.values.to_numpy(zero_copy_only=False)
    first: NDArray[np.float32] = values[starts[:, None] + np.arange(count)].astype(np.float32)
    return first
