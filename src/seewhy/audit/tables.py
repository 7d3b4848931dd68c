"""Tables of pictures: Parquet files that hold them, CSV files that name them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy import images
from seewhy.audit.listing import UNKNOWN, Listing, unique
from seewhy.audit.names import BoxTable, Names
from seewhy.audit.places import Address, Local, Remote, state_of_files, state_of_infos
from seewhy.datasets.boxed import BOXES, checked_boxes
from seewhy.datasets.parquet import Table, class_names_of, numbers_of, open_file
from seewhy.errors import DataError, ImageError
from seewhy.wording import complaint, first_few

_CACHE = 2**24  # bytes of encoded pictures that are held: they are read in order, and once

PATHS = ("path", "file", "filename", "file_name", "filepath", "image", "img", "picture")
LABELS = ("label", "class", "target", "category", "class_name", "label_name", "y")


# Parquet


class Tabled:
    """Pictures in Parquet files; they are opened anew after unpickling."""

    def __init__(self, names: Sequence[str], openers: Sequence[str | Address]) -> None:
        self.names, self._openers = tuple(names), tuple(openers)
        self._table: Table | None = None

    @property
    def table(self) -> Table:
        """The files, opened.

        Raises:
            DataError: one is damaged, or has no pictures.
        """
        if self._table is None:
            pairs = zip(self.names, self._openers, strict=True)
            self._table = Table([_opened(*pair) for pair in pairs], cache=_CACHE, least=2)
        return self._table

    def path_of(self, row: int) -> str:
        """The file and the row in there."""
        file, inside = self.table.place_of(row)
        where = self._openers[file]
        return f"{where if isinstance(where, str) else where.text}#{inside}"

    def read(self, rows: Sequence[int]) -> list[images.Source | ImageError]:
        """The encoded pictures."""
        return [self._content(row) for row in rows]

    def _content(self, row: int) -> images.Source | ImageError:
        try:
            return self.table.picture(row)
        except ImageError as problem:
            return problem

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_table": None}


def _opened(name: str, where: str | Address) -> Any:
    if isinstance(where, str):
        return open_file(Path(where), needs_labels=False)
    return open_file(Path(name), opened=where.open(), needs_labels=False)


def of_parquet(source: str, names: Sequence[str], openers: Sequence[str | Address]) -> Listing:
    """List the pictures of Parquet files, one file after another.

    Args:
        source: what the user called it.
        names: of the files, below the data's root: part of the ids.
        openers: where they are: paths of this machine, or addresses elsewhere.

    Raises:
        DataError: a file is damaged, or has no pictures; or the files do not agree on the classes.
        MissingExtraError: pyarrow is not installed.
    """
    pictures = Tabled(names, openers)
    table = pictures.table
    classes = class_names_of({"train": table})
    numbers = numbers_of(table, classes)
    known = np.isfinite(numbers) & (numbers >= 0) & (numbers == np.floor(numbers))
    labels = np.where(known, numbers, UNKNOWN).astype(np.int32)
    is_named = classes != tuple(map(str, range(len(classes))))
    places = [len(file.labels) for file in table.files]
    ids = (f"{name}#{row}" for name, n in zip(names, places, strict=True) for row in range(n))
    return Listing(
        source,
        Names(ids),
        pictures,
        labels,
        classes if is_named else None,
        _boxes_of(table),
        _state(openers),
    )


def _state(openers: Sequence[str | Address]) -> str:
    here = [each for each in openers if isinstance(each, str)]
    infos = [each.system.info(each.path) for each in openers if not isinstance(each, str)]
    return state_of_files("", here) if here else state_of_infos(infos)


def _boxes_of(table: Table) -> BoxTable | None:
    """The boxes of those rows that have some that make sense; None if no file has any."""
    found: dict[int, NDArray[np.floating]] = {}
    for row, boxes in enumerate(_every_box(table)):
        try:
            found[row] = checked_boxes("", boxes)
        except DataError:
            continue
    return BoxTable.made(len(table), found) if found else None


def _every_box(table: Table) -> Iterator[Any]:
    for file in table.files:
        columns = file.reader.schema_arrow.names
        column = next((name for name in BOXES if name in columns), None)
        if column is None:
            yield from (None for _ in range(len(file.labels)))
            continue
        for group in range(file.reader.num_row_groups):
            yield from file.reader.read_row_group(group, columns=[column]).column(0).to_pylist()


# CSV


def of_csv(source: str, where: str | Address) -> Listing:
    """List the pictures that a table of text names, one a line, with a header line.

    A column "path" (or "file", "image", ...) is needed; "label" (or "class", ...) holds class
    names or numbers. Paths count from the table's own folder.

    Raises:
        DataError: it is no such table.
    """
    rows = _rows_of(source, where)
    header = {name.strip().lower(): name for name in (rows[0] if rows else {})}
    path = next((header[name] for name in PATHS if name in header), None)
    if path is None:
        raise DataError(
            f"data {source}",
            expected=f"a table with a header, and in it a column {' or '.join(PATHS[:2])}",
            got=f"columns {first_few(header)}" if header else "an empty one",
            fix="name the column of the paths so",
        )
    label = next((header[name] for name in LABELS if name in header), None)
    texts = [(row[label] or "").strip() if label else "" for row in rows]
    labels, classes = _numbered(texts)
    names = [(row[path] or "").strip() for row in rows]
    pictures, state = _named(where, names)
    return Listing(source, unique(names), pictures, labels, classes, state=state)


def _rows_of(source: str, where: str | Address) -> list[dict[str, str]]:
    try:
        content = Path(where).read_bytes() if isinstance(where, str) else where.open().read()
        text = content.decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    except (OSError, ValueError, csv.Error) as problem:
        raise DataError(
            f"data {source}",
            expected="a table in UTF-8, comma-separated",
            got=complaint(problem),
            fix="save it so",
        ) from problem


def _numbered(texts: Sequence[str]) -> tuple[NDArray[np.int32], tuple[str, ...] | None]:
    """Labels as numbers, and the names that they number; None if they are numbers themselves."""
    if all(text.lstrip("-").isdecimal() for text in texts if text):
        numbers = [int(text) if text else UNKNOWN for text in texts]
        return np.maximum(np.array(numbers, dtype=np.int64), UNKNOWN).astype(np.int32), None
    classes = tuple(sorted({text for text in texts if text}))
    number_of: Mapping[str, int] = {name: number for number, name in enumerate(classes)}
    return np.array([number_of.get(text, UNKNOWN) for text in texts], dtype=np.int32), classes


def _named(where: str | Address, names: Sequence[str]) -> tuple[Local | Remote, str]:
    """Where the files that a table names lie, and their state."""
    if isinstance(where, str):
        root = os.path.dirname(where)  # noqa: PTH120 -- of a string
        return Local(root, Names(names)), state_of_files(root, names)
    root = where.path.rpartition("/")[0]
    sizes = np.zeros(len(names), dtype=np.int64)
    return Remote(where.system, where.prefix, root, Names(names), sizes), ""
