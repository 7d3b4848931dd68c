"""load_dataset: look at what a path is, and pass it to the reader for it."""

from __future__ import annotations

from pathlib import Path

from seewhy.datasets.cifar import ARCHIVES, extracted, read_cifar
from seewhy.datasets.dataset import Dataset, completed
from seewhy.datasets.download import OnDownload, cache_folder, download
from seewhy.datasets.folders import read_folders
from seewhy.datasets.found import Found
from seewhy.datasets.layout import parquet_parts
from seewhy.datasets.parquet import read_parquet
from seewhy.datasets.walk import files_below
from seewhy.errors import DataError, InputError
from seewhy.wording import complaint, near_or

_TAR = (".tar.gz", ".tgz", ".tar")


def load_dataset(
    source: str | Path,
    *,
    test_share: float = 0.2,
    seed: int = 0,
    on_download: OnDownload | None = None,
) -> Dataset:
    """Find the pictures and labels of a data set; no picture is decoded yet.

    Args:
        source: a folder with a folder per class, in train/ and test/ (or val/) or in one place; a
            folder of Parquet files, or one of them; an archive of CIFAR, packed or extracted; or
            "cifar10" or "cifar100", which are downloaded once.
        test_share: of each class that is kept aside where there is no test part.
        seed: of that choice.
        on_download: told how many bytes are there, and how many there will be (None: not known).

    Raises:
        DataError: there is no data set, or one that cannot be used.
        FileError: the download failed.
        MissingExtraError: pyarrow is needed and not installed.
    """
    if not 0 < test_share < 1:
        raise InputError(
            "test_share", expected="a share between 0 and 1", got=f"{test_share}", fix="pass 0.2"
        )
    if seed < 0:
        raise InputError("seed", expected="0 or more", got=f"{seed}", fix="pass 0")
    path = _path_of(source)
    if not path.exists() and str(source) in ARCHIVES:
        path = _downloaded(str(source), on_download)
    return completed(_found(path), test_share, seed)


def _downloaded(name: str, on_download: OnDownload | None) -> Path:
    archive = ARCHIVES[name]
    path = cache_folder() / archive.url.rpartition("/")[2]
    return download(archive.url, path, md5=archive.md5, on_download=on_download)


def _path_of(source: str | Path) -> Path:
    try:
        path = Path(source).expanduser()
        path.exists()  # the system may refuse to answer
    except (OSError, RuntimeError, ValueError) as problem:
        raise _unusable(source, f"a path that cannot be ({problem})") from problem
    if not str(source):
        raise _unusable("''", "no path")
    return path


def _found(path: Path) -> Found:
    if path.is_dir():
        return _found_in(path)
    if not path.is_file():
        raise _unusable(path, "nothing there")
    _check_opens(path)
    if path.suffix == ".parquet":
        return read_parquet({"train": [path]}, path.stem)
    if path.name.endswith(_TAR):
        return read_cifar(path)
    raise _unusable(path, "a file of another kind")


def _found_in(folder: Path) -> Found:
    archive = extracted(folder)
    if archive:
        return read_cifar(archive)
    tables = [path for path in files_below(folder) if path.suffix == ".parquet"]
    if tables:
        parts, notes = parquet_parts(folder, tables)
        return read_parquet(parts, folder.resolve().name, notes)
    return read_folders(folder)


def _check_opens(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as problem:
        raise DataError(
            f"data {path}",
            expected="a file that can be read",
            got=complaint(problem),
            fix="change its permissions",
        ) from problem


def _unusable(source: str | Path, got: str) -> DataError:
    return DataError(
        f"data {source}",
        expected=f"a folder, a .parquet or .tar.gz file, or {' or '.join(ARCHIVES)}",
        got=got,
        fix=near_or(str(source), ARCHIVES, "check the path"),
    )
