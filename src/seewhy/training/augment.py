"""Random crops, flips and holes in whole batches of uint8 pictures, by index arithmetic alone.

A picture is padded by reflection, shifted and mirrored by choosing which of its rows and columns
to read: one gather does it for the batch, straight from the split in memory.

Source: shift and flip as in He et al. (2016), section 4.2 (they pad with zeros); the flip that
    alternates from epoch to epoch is Jordan's (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single
    GPU": no picture shows the same side in two epochs running. Holes are cutout's (DeVries and
    Taylor 2017) with a size drawn anew each time, as in random erasing (Zhong et al. 2017), which
    took a ResNet-20 of 300 epochs from 7.2 % errors on CIFAR-10 to 6.7 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seewhy.training.draws import generator

HOLE = 116  # grey, near the mean of ImageNet's pictures: about 0 once normalised


@dataclass(frozen=True)
class Views:
    """How each picture of a batch is looked at.

    Attributes:
        down: (B,) by how many pixels the window moves down, from -margin to margin.
        right: (B,) the same to the right.
        mirrored: (B,) bool: left and right are exchanged, after the move.
        holes: (B, 4), top, left, bottom and right of what is painted over then, half-open; None
            for no holes.
    """

    down: Tensor
    right: Tensor
    mirrored: Tensor
    holes: Tensor | None = None

    def __getitem__(self, part: slice | Tensor) -> Views:
        """Return the views of some of the pictures."""
        holes = None if self.holes is None else self.holes[part]
        return Views(self.down[part], self.right[part], self.mirrored[part], holes)


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture.

    Attributes:
        seed: of the draws.
        margin: (height, width), in pixels: how far the window may move.
        sides: (N,), 0 or 1, whether the picture is mirrored in the first epoch; it changes from
            one to the next. None: no picture is ever mirrored.
        size: (height, width) of the pictures.
        hole: (height, width) of the largest hole; 0 for none.
    """

    seed: int
    margin: tuple[int, int]
    sides: Tensor | None = None
    size: tuple[int, int] = (1, 1)
    hole: tuple[int, int] = (0, 0)

    def views(self, step: int, epoch: int, rows: Tensor) -> Views:
        """Draw how the pictures `rows` (B,) are looked at in a step."""
        shifts = generator(self.seed, "shift", step)
        down, right = (
            torch.randint(-far, far + 1, rows.shape, generator=shifts) for far in self.margin
        )
        holes = self._holes(step, rows) if max(self.hole) else None
        if self.sides is None:
            return Views(down, right, torch.zeros_like(rows, dtype=torch.bool), holes)
        return Views(down, right, (self.sides[rows] + epoch) % 2 == 1, holes)

    def _holes(self, step: int, rows: Tensor) -> Tensor:
        """Draw a hole a picture: of any size up to the largest, its middle anywhere."""
        chance = generator(self.seed, "hole", step)
        share, *middle = torch.rand((3, len(rows)), generator=chance)
        starts, ends = [], []
        for length, largest, place in zip(self.size, self.hole, middle, strict=True):
            side = (share * (largest + 1)).long()
            start = (place * length).long() - side // 2
            starts.append(start)
            ends.append(start + side)
        return torch.stack([*starts, *ends], 1)


def augmentation(
    seed: int,
    size: tuple[int, int],
    *,
    margin: float,
    flip: bool,
    count: int,
    hole: float = 0.0,
) -> Augmentation:
    """Return what may happen to `count` pictures of a size (height, width).

    Args:
        seed: of the run.
        size: of the pictures, in pixels.
        margin: share of a side by which the window may move.
        flip: whether pictures are mirrored.
        count: of the pictures.
        hole: share of a side that the largest hole has.
    """
    sides = torch.randint(0, 2, (count,), generator=generator(seed, "side")) if flip else None
    (down, right), (high, wide) = (
        [round(share * side) for side in size] for share in (margin, hole)
    )
    return Augmentation(seed, (down, right), sides, size, (high, wide))


def gather(images: Tensor, rows: Tensor, views: Views) -> Tensor:
    """Return pictures as they are looked at.

    Args:
        images: (N, height, width, channel), of any type.
        rows: (B,), which of them.
        views: of these.

    Returns:
        (B, height, width, channel).
    """
    height, width = images.shape[1:3]
    down = mirrored_inside(views.down[:, None] + torch.arange(height), height)
    across = torch.arange(width).expand(len(rows), width)
    across = torch.where(views.mirrored[:, None], width - 1 - across, across)
    across = mirrored_inside(views.right[:, None] + across, width)
    places = (rows[:, None, None] * height + down[:, :, None]) * width + across[:, None, :]
    seen = images.reshape(-1, images.shape[3])[places.to(images.device)]
    return seen if views.holes is None else painted_over(seen, views.holes)


def painted_over(pictures: Tensor, holes: Tensor) -> Tensor:
    """Return pictures (B, height, width, channel) with a grey hole (B, 4) in each."""
    top, left, bottom, right = holes[:, :, None].unbind(1)
    down, across = torch.arange(pictures.shape[1]), torch.arange(pictures.shape[2])
    rows, columns = (top <= down) & (down < bottom), (left <= across) & (across < right)
    inside = rows[:, :, None] & columns[:, None, :]
    return pictures.masked_fill_(inside[..., None].to(pictures.device), HOLE)


def mirrored_inside(places: Tensor, length: int) -> Tensor:
    """Return places beyond the first and the last one as reflections at these: -1 is 1.

    Padding "reflect" of numpy and PyTorch; `places` may be up to `length - 1` outside.
    """
    return length - 1 - (length - 1 - places.abs()).abs()


def normalise(pictures: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return what a network takes.

    Args:
        pictures: (B, height, width, 3), uint8.
        mean: of values between 0 and 1; one for a network that takes grey pictures.
        std: the same.

    Returns:
        (B, channel, height, width), float32, channels last in memory.
    """
    values = pictures.float()
    if len(mean) == 1:
        values = grey(values)
    scale = values.new_tensor(std) * 255
    shift = values.new_tensor(mean) * 255
    return values.sub_(shift).div_(scale).permute(0, 3, 1, 2)


def grey(colours: Tensor) -> Tensor:
    """Return luma (..., 1) of RGB (..., 3), by the weights that Pillow has for mode L."""
    return colours @ colours.new_tensor([[0.299], [0.587], [0.114]])
