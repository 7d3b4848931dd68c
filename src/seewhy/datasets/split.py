"""Split: pictures with labels that stay where they are until asked for, and Pixels: in memory.

Broken pictures are no reason to stop: they are left out, and each is named with what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seewhy import images
from seewhy.datasets.memory import check_room
from seewhy.errors import DataError, ImageError
from seewhy.geometry import Size
from seewhy.preprocess import Preprocess

_BLOCK = 64  # pictures that a thread decodes in one go


class Rows(Protocol):
    """Where pictures lie: rows of a file, files of a folder, an array."""

    def name_of(self, row: int) -> str:
        """What to call a row, so that a person finds it."""
        ...

    def picture(self, row: int) -> images.Source:
        """What `images.read` reads for a row; ImageError where there is nothing to read."""
        ...


@dataclass(frozen=True)
class Pixels:
    """Pictures of one size in memory.

    Attributes:
        images: (N, height, width, 3), RGB.
        labels: (N,), class numbers.
        rows: (N,), which pictures of the split these are: the broken ones are left out.
        skipped: one line for each that was left out.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Pixels(images={self.images.shape}, skipped={len(self.skipped)})"


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """The pictures of one part of a data set, read only when asked for.

    Attributes:
        name: "train" or "test".
        labels: (N,), class numbers.
        source: where the pictures lie.
        places: (N,), which rows of the source these are.
        skipped: one line for each row that was left out, for it has no usable label.
    """

    name: str
    labels: NDArray[np.int64]
    source: Rows
    places: NDArray[np.int64]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({self.name!r}, {len(self):,} pictures, {len(self.skipped):,} left out)"

    def name_of(self, index: int) -> str:
        """What to call a picture: its path, or its file and row."""
        return self.source.name_of(int(self.places[index]))

    def image(self, index: int) -> Image:
        """Read one picture, upright and RGB.

        Raises:
            ImageError: it is missing or damaged; the message names it.
        """
        try:
            return images.read(self.source.picture(int(self.places[index])))
        except ImageError as problem:
            got, fix = problem.got, problem.fix
            name, wanted = self.name_of(index), problem.expected
            raise ImageError(name, expected=wanted, got=got, fix=fix) from problem

    def take(self, name: str, indices: NDArray[np.int64]) -> Split:
        """Return some of the pictures as a split of its own."""
        return Split(name, self.labels[indices], self.source, self.places[indices])

    def load(
        self,
        size: Size | Preprocess | None = None,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> Pixels:
        """Read all pictures into memory.

        Args:
            size: (width, height): the shorter side is brought to it, then comes the centre crop. A
                `Preprocess` says itself how its size is reached. None takes the pictures as they
                are, all of one size.
            on_progress: told how many more pictures are done.

        Returns:
            The pictures, in the split's order; `skipped` begins with the split's own.

        Raises:
            DataError: they would fill the memory, differ in size, or none can be read.
        """
        check_room(self.name, self.nbytes(size))
        read = self.batch(np.arange(len(self)), size, on_progress=on_progress)
        if not len(read):
            raise DataError(
                self.name,
                expected="pictures that can be read",
                got=f"none of {len(self):,}: {''.join(read.skipped[:1])}",
                fix="check where they came from",
            )
        return Pixels(read.images, read.labels, read.rows, (*self.skipped, *read.skipped))

    def batch(
        self,
        indices: Sequence[int] | NDArray[np.integer],
        size: Size | Preprocess | None = None,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> Pixels:
        """Read some pictures, in the order of `indices`, for what does not fit into memory.

        Args:
            indices: which pictures; one may come twice.
            size: as for `load`.
            on_progress: told how many more pictures are done.

        Raises:
            DataError: `size` is None and the pictures differ in size.
        """
        rows = np.arange(len(self))[np.asarray(indices, dtype=np.int64)]
        framing = _framing(size) or _as_they_are(self._size_of(rows))
        pixels = np.empty((len(rows), *framing.size[::-1], 3), dtype=np.uint8)
        broken = self._decode(rows, framing, size is None, pixels, on_progress)
        kept = np.array([place not in broken for place in range(len(rows))], dtype=bool)
        rows = rows[kept]
        return Pixels(_packed(pixels, kept), self.labels[rows], rows, tuple(broken.values()))

    def nbytes(self, size: Size | Preprocess | None = None) -> int:
        """How many bytes the pictures would take in memory."""
        framing = _framing(size)
        width, height = framing.size if framing else self._size_of(range(len(self)))
        return len(self) * width * height * 3

    def _size_of(self, rows: Sequence[int] | NDArray[np.int64]) -> Size:
        """The size of the first picture that can be read."""
        for row in rows:
            try:
                return self.image(int(row)).size
            except ImageError:
                continue
        return 1, 1

    def _decode(
        self,
        rows: NDArray[np.int64],
        framing: Preprocess,
        strict: bool,
        into: NDArray[np.uint8],
        on_progress: Callable[[int], None] | None,
    ) -> dict[int, str]:
        """Fill `into` in several threads; return what is wrong with a place, by place."""

        def block(start: int) -> dict[int, str]:
            places = range(start, min(start + _BLOCK, len(rows)))
            lines = {p: self._decode_one(int(rows[p]), framing, strict, into[p]) for p in places}
            return {place: line for place, line in lines.items() if line}

        broken: dict[int, str] = {}
        starts = range(0, len(rows), _BLOCK)
        with (
            ThreadPoolExecutor(_threads()) as pool,
            closing(pool.map(block, starts)) as blocks,  # type: ignore[type-var]
        ):
            for start, lines in zip(starts, blocks, strict=True):
                broken |= lines
                if on_progress:
                    on_progress(min(_BLOCK, len(rows) - start))
        return broken

    def _decode_one(
        self, index: int, framing: Preprocess, strict: bool, into: NDArray[np.uint8]
    ) -> str:
        try:
            image = self.image(index)
        except ImageError as problem:
            return str(problem)
        if not _is_framed(image, framing):
            if strict:
                raise DataError(
                    self.name_of(index),
                    expected=f"{framing.size[0]} x {framing.size[1]} pixels, as before it",
                    got=f"{image.width} x {image.height}",
                    fix="pass size=(width, height)",
                )
            image = framing.frame(image)[0].convert("RGB")
        into[:] = np.asarray(image)
        return ""


def _framing(size: Size | Preprocess | None) -> Preprocess | None:
    return size if size is None or isinstance(size, Preprocess) else _as_they_are(size)


def _as_they_are(size: Size) -> Preprocess:
    return Preprocess(size=size, crop=1.0)


def _is_framed(image: Image, framing: Preprocess) -> bool:
    """Whether `frame` would change nothing, as for most small pictures."""
    return image.size == framing.size and framing.crop == 1 and len(framing.mean) == 3


def _packed(pixels: NDArray[np.uint8], kept: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The kept pictures moved to the front, in place: there may be no room for a copy."""
    for to, place in enumerate(np.flatnonzero(kept)):
        if to != place:
            pixels[to] = pixels[place]
    return pixels[: int(kept.sum())]


def _threads() -> int:
    return min(8, os.cpu_count() or 1)
