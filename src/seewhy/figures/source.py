"""What a figure's pictures are chosen from: a split of a data set, or pictures without labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL.Image import Image

from seewhy import images
from seewhy.datasets.matching import logit_ids
from seewhy.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]


class Pictures(Protocol):
    """Pictures, none of them decoded before it is asked for."""

    def __len__(self) -> int: ...
    def name_of(self, index: int) -> str:
        """Where a picture lies, or what it is called."""

    def image(self, index: int) -> Image:
        """The upright picture, RGB."""


@dataclass(frozen=True)
class Source:
    """Pictures to choose from, and what is known of them.

    Attributes:
        what: they are, in words: "test pictures of cifar10".
        pictures: themselves.
        labels: the class of each, if known.
        class_names: what the labels mean, if known.
    """

    what: str
    pictures: Pictures
    labels: Labels | None = None
    class_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def fitted_to(
        self, name: str, class_names: tuple[str, ...] | None, count: int | None
    ) -> Source:
        """Return the same with the labels, and their names, in a model's order.

        Args:
            name: of the model.
            class_names: of its logits, if known.
            count: of its logits, if known.

        Raises:
            DataError: the labels are of classes that the model does not have.
        """
        if self.labels is None:
            return replace(self, class_names=class_names)
        names = self.class_names or tuple(map(str, range(int(self.labels.max()) + 1)))
        subject = f"labels of the {self.what}"
        ids = logit_ids(names, class_names, count, subject=subject, model=name)
        return replace(self, labels=ids[self.labels], class_names=class_names or self.class_names)


@dataclass(frozen=True)
class _Loose:
    """Pictures as the user named them: paths, Pillow pictures, arrays."""

    items: Sequence[Any]

    def __len__(self) -> int:
        return len(self.items)

    def name_of(self, index: int) -> str:
        item = self.items[index]
        if isinstance(item, str | os.PathLike):
            return os.fspath(item)
        return getattr(item, "filename", "") or f"picture {index}"

    def image(self, index: int) -> Image:
        item = self.items[index]
        if isinstance(item, np.ndarray):
            return images.from_array(item, name=self.name_of(index))
        return images.read(item)


def source_of(pictures: Any, split: str = "test") -> Source:
    """Return what the user calls pictures as a `Source`.

    Args:
        pictures: a data set, one of its splits, or pictures: paths, Pillow pictures, arrays.
        split: which one of a data set's: "test" or "train".

    Raises:
        InputError: it is none of these, or empty.
    """
    source = pictures if isinstance(pictures, Source) else _source(pictures, split)
    if len(source):
        return source
    raise InputError("pictures", expected="at least one", got="none", fix="pass some")


def from_files(
    paths: Sequence[Path], what: str, labels: Sequence[int], class_names: Sequence[str]
) -> Source:
    """Return files with labels as a `Source`."""
    return Source(what, _Loose(paths), np.asarray(labels, np.int64), tuple(class_names))


def _source(pictures: Any, split: str) -> Source:
    if hasattr(pictures, "test") and hasattr(pictures, "class_names"):
        part = _split(pictures, split)
        what = f"{part.name} pictures of {pictures.name}"
        return Source(what, part, np.asarray(part.labels), tuple(pictures.class_names))
    if hasattr(pictures, "labels") and hasattr(pictures, "name_of"):
        return Source(f"{pictures.name} pictures", pictures, np.asarray(pictures.labels))
    if isinstance(pictures, str | os.PathLike | Image):
        return Source("picture", _Loose([pictures]))
    if isinstance(pictures, Sequence | np.ndarray):
        return Source("picture" if len(pictures) == 1 else "pictures", _Loose(list(pictures)))
    raise InputError(
        "pictures",
        expected="a data set, one of its splits, or a list of pictures",
        got=type(pictures).__name__,
        fix="pass what seewhy.load_dataset returned, or paths",
    )


def _split(dataset: Any, name: str) -> Any:
    if name in ("train", "test"):
        return getattr(dataset, name)
    raise InputError("split", expected="'train' or 'test'", got=repr(name), fix="pass one of them")
