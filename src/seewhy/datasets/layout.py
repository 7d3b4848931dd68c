"""Which Parquet files of a folder are the train part, and which the test part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from seewhy.datasets.found import TEST, TRAIN, not_used, part_named
from seewhy.errors import DataError
from seewhy.wording import first_few

_SHARD = re.compile(r"(?P<stem>.*?)(?P<number>\d{3,})-of-(?P<count>\d{3,})")


def parquet_parts(
    root: Path, files: Iterable[Path]
) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Sort Parquet files into "train" and, if there are any, "test", by their names.

    `train-00000-of-00002.parquet`, `train.parquet` and `train/0000.parquet` are train files;
    where no name says a part, all of them are.

    Returns:
        The files by part, and a note of those that are of neither.

    Raises:
        DataError: the train part or a shard is missing.
    """
    by_part: dict[str | None, list[Path]] = {}
    for path in sorted(files):
        by_part.setdefault(_part_of(path.relative_to(root)), []).append(path)
    if set(by_part) == {None}:
        return {"train": _whole(by_part[None])}, ()
    train, test = _first(by_part, TRAIN), _first(by_part, TEST)
    if train is None:
        raise DataError(
            f"data {root}",
            expected="a file named train*.parquet",
            got=first_few(path.name for paths in by_part.values() for path in paths),
            fix="rename it, or pass the one file to be split",
        )
    parts = {"train": _whole(train)} | ({"test": _whole(test)} if test else {})
    others = [path for paths in by_part.values() if paths not in parts.values() for path in paths]
    return parts, not_used(root, others)


def _part_of(path: Path) -> str | None:
    """The part that the file's name says, else that of the nearest folder that says one."""
    names = (path.stem, *reversed(path.parts[:-1]))
    return next((part for name in names if (part := part_named(name))), None)


def _first(by_part: Mapping[str | None, list[Path]], names: Sequence[str]) -> list[Path] | None:
    return next((by_part[name] for name in names if name in by_part), None)


def _whole(paths: list[Path]) -> list[Path]:
    """The files, if no shard of theirs is missing."""
    shards = [match for path in paths if (match := _SHARD.fullmatch(path.stem))]
    for shard in shards:
        wanted = range(int(shard["count"]))
        have = {int(each["number"]) for each in shards if each["stem"] == shard["stem"]}
        missing = sorted(set(wanted) - have)
        if missing:
            raise DataError(
                f"data {paths[0].parent}",
                expected=f"{len(wanted)} files {shard['stem']}*.parquet",
                got=f"all but {first_few(f'{number:05}' for number in missing)}",
                fix="download the missing ones",
            )
    return paths
