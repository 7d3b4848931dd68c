"""An audit opened: its rows, maps and columns, read from the store as they are wanted."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.audit.manifest import MANIFEST, Manifest, read_manifest
from seewhy.audit.schema import COLUMNS, Row, pyarrow_for, schema
from seewhy.audit.store import GROUP, is_there
from seewhy.errors import AuditError, FileError
from seewhy.wording import complaint, first_few, near_or


def open_audit(folder: str | Path) -> Audit:
    """Open the store of an audit, finished or not; nothing is read but its manifest.

    Raises:
        AuditError: there is none, or it is damaged or of another version.
        MissingExtraError: pyarrow is not installed.
    """
    folder = Path(folder).expanduser()
    pyarrow_for(f"audit {folder}")
    manifest = read_manifest(folder)
    if manifest is None:
        raise AuditError(
            f"audit {folder}",
            expected=f"a folder with a {MANIFEST}, as seewhy audit writes it",
            got="another folder" if folder.is_dir() else "no such folder",
            fix="check the path",
        )
    return Audit(folder, manifest)


@dataclass(frozen=True, eq=False)
class Audit:
    """Explanations of a whole data set, on disk. Iterate over it for its rows.

    Attributes:
        folder: where it lies.
        manifest: what it is of.
    """

    folder: Path
    manifest: Manifest
    _open: dict[int, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """How many rows there are, failed ones too."""
        return self.manifest.counts["rows"]

    def __repr__(self) -> str:
        counts = self.manifest.counts
        state = "complete" if self.manifest.complete else f"of {self.manifest.data['count']:,}"
        return f"Audit('{self.folder}', {len(self):,} rows, {counts['failed']:,} failed, {state})"

    def __iter__(self) -> Iterator[Row]:
        """Each row as a dict, in order; a row group is in memory at a time."""
        return self.rows()

    @property
    def files(self) -> list[Path]:
        """The Parquet files, in the order of their rows."""
        return [self.folder / shard.file for shard in self.manifest.shards]

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """By class number, if the model has names."""
        names = self.manifest.model.get("class_names")
        return None if names is None else tuple(names)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Each row as a dict of these columns (of all, by default), in order.

        Raises:
            AuditError: there is no such column.
            FileError: a shard is missing or damaged.
        """
        wanted = self._checked(columns)
        for shard in range(len(self.manifest.shards)):
            file = self._file(shard)
            for group in range(file.num_row_groups):
                yield from self._group(shard, group, wanted).to_pylist()

    def row(self, number: int, columns: Sequence[str] | None = None) -> Row:
        """One row as a dict.

        Args:
            number: its place in the data, as in the column `row`.
            columns: which ones; all by default.

        Raises:
            AuditError: there is no such row (yet), or no such column.
            FileError: its shard is missing or damaged.
        """
        shard, group, inside = self._place(number)
        found: Row = (
            self._group(shard, group, self._checked(columns)).slice(inside, 1).to_pylist()[0]
        )
        return found

    def maps(self, row: int | Mapping[str, Any]) -> NDArray[np.float32]:
        """The evidence maps of a row in logits, (k, h, w), in the order of its `classes`.

        Args:
            row: its number; or a row, with its columns `maps`, `map_scale` and `grid`.

        Raises:
            AuditError: there is no such row, or its picture could not be explained.
            FileError: its shard is missing or damaged.
        """
        if not isinstance(row, Mapping):
            row = self.row(row, ["row", "maps", "map_scale", "grid", "error"])
        if row["maps"] is None:
            raise AuditError(
                f"row {row.get('row')}",
                expected="a picture that was explained",
                got=f"one that failed ({row.get('error')})",
                fix="look at rows whose error is null",
            )
        stored = np.asarray(row["maps"], np.float32).reshape(-1, *row["grid"])
        return stored * np.float32(row["map_scale"])

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """These columns of all rows (by default all columns), as a `pyarrow.Table`.

        Raises:
            AuditError: there is no such column.
            FileError: a shard is missing or damaged.
        """
        pa = pyarrow_for(f"audit {self.folder}")
        wanted = self._checked(columns)
        parts = [
            self._read(shard, lambda file: file.read(columns=wanted))
            for shard in range(len(self.manifest.shards))
        ]
        empty = pa.schema([schema().field(name) for name in wanted]).empty_table()
        return pa.concat_tables([empty, *(part.cast(empty.schema) for part in parts)])

    def check(self) -> None:
        """See that every shard lies there in the size that was written; `verify` reads them all.

        Raises:
            FileError: one does not.
        """
        for shard in self.manifest.shards:
            if not is_there(self.folder, shard):
                raise _damaged(self.folder / shard.file, "no such file, or one of another size")

    def verify(self) -> None:
        """See that every shard has the bytes that were written.

        Raises:
            FileError: one is missing or has others.
        """
        for shard in self.manifest.shards:
            path = self.folder / shard.file
            if not path.is_file() or _sha256(path) != shard.sha256:
                raise _damaged(path, "other bytes" if path.is_file() else "no such file")

    def _checked(self, columns: Sequence[str] | None) -> list[str]:
        wanted = list(COLUMNS) if columns is None else list(columns)
        for name in wanted:
            if name not in COLUMNS:
                raise AuditError(
                    f"column '{name}'",
                    expected=f"one of {first_few(COLUMNS, count=6)}",
                    got="no such column",
                    fix=near_or(name, COLUMNS, "see docs/audit.md for all of them"),
                )
        return wanted

    def _place(self, number: int) -> tuple[int, int, int]:
        """The shard, its row group, and the place in there."""
        shards = self.manifest.shards
        at = bisect_right([shard.first for shard in shards], number) - 1
        if at < 0 or number >= shards[at].first + shards[at].rows:
            raise AuditError(
                f"row {number}",
                expected=f"one of the {len(self):,} rows of {self.folder}",
                got="another number",
                fix="check it" if self.manifest.complete else "finish the audit first",
            )
        return at, *divmod(number - shards[at].first, GROUP)

    def _group(self, shard: int, group: int, columns: list[str]) -> Any:
        return self._read(shard, lambda file: file.read_row_group(group, columns=columns))

    def _read(self, shard: int, do: Any) -> Any:
        file = self._file(shard)
        try:
            return do(file)
        except Exception as problem:  # a damaged file can raise anything
            raise _damaged(self.files[shard], complaint(problem)) from problem

    def _file(self, shard: int) -> Any:
        import pyarrow.parquet as parquet

        if shard not in self._open:
            path = self.files[shard]
            try:
                opened = parquet.ParquetFile(path)
            except Exception as problem:  # a damaged file can raise anything
                raise _damaged(path, complaint(problem)) from problem
            while len(self._open) >= _HELD:
                self._open.pop(next(iter(self._open))).close()
            self._open[shard] = opened
        return self._open[shard]


_HELD = 8  # files that are open at once


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, got: str) -> FileError:
    return FileError(
        os.fspath(path),
        expected="a shard as it was written",
        got=got,
        fix="run the same seewhy audit again: it makes what is missing",
    )
