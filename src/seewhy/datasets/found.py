"""What a reader finds: class names, a train part and perhaps a test part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seewhy.datasets.split import Split
from seewhy.wording import first_few

# What the parts are called on disk; of several that can be the test part the first is taken.
TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation", "dev")


@dataclass(frozen=True)
class Found:
    """A data set as it lies there; without a test part, `train` is all of it.

    Attributes:
        name: what it is called, from its path.
        class_names: by class number.
        train: the train part.
        test: the test part.
        notes: a line for each thing that a person should know.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split | None
    notes: tuple[str, ...] = ()


def not_used(root: Path, paths: Iterable[Path]) -> tuple[str, ...]:
    """Return a note that these are neither the train nor the test part, if there are any."""
    names = [str(path.relative_to(root)) for path in paths]
    return (f"not used: {first_few(names)}",) if names else ()


def part_named(name: str) -> str | None:
    """Return the part that `name` begins with ("test" for "test-00000-of-00002"), if any."""
    begins = re.split(r"[-_. ]", name.lower(), maxsplit=1)[0]
    return begins if begins in TRAIN + TEST else None
