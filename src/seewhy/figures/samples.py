"""Real pictures with labels, for who has no data at hand: those that foolbox carries."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from seewhy.errors import InputError, MissingExtraError
from seewhy.figures.source import Source, from_files

if TYPE_CHECKING:
    from collections.abc import Sequence

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# number of the model's classes -> the pictures' name, and what their files' names begin with
_SETS = {10: ("CIFAR-10", "cifar10"), 1000: ("ImageNet", "imagenet")}


def samples(num_classes: int | None) -> Source:
    """Return the 20 CIFAR-10 pictures, or for a model of 1000 classes the 20 of ImageNet.

    Raises:
        InputError: there are none for so many classes.
        MissingExtraError: foolbox is not installed.
    """
    if num_classes not in _SETS:
        raise InputError(
            "pictures",
            expected="some to show, for only models of 10 or 1000 classes have samples",
            got=f"none, and a model of {num_classes or 'an unknown number of'} classes",
            fix="name pictures, or a data set with --data",
        )
    name, prefix = _SETS[num_classes]
    paths = sorted(_folder().glob(f"{prefix}_*_*.*"))
    labels = [int(path.stem.rpartition("_")[2]) for path in paths]
    return from_files(paths, f"{name} pictures that foolbox carries", labels, _names(num_classes))


def _names(num_classes: int) -> Sequence[str]:
    from seewhy.models.names import imagenet_names

    return CIFAR10 if num_classes == len(CIFAR10) else imagenet_names()


def _folder() -> Path:
    package = util.find_spec("foolbox")  # found, not imported: nothing of it is run
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise MissingExtraError(
            "pictures",
            expected="some to show, or those that foolbox carries",
            got="none, and no foolbox",
            fix="pip install 'seewhy[demo]'",
        )
    return Path(folders[0]) / "data"
