"""load_dataset: look at what a path is, and pass it to the reader for it."""

from __future__ import annotations

from pathlib import Path

from seewhy.datasets.dataset import Dataset, completed
from seewhy.datasets.found import Found
from seewhy.datasets.layout import parquet_parts
from seewhy.datasets.parquet import read_parquet
from seewhy.errors import DataError


def load_dataset(source: str | Path, *, test_share: float = 0.2, seed: int = 0) -> Dataset:
    """Find the pictures and labels of a data set; no picture is decoded yet.

    Args:
        source: a folder of Parquet files, or one of them.
        test_share: of each class that is kept aside where there is no test part.
        seed: of that choice.

    Raises:
        DataError: there is no data set, or one that cannot be used.
        MissingExtraError: pyarrow is needed and not installed.
    """
    return completed(_found(Path(source).expanduser()), test_share, seed)


def _found(path: Path) -> Found:
    if path.is_file():
        return read_parquet({"train": [path]}, path.stem)
    files = sorted(path.rglob("*.parquet"))
    if files:
        return read_parquet(parquet_parts(path, files), path.resolve().name)
    raise DataError(
        f"data {path}",
        expected="a folder or a file",
        got="nothing there",
        fix="check the path",
    )
