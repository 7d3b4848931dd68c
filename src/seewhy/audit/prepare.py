"""From rows of a listing to a batch of pictures in 8 bits, ready for the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from seewhy import images
from seewhy.audit.listing import Entry, Listing
from seewhy.errors import ImageError
from seewhy.geometry import Geometry
from seewhy.preprocess import Preprocess

Frames = UInt8[NDArray[np.uint8], "batch height width channel"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Some rows, their pictures brought to the size of the network's input.

    A picture that failed is black: a batch has always the same shape, so that what is computed
    for the others does not depend on it.

    Attributes:
        entries: what was known before.
        frames: (batch, height, width, channels), not normalised yet.
        geometry: how each became so; None where it failed.
        errors: why it failed; None where it did not.
    """

    entries: tuple[Entry, ...]
    frames: Frames
    geometry: tuple[Geometry | None, ...]
    errors: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.entries)


def prepare(
    listing: Listing, rows: Sequence[int], preprocess: Preprocess, *, scaled: bool = False
) -> Prepared:
    """Read and frame some pictures; one that cannot be read is no reason to stop.

    Args:
        listing: of the data.
        rows: which ones.
        preprocess: of the network.
        scaled: let large JPEGs be decoded smaller where that is faster, see `images.read_scaled`.
    """
    entries = tuple(listing.entries(rows))
    width, height = preprocess.size
    frames = np.zeros((len(entries), height, width, len(preprocess.mean)), dtype=np.uint8)
    geometry: list[Geometry | None] = []
    errors: list[str | None] = []
    sources = listing.pictures.read(rows)
    for entry, source, into in zip(entries, sources, frames, strict=True):
        try:
            geometry.append(_frame(source, preprocess, into, scaled=scaled))
            errors.append(None)
        except Exception as problem:  # whatever is wrong with one picture is no reason to stop
            geometry.append(None)
            errors.append(_line(entry, problem))
    return Prepared(entries, frames, tuple(geometry), tuple(errors))


def _frame(
    source: images.Source | ImageError,
    preprocess: Preprocess,
    into: NDArray[np.uint8],
    *,
    scaled: bool,
) -> Geometry:
    if isinstance(source, ImageError):
        raise source
    image, size = images.read_scaled(source, preprocess.resized if scaled else None)
    framed, geometry = preprocess.frame(image)
    into[:] = np.asarray(framed).reshape(into.shape)
    return geometry if size == image.size else geometry.seen_from(size)


def _line(entry: Entry, problem: Exception) -> str:
    """What is wrong, naming the picture: bytes from elsewhere have no name of their own."""
    if isinstance(problem, ImageError):
        problem = ImageError(
            entry.path, expected=problem.expected, got=problem.got, fix=problem.fix
        )
        return str(problem)
    reason = " ".join(f"{type(problem).__name__}: {problem}".split())
    fix = "save or download it again"
    return str(ImageError(entry.path, expected="a picture", got=reason, fix=fix))
