"""Parquet files with pictures: Hugging Face's schema, or any with a picture and a label column."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from seewhy.datasets.found import Found
from seewhy.datasets.labels import MAX_CLASSES, labelled, usable
from seewhy.datasets.memory import free_memory
from seewhy.datasets.split import Split
from seewhy.errors import DataError, ImageError, MissingExtraError
from seewhy.wording import complaint, first_few

# The first of these that a file has is taken, where its schema leaves a choice.
PICTURES = ("image", "img", "picture", "photo", "jpg", "png", "bytes", "content", "data")
LABELS = ("label", "labels", "fine_label", "class", "target", "category", "cls", "y")

_CACHE = 2**30  # bytes of encoded pictures that are held


def read_parquet(
    files: Mapping[str, Sequence[Path]], name: str, notes: tuple[str, ...] = ()
) -> Found:
    """Read the labels of Parquet files; their pictures are read when asked for.

    Args:
        files: those of "train" and, if there are any, of "test".
        name: of the data set.
        notes: what a person should know of them.

    Raises:
        DataError: a file is damaged, or has no column of pictures or of labels.
        MissingExtraError: pyarrow is not installed.
    """
    tables = {part: Table([open_file(path) for path in paths]) for part, paths in files.items()}
    names = class_names_of(tables)
    splits = {part: _split(part, table, names) for part, table in tables.items()}
    return Found(name, names, splits["train"], splits.get("test"), notes)


@dataclass(frozen=True, eq=False)
class _File:
    """One Parquet file, its two columns found.

    Attributes:
        path: where it is.
        reader: pyarrow's `ParquetFile`.
        picture: the name of the picture column.
        labels: the label column, an array of pyarrow's.
        declared: the class names in Hugging Face's metadata.
        ends: where each row group ends.
    """

    path: Path
    reader: Any
    picture: str
    labels: Any
    declared: tuple[str, ...] | None
    ends: list[int]

    def group(self, number: int) -> Any:
        """The encoded pictures of a row group, as an array of pyarrow's."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.reader.read_row_group(number, columns=[self.picture]).column(0)
        is_struct = pa.types.is_struct(column.type)
        return (pc.struct_field(column, "bytes") if is_struct else column).combine_chunks()


class Table:
    """The rows of several files, one after another; row groups stay in memory up to a limit.

    Args:
        files: as `open_file` gives them.
        cache: bytes of encoded pictures that are held.
        least: row groups that are held however large they are: two, where several threads read in
            order, of which one may be in the next group already.
    """

    def __init__(self, files: Sequence[_File], *, cache: int | None = None, least: int = 1) -> None:
        self.files, self.cache, self.least = files, cache, least
        self._ends = [*accumulate(len(file.labels) for file in files)]
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def name_of(self, row: int) -> str:
        """What to call a row."""
        file, inside = self.place_of(row)
        return f"{self.files[file].path.name} row {inside}"

    def picture(self, row: int) -> bytes:
        """The encoded picture of a row.

        Raises:
            ImageError: there is none, or it cannot be read.
        """
        file, inside = self.place_of(row)
        ends = self.files[file].ends
        number = bisect_right(ends, inside)
        group = self._group(file, number)
        if isinstance(group, str):
            self._refuse(row, f"a damaged row group {number} ({group})", "download the file again")
        encoded: bytes | None = group[inside - (ends[number - 1] if number else 0)].as_py()
        if not encoded:
            self._refuse(row, "null" if encoded is None else "no bytes", "remove the row")
        return encoded or b""

    def label(self, row: int) -> str:
        """How a message shows the label of a row."""
        file, inside = self.place_of(row)
        value = self.files[file].labels[inside].as_py()
        return "null" if value is None else repr(value)

    def place_of(self, row: int) -> tuple[int, int]:
        """Which file a row is of, and which row it is in there."""
        file = bisect_right(self._ends, row)
        return file, row - (self._ends[file - 1] if file else 0)

    def _refuse(self, row: int, got: str, fix: str) -> NoReturn:
        raise ImageError(self.name_of(row), expected="a picture", got=got, fix=fix)

    def _group(self, file: int, number: int) -> Any:
        """The pictures of a row group, or what is wrong with it."""
        with self._lock:  # a ParquetFile is for one thread at a time
            key = file, number
            if key not in self._groups:
                self._groups[key] = _read_group(self.files[file], number)
                self._forget()
            self._groups.move_to_end(key)
            return self._groups[key]

    def _forget(self) -> None:
        most = self.cache or _CACHE
        limit = min(most, (free_memory() or most) // 4)
        while len(self._groups) > self.least and sum(map(_nbytes, self._groups.values())) > limit:
            self._groups.popitem(last=False)


def _read_group(file: _File, number: int) -> Any:
    try:
        return file.group(number)
    except Exception as problem:  # a damaged file can raise anything
        return complaint(problem)


def _nbytes(group: Any) -> int:
    return 0 if isinstance(group, str) else int(group.nbytes)


def open_file(path: Path, *, opened: Any = None, needs_labels: bool = True) -> _File:
    """Open a file and find its two columns.

    Args:
        path: where it is, or what it is called.
        opened: the file itself, where it is not one of this machine.
        needs_labels: whether a file without a column of labels is refused; else all are null.

    Raises:
        DataError: it is damaged, or has no column of pictures or of labels.
        MissingExtraError: pyarrow is not installed.
    """
    reader = _reader(path, opened)
    schema = reader.schema_arrow
    features = _features(schema)
    picture = _choose(schema, features, _holds_pictures, PICTURES, "Image", path)
    try:
        label = _choose(schema, features, _holds_labels, LABELS, "ClassLabel", path)
    except DataError:
        if needs_labels:
            raise
        label = ""
    sizes = (reader.metadata.row_group(g).num_rows for g in range(reader.num_row_groups))
    labels = _labels(reader, label, path)
    return _File(path, reader, picture, labels, _declared(features, label), [*accumulate(sizes)])


def _labels(reader: Any, label: str, path: Path) -> Any:
    """The column of labels, or nulls where there is none."""
    if not label:
        import pyarrow as pa

        return pa.nulls(reader.metadata.num_rows, pa.int64())
    try:
        return _plain(reader.read(columns=[label]).column(0).combine_chunks())
    except Exception as problem:  # a damaged file can raise anything
        raise _damaged(path, problem) from problem


def _reader(path: Path, opened: Any = None) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError as problem:
        raise MissingExtraError(
            f"data {path}",
            expected="the package pyarrow, to read Parquet",
            got="none installed",
            fix="pip install 'seewhy[data]'",
        ) from problem
    try:
        return parquet.ParquetFile(path if opened is None else opened)
    except Exception as problem:  # a damaged file can raise anything
        raise _damaged(path, problem) from problem


def _damaged(path: Path, problem: Exception) -> DataError:
    return DataError(
        f"data {path}",
        expected="a Parquet file",
        got=f"a damaged or another one ({complaint(problem)})",
        fix="download it again",
    )


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face wrote beside the schema; damaged metadata cost no data set."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    good = isinstance(features, dict)
    return {n: f for n, f in features.items() if isinstance(f, dict)} if good else {}


def _declared(features: Mapping[str, Any], label: str) -> tuple[str, ...] | None:
    names = features.get(label, {}).get("names")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if names and is_list else None


def _choose(
    schema: Any,
    features: Mapping[str, Any],
    holds: Callable[[Any], bool],
    names: Sequence[str],
    kind: str,
    path: Path,
) -> str:
    """The one column that can be it, or the one of those with the best known name."""
    able = [field.name for field in schema if holds(field.type)]
    marked = [name for name in able if features.get(name, {}).get("_type") == kind] or able
    known = [name for name in names if name in marked]
    if len(marked) == 1 or known:
        return known[0] if known else str(marked[0])
    what = "pictures (bytes)" if kind == "Image" else "labels (numbers or text)"
    columns = first_few((f"{field.name} ({field.type})" for field in schema), count=6)
    raise DataError(
        f"data {path}",
        expected=f"a column of {what}, called {' or '.join(names[:2])}",
        got=f"several: {', '.join(marked)}" if marked else f"columns {columns or 'without any'}",
        fix="rename the column",
    )


def _holds_pictures(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_pictures(kind.field(index).type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _holds_labels(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return _holds_labels(kind.value_type)
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return bool(is_number or _is_text(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _plain(column: Any) -> Any:
    import pyarrow.types as types

    return column.dictionary_decode() if types.is_dictionary(column.type) else column


def class_names_of(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """The names that the files declare; else the train part's texts; else its numbers."""
    declared = _agreed([file for table in tables.values() for file in table.files])
    files = tables["train"].files
    if declared:
        return declared
    if any(_is_text(file.labels.type) for file in files):
        texts = {text for file in files for text in file.labels.unique().to_pylist()}
        return tuple(sorted(str(text) for text in texts - {None}))
    numbers = np.concatenate([_numbers(file.labels, {}) for file in files])
    numbers = numbers[usable(numbers, MAX_CLASSES)]
    return tuple(map(str, range(int(numbers.max(initial=-1)) + 1)))


def _agreed(files: Sequence[_File]) -> tuple[str, ...] | None:
    """The class names that one of the files declares, if no other declares others."""
    naming = [file for file in files if file.declared]
    for file in naming:
        if file.declared != naming[0].declared:
            raise DataError(
                f"data {file.path}",
                expected=f"the classes of {naming[0].path.name}: {_in_short(naming[0])}",
                got=_in_short(file),
                fix="write both with the same class names in the same order",
            )
    return naming[0].declared if naming else None


def _in_short(file: _File) -> str:
    return first_few(file.declared or ())


def _numbers(labels: Any, number_of: Mapping[str, int]) -> NDArray[np.float64]:
    """(N,), class numbers; NaN where there is none."""
    if _is_text(labels.type):
        found = [number_of.get(text, np.nan) for text in labels.to_pylist()]
        return np.array(found, dtype=np.float64)
    numbers: NDArray[np.float64] = labels.to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers


def numbers_of(table: Table, names: tuple[str, ...]) -> NDArray[np.float64]:
    """The class number of each row, (N,); NaN where there is none."""
    number_of = {name: number for number, name in enumerate(names)}
    return np.concatenate([_numbers(file.labels, number_of) for file in table.files])


def _split(part: str, table: Table, names: tuple[str, ...]) -> Split:
    numbers = numbers_of(table, names)
    return labelled(part, table, numbers, len(names), shown=table.label)
