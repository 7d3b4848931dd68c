"""`Listing`: every picture of a data set in order, without reading one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from seewhy import images
from seewhy.audit.names import BoxTable, Names
from seewhy.box_files import encodable
from seewhy.datasets.matching import logit_ids
from seewhy.errors import DataError, ImageError
from seewhy.wording import first_few

if TYPE_CHECKING:
    from seewhy.audit.names import Corners

UNKNOWN = -1  # the label of a picture that has none

Labels = Literal["auto", "always", "never"]


class Pictures(Protocol):
    """Where the pictures of a listing lie. It can be pickled, and used by several threads."""

    def path_of(self, row: int) -> str:
        """Where a person finds it, and `images.read` if it is a file here."""

    def read(self, rows: Sequence[int]) -> list[images.Source | ImageError]:
        """What `images.read` takes for each row, or why there is nothing."""


@dataclass(frozen=True, eq=False)
class Entry:
    """What is known of a picture before it is read.

    Attributes:
        id: unique and stable.
        row: its place in the data.
        path: where it lies.
        label: the class's number, or None.
        label_name: its name, or None.
        boxes: (m, 4) in pixels of the upright original, or None.
    """

    id: str
    row: int
    path: str
    label: int | None
    label_name: str | None
    boxes: Corners | None


@dataclass(frozen=True, eq=False, repr=False)
class Listing:
    """All pictures of a data set, in a fixed order.

    Attributes:
        source: what the user called it.
        ids: unique and stable, by row.
        pictures: where they lie.
        labels: class numbers, `UNKNOWN` where there is none, (n,).
        class_names: by class number; None where the numbers are the model's own.
        boxes: true ones, if there are any.
        state: changes when one of the files does.
        guessed: whether the labels are a guess, from the names of folders.
        notes: a line for each thing that a person should know.
    """

    source: str
    ids: Names
    pictures: Pictures
    labels: NDArray[np.int32]
    class_names: tuple[str, ...] | None = None
    boxes: BoxTable | None = None
    state: str = ""
    guessed: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        labelled = int((self.labels != UNKNOWN).sum())
        return f"Listing({self.source!r}, {len(self):,} pictures, {labelled:,} with a label)"

    def entry(self, row: int) -> Entry:
        """What is known of a picture."""
        label = int(self.labels[row])
        names = self.class_names
        return Entry(
            encodable(self.ids[row]),
            row,
            encodable(self.pictures.path_of(row)),
            None if label == UNKNOWN else label,
            None if label == UNKNOWN else names[label] if names else f"class {label}",
            self.boxes.of(row) if self.boxes else None,
        )

    def entries(self, rows: Sequence[int]) -> Iterator[Entry]:
        """What is known of several."""
        return map(self.entry, rows)

    @property
    def fingerprint(self) -> str:
        """Of all that a store depends on and that is known before a picture is read."""
        digest = hashlib.sha256(self.state.encode())
        parts = [*self.ids.digest_parts(), self.labels.tobytes()]
        parts += self.boxes.digest_parts() if self.boxes else ()
        for part in parts:
            digest.update(len(part).to_bytes(8))
            digest.update(part)
        return digest.hexdigest()

    def first(self, count: int | None) -> Listing:
        """The first pictures only."""
        if count is None or count >= len(self):
            return self
        boxes = self.boxes and BoxTable.made(
            count, {row: b for row in range(count) if (b := self.boxes.of(row)) is not None}
        )
        return replace(self, ids=self.ids[:count], labels=self.labels[:count], boxes=boxes)


def unique(ids: Iterable[str]) -> Names:
    """The same texts, each made unique: where one comes again, its row is added."""
    every = Names(ids)
    seen = Counter(map(encodable, every))
    if len(seen) == len(every):
        return every
    return Names(n if seen[encodable(n)] == 1 else f"{n}#{row}" for row, n in enumerate(every))


def with_classes(
    listing: Listing, names: tuple[str, ...] | None, count: int, *, model: str
) -> Listing:
    """The same with labels that are numbers of the model's classes, and the model's names.

    Labels that were guessed from the names of folders, and do not fit, are dropped with a note.

    Args:
        listing: of the data.
        names: of the model's classes, if they are known.
        count: how many classes it has.
        model: what it is called, for messages.

    Raises:
        DataError: the model does not have these classes.
    """
    try:
        labels = _as_logits(listing, names, count, model)
    except DataError as problem:
        if not listing.guessed:
            raise
        note = f"no labels: the folders of {listing.source} are no classes of {model}"
        unknown = np.full(len(listing), UNKNOWN, dtype=np.int32)
        del problem
        return replace(listing, labels=unknown, class_names=names, notes=(*listing.notes, note))
    return replace(listing, labels=labels, class_names=names or listing.class_names)


def _as_logits(
    listing: Listing, names: tuple[str, ...] | None, count: int, model: str
) -> NDArray[np.int32]:
    known = listing.labels != UNKNOWN
    if listing.class_names is not None and known.any():
        subject = f"data {listing.source}"
        ids = logit_ids(listing.class_names, names, count, subject=subject, model=model)
        return np.where(known, ids[listing.labels], UNKNOWN).astype(np.int32)
    beyond = np.unique(listing.labels[known & (listing.labels >= count)])
    if len(beyond):
        raise DataError(
            f"data {listing.source}",
            expected=f"labels from 0 to {count - 1}, the classes of {model}",
            got=first_few(map(str, beyond.tolist())),
            fix="take a model of these classes",
        )
    return listing.labels
