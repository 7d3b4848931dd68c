"""Dataset: class names, a train part and a test part; and whether it can be used."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from seewhy.datasets.found import Found
from seewhy.datasets.split import Split
from seewhy.datasets.stratify import stratified
from seewhy.errors import DataError


@dataclass(frozen=True, repr=False)
class Dataset:
    """Pictures with class labels, to train with and to test with.

    Attributes:
        name: what it is called, from its path.
        class_names: by class number.
        train: the part to train with.
        test: the part to test with.
        notes: a line for each thing that a person should know: how the test part was made where
            there was none, say.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = f"{len(self.train):,} train and {len(self.test):,} test pictures"
        return f"Dataset({self.name!r}, {len(self.class_names)} classes, {parts})"

    @property
    def is_named(self) -> bool:
        """Whether its classes have names, or only numbers."""
        return self.class_names != tuple(map(str, range(len(self.class_names))))


def completed(found: Found, test_share: float, seed: int) -> Dataset:
    """Return a data set that can be trained with; what has no test part is split.

    Raises:
        DataError: it is empty, or of one class.
    """
    _check_part(found.name, found.train)
    _check_classes(found)
    if found.test is not None:
        _check_part(found.name, found.test)
        return Dataset(found.name, found.class_names, found.train, found.test, found.notes)
    stay, aside = stratified(found.train.labels, test_share, seed)
    train = replace(found.train.take("train", stay), skipped=found.train.skipped)
    test = found.train.take("test", aside)
    if not len(test):
        _refuse(found.name, "two pictures of a class at least", "one of each", "add pictures")
    note = f"no test part: {test_share:.0%} of each class kept aside at random, seed {seed}"
    return Dataset(found.name, found.class_names, train, test, (*found.notes, note))


def _check_part(name: str, split: Split) -> None:
    if not len(split):
        left_out = f": {split.skipped[0]}" if split.skipped else ""
        got = f"none ({len(split.skipped):,} left out{left_out})" if left_out else "none"
        _refuse(f"{name}, {split.name}", "labelled pictures", got, "check the path and the labels")


def _check_classes(found: Found) -> None:
    present = np.unique(found.train.labels)
    if len(present) < 2:
        got = f"one: {found.class_names[int(present[0])]}"
        _refuse(found.name, "two classes at least", got, "add pictures of another class")


def _refuse(name: str, expected: str, got: str, fix: str) -> None:
    raise DataError(f"data {name}", expected=expected, got=got, fix=fix)
