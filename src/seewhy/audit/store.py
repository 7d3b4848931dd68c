"""The store of an audit: a folder of Parquet files and a manifest. pyarrow only, no torch.

```
RUN/manifest.json          what was asked, of which model and data, and which shards there are
RUN/shards/00000.parquet   rows 0 to n - 1, one for each picture, failed ones too; and so on
RUN/lock                   held by the process that writes
```

It is a contract: `docs/audit.md` says what each column means, and readers of other versions refuse
what they do not know. A shard appears whole or not at all, and its bytes depend on nothing but the
pictures, the model and the settings.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.errors import AuditError, FileError, MissingExtraError
from seewhy.files import writable_folder, write_whole
from seewhy.wording import complaint, first_few, near_or

VERSION = 1
MANIFEST, SHARDS, LOCK = "manifest.json", "shards", "lock"
GROUP = 1024  # rows of a row group: what is read from the disk to look at one row
PINNED = "seewhy.pinned"  # the key, in a shard's metadata, of what its audit was asked for

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


def _pyarrow(subject: str) -> Any:
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
    pa = _pyarrow("audit")
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


# The manifest


@dataclass(frozen=True)
class Shard:
    """One file of rows.

    Attributes:
        file: its path below the run's folder.
        first: its first row.
        rows: how many it has.
        failed: how many of them are of pictures that could not be explained.
        inexact: how many have maps that do not add up, though they should.
        bytes: its size.
        sha256: of its bytes, in hexadecimal.
    """

    file: str
    first: int
    rows: int
    failed: int
    inexact: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an audit was asked for, and what there is of it. All but the last five is pinned.

    Attributes:
        model: name, fingerprint, head, kind, num_classes, channels, grid, class_names, task,
            additive (whether maps of this kind are to add up) and tolerance.
        preprocess: how pictures are prepared.
        engine: what ran the network: its name, precision, threads and versions.
        settings: top, rows_per_shard, batch_size.
        data: source, count, and a fingerprint of the listing.
        versions: of the packages that have a say in the numbers.
        shards: those that are there, in order of their rows.
        created: when it was begun, UTC, ISO 8601.
        complete: whether every row is there.
        version: of the schema.
    """

    model: dict[str, Any]
    preprocess: dict[str, Any]
    engine: dict[str, Any]
    settings: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    shards: tuple[Shard, ...] = ()
    created: str = ""
    complete: bool = False
    version: int = VERSION

    @property
    def pinned(self) -> dict[str, Any]:
        """What may not change while an audit is made."""
        return {name: getattr(self, name) for name in _PINNED}

    @property
    def fingerprint(self) -> str:
        """Of what is pinned: shards of another audit have another one."""
        text = json.dumps(self.pinned, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """Rows, failed rows and inexact ones."""
        return {
            name: sum(getattr(shard, name) for shard in self.shards)
            for name in ("rows", "failed", "inexact")
        }

    def with_shards(self, shards: Sequence[Shard]) -> Manifest:
        """The same with these shards; complete if they hold every row."""
        ordered = tuple(sorted(shards, key=lambda shard: shard.first))
        complete = sum(shard.rows for shard in ordered) == self.data["count"]
        return replace(self, shards=ordered, complete=complete)

    def to_json(self) -> dict[str, Any]:
        """A plain document."""
        return {
            "format": "seewhy-audit",
            "version": self.version,
            "created": self.created,
            "complete": self.complete,
            "counts": self.counts,
            **self.pinned,
            "shards": [asdict(shard) for shard in self.shards],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Manifest:
        """Read what `to_json` wrote; KeyError, TypeError or ValueError if it is anything else."""
        if document["format"] != "seewhy-audit":
            raise ValueError("another document")
        names = [each.name for each in fields(cls) if each.name != "shards"]
        shards = tuple(Shard(**shard) for shard in document["shards"])
        return cls(**{name: document[name] for name in names}, shards=shards)


_PINNED = ("model", "preprocess", "engine", "settings", "data", "versions")


def read_manifest(folder: str | Path) -> Manifest | None:
    """Return a run's manifest, or None where there is none.

    Raises:
        AuditError: it is damaged, or of another version.
    """
    path = Path(folder) / MANIFEST
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.get("format") == "seewhy-audit" and document["version"] != VERSION:
            raise _another_version(path, document["version"])
        return Manifest.from_json(document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise AuditError(
            str(path),
            expected="the manifest of an audit",
            got=complaint(problem),
            fix="pass --restart to begin anew, or another --out",
        ) from problem


def _another_version(path: Path, version: object) -> AuditError:
    return AuditError(
        str(path),
        expected=f"version {VERSION}",
        got=f"version {version}",
        fix="update seewhy, or make the audit anew",
    )


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write a run's manifest; whoever reads it meanwhile sees the old one or the new one.

    Raises:
        FileError: it cannot be written.
    """
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False) + "\n"
    write_whole(Path(folder) / MANIFEST, [text.encode("utf-8", "backslashreplace")], durable=True)


def check_same(folder: str | Path, begun: Manifest, asked: Manifest) -> None:
    """See that an audit that was begun is the one that is asked for.

    Raises:
        AuditError: it is not; the message says what differs.
    """
    was, now = _flat(begun.pinned), _flat(asked.pinned)
    for name in [*was, *(name for name in now if name not in was)]:
        if was.get(name) != now.get(name):
            raise AuditError(
                f"audit {folder}",
                expected=f"{name} {was.get(name)!r:.80}, as it was begun",
                got=f"{now.get(name)!r:.80}",
                fix="pass the same to go on, another --out, or --restart to begin anew",
            )


def _flat(pinned: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f"{part} {name}": _as_json(value)
        for part, values in pinned.items()
        for name, value in values.items()
    }


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


# Shards


def shard_file(number: int) -> str:
    """The path of a shard below the run's folder."""
    return f"{SHARDS}/{number:05d}.parquet"


def write_shard(folder: str | Path, number: int, table: Any, manifest: Manifest) -> Shard:
    """Write one shard whole, and wait until the disk has it.

    Args:
        folder: of the run; its folder of shards exists.
        number: of the shard.
        table: its rows, a `pyarrow.Table` of `schema()`.
        manifest: whose fingerprint the shard carries.

    Raises:
        FileError: it cannot be written: disk full, no permission.
    """
    shard, content = encoded(number, table, manifest)
    write_content(folder, shard, content)
    return shard


def write_content(folder: str | Path, shard: Shard, content: Any) -> None:
    """Write the bytes of a shard whole, and wait until the disk has them.

    Raises:
        FileError: they cannot be written: disk full, no permission.
    """
    write_whole(Path(folder) / shard.file, [content], durable=True)


def encoded(number: int, table: Any, manifest: Manifest) -> tuple[Shard, Any]:
    """A shard, and the bytes of its file, a `pyarrow.Buffer`; see `write_shard`."""
    pa = _pyarrow(f"shard {number}")
    import pyarrow.parquet as parquet

    marked = table.cast(schema()).replace_schema_metadata(
        {PINNED: manifest.fingerprint, "seewhy.version": str(VERSION)}
    )
    sink = pa.BufferOutputStream()
    parquet.write_table(
        marked,
        sink,
        row_group_size=GROUP,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=["label_name", "predicted_name"],
        write_statistics=_WITH_STATISTICS,
    )
    content = sink.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    counted = _counted(table, manifest)
    return Shard(shard_file(number), *counted, bytes=content.size, sha256=digest), content


# Not of texts: DuckDB 2.0 takes a text column for constant, nulls and all, where the smallest text
# of a row group is the largest, too. With one failure in a shard every row would have failed.
_NUMBERS = ("int32", "int64", "float")
_WITH_STATISTICS = [name for name, (kind, _) in COLUMNS.items() if kind in _NUMBERS]


def _counted(table: Any, manifest: Manifest) -> tuple[int, int, int, int]:
    """The first row, and how many there are, failed and are inexact."""
    failed = len(table) - table["error"].null_count
    first = table["row"][0].as_py() if len(table) else 0
    return first, len(table), failed, _inexact(table["certificate"], manifest.model)


def _inexact(certificates: Any, model: Mapping[str, Any]) -> int:
    """How many rows have a certificate beyond the tolerance; NaN is beyond."""
    if not model.get("additive", True):
        return 0
    flat = certificates.combine_chunks()
    values = flat.flatten().to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(flat)), np.diff(flat.offsets.to_numpy()))
    return len(np.unique(owner[~(values <= model.get("tolerance", np.inf))]))


def whole_shard(folder: str | Path, number: int, manifest: Manifest) -> Shard | None:
    """A shard of this audit that lies there whole, though the manifest may not list it yet."""
    pa = _pyarrow(f"audit {folder}")
    import pyarrow.parquet as parquet

    path = Path(folder) / shard_file(number)
    try:
        content = path.read_bytes()
        file = parquet.ParquetFile(pa.BufferReader(content))
        if (file.schema_arrow.metadata or {}).get(PINNED.encode()) != manifest.fingerprint.encode():
            return None
        counted = _counted(file.read(columns=["row", "error", "certificate"]), manifest)
    except (OSError, pa.ArrowException):
        return None
    digest = hashlib.sha256(content).hexdigest()
    return Shard(shard_file(number), *counted, bytes=len(content), sha256=digest)


def is_there(folder: str | Path, shard: Shard) -> bool:
    """Whether a shard that the manifest lists still lies there in its size."""
    try:
        return (Path(folder) / shard.file).stat().st_size == shard.bytes
    except OSError:
        return False


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keep other writers out of a run; the system opens the lock when we end, however.

    Raises:
        AuditError: another process writes there.
    """
    folder = Path(folder)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise AuditError(
                f"audit {folder}",
                expected="a folder that nobody is writing to",
                got="another process at work there",
                fix="wait for it, or choose another --out",
            ) from problem
        for draft in [*folder.glob(".*.part"), *(folder / SHARDS).glob(".*.part")]:
            draft.unlink(missing_ok=True)  # of a writer that was killed
        yield


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder for a run, and keep other writers out; where no run came of it, leave none.

    Raises:
        AuditError: another process writes there.
        FileError: it cannot be made, or takes no files.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    with locked(writable_folder(folder)):
        try:
            yield
        finally:
            if not (folder / MANIFEST).exists():
                _unmake(folder, made)


def _unmake(folder: Path, made: Sequence[Path]) -> None:
    """Remove the lock of a run that never began, and the folders that were made for it."""
    with contextlib.suppress(OSError):  # one that is not empty stays
        (folder / LOCK).unlink(missing_ok=True)
        for each in made:
            each.rmdir()


def forget(folder: str | Path) -> None:
    """Remove what an audit left in its folder, and nothing else; the manifest goes first."""
    folder = Path(folder)
    (folder / MANIFEST).unlink(missing_ok=True)
    for shard in (folder / SHARDS).glob("[0-9]*.parquet"):
        shard.unlink()


# Reading


def open_audit(folder: str | Path) -> Audit:
    """Open the store of an audit, finished or not; nothing is read but its manifest.

    Raises:
        AuditError: there is none, or it is damaged or of another version.
        MissingExtraError: pyarrow is not installed.
    """
    folder = Path(folder).expanduser()
    _pyarrow(f"audit {folder}")
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
        pa = _pyarrow(f"audit {self.folder}")
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
