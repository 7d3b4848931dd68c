"""The pictures that the views are made of: as they are, mirrored, resized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from seewhy.errors import InputError
from seewhy.finer.wish import Wish

Size = tuple[int, int]  # height, width


@dataclass(frozen=True, eq=False)
class Look:
    """A batch of pictures, and what was done to them.

    Attributes:
        pictures: (B, C, H, W).
        is_mirrored: left to right.
        scale: 1.0, or what they were resized by, before rounding to whole cells.
    """

    pictures: Float[Tensor, "batch channel height width"]
    is_mirrored: bool = False
    scale: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether they are as they came."""
        return not self.is_mirrored and self.scale == 1.0

    def upright(self, maps: Tensor) -> Tensor:
        """Maps of these pictures, mirrored back."""
        return maps.flip(3) if self.is_mirrored else maps


def looks(pictures: Tensor, grid: tuple[int, ...], wish: Wish) -> Iterator[Look]:
    """All looks that are wished for, the plain one first.

    Args:
        pictures: (B, C, H, W).
        grid: the cells of the network's features for them, along both sides.
        wish: which.

    Raises:
        InputError: two scales give the same size.
    """
    sizes = _sizes(pictures, grid, wish.scales)
    for scale in sorted(wish.scales, key=lambda scale: scale != 1.0):
        resized = pictures
        if sizes[scale] != pictures.shape[2:]:
            resized = F.interpolate(pictures, sizes[scale], mode="bilinear", antialias=True)
        yield Look(resized, scale=scale)
        if wish.flip:
            yield Look(resized.flip(3), is_mirrored=True, scale=scale)


def _sizes(pictures: Tensor, grid: tuple[int, ...], scales: tuple[float, ...]) -> dict[float, Size]:
    sizes: dict[float, Size] = {}
    for scale in scales:
        high, wide = (_resized(pictures.shape[2 + axis], grid[axis], scale) for axis in (0, 1))
        for other, size in sizes.items():
            if size == (high, wide):
                raise InputError(
                    "scales",
                    expected="scales that differ by at least a cell of the feature grid",
                    got=f"{other} and {scale}, both pictures of {high} x {wide}",
                    fix="choose them farther apart",
                )
        sizes[scale] = high, wide
    return sizes


def _resized(pixels: int, cells: int, scale: float) -> int:
    """The nearest size of whole cells, so that the coarser or finer grid covers the picture too."""
    if scale == 1.0:
        return pixels
    cell = 1 if pixels % cells else pixels // cells
    return cell * max(1, round(pixels * scale / cell))
