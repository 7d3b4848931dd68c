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
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.audit.manifest import MANIFEST, Manifest, Shard
from seewhy.audit.schema import COLUMNS, VERSION, pyarrow_for, schema
from seewhy.errors import AuditError
from seewhy.files import writable_folder, write_whole

SHARDS, LOCK = "shards", "lock"
GROUP = 1024  # rows of a row group: what is read from the disk to look at one row
PINNED = "seewhy.pinned"  # the key, in a shard's metadata, of what its audit was asked for


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
    pa = pyarrow_for(f"shard {number}")
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
    pa = pyarrow_for(f"audit {folder}")
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
