"""What a reader finds: class names, a train part and perhaps a test part."""

from __future__ import annotations

import re
from dataclasses import dataclass

from seewhy.datasets.split import Split

# What the parts are called on disk; of several that can be the test part the first is taken.
TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation", "dev")


@dataclass(frozen=True)
class Found:
    """A data set as it lies there; without a test part, `train` is all of it."""

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split | None


def part_named(name: str) -> str | None:
    """Return the part that `name` begins with ("test" for "test-00000-of-00002"), if any."""
    begins = re.split(r"[-_. ]", name.lower(), maxsplit=1)[0]
    return begins if begins in TRAIN + TEST else None
