"""Random crops, flips, holes and mixtures of whole batches of uint8 pictures, by index arithmetic.

A picture is padded by reflection, shifted and mirrored by choosing which of its rows and columns
to read: one gather does it for the batch, straight from the split in memory.

Source: shift and flip as in He et al. (2016), section 4.2 (they pad with zeros); the flip that
    alternates from epoch to epoch is Jordan's (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single
    GPU": no picture shows the same side in two epochs running. Holes are cutout's (DeVries and
    Taylor 2017) with a size drawn anew each time, as in random erasing (Zhong et al. 2017), which
    took a ResNet-20 of 300 epochs from 7.2 % errors on CIFAR-10 to 6.7 %. Where the smallest hole
    is as large as the largest, they are cutout's own. Hidden patches are hide-and-seek's (Singh and
    Lee 2017), patches of a neighbour CutMix's (Yun et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from seewhy.training.draws import generator, seed_of

HOLE = 116  # grey, near the mean of ImageNet's pictures: about 0 once normalised
PATCHES = 4  # a side: 56 pixels of 224, as hide-and-seek has it


@dataclass(frozen=True)
class Views:
    """How each picture of a batch is looked at.

    Attributes:
        down: (B,) by how many pixels the window moves down, from -margin to margin.
        right: (B,) the same to the right.
        mirrored: (B,) bool: left and right are exchanged, after the move.
        holes: (B, 4), top, left, bottom and right of what is painted over then, half-open; None
            for no holes.
        hidden: (B, PATCHES, PATCHES) bool: the patches that get the shade; None for none.
        shades: (B, 3) or, grey, (B, 1): the colour of hidden patches; None where none is.
        mixed: (B, 4), as `holes`: what is taken from the next picture; None for nothing.
    """

    down: Tensor
    right: Tensor
    mirrored: Tensor
    holes: Tensor | None = None
    hidden: Tensor | None = None
    shades: Tensor | None = None
    mixed: Tensor | None = None

    def __getitem__(self, part: slice | Tensor) -> Views:
        """Return the views of some of the pictures."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return Views(**{name: each[part] for name, each in every.items() if each is not None})


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
        smallest: (height, width) of the smallest hole.
        hidden: share of the patches of a picture that are hidden.
        alpha: of the Beta distribution of what a picture keeps beside its neighbour; 0: all.
        mean: colour of hidden patches, 0 to 1 each.
    """

    seed: int
    margin: tuple[int, int]
    sides: Tensor | None = None
    size: tuple[int, int] = (1, 1)
    hole: tuple[int, int] = (0, 0)
    smallest: tuple[int, int] = (0, 0)
    hidden: float = 0.0
    alpha: float = 0.0
    mean: tuple[float, ...] = (0.5,)

    def views(self, step: int, epoch: int, rows: Tensor) -> Views:
        """Draw how the pictures `rows` (B,) are looked at in a step."""
        shifts = generator(self.seed, "shift", step)
        down, right = (
            torch.randint(-far, far + 1, rows.shape, generator=shifts) for far in self.margin
        )
        mirrored = torch.zeros_like(rows, dtype=torch.bool)
        if self.sides is not None:
            mirrored = (self.sides[rows] + epoch) % 2 == 1
        return Views(
            down,
            right,
            mirrored,
            self._holes(step, rows) if max(self.hole) else None,
            self._hidden(step, rows) if self.hidden else None,
            colour(self.mean).expand(len(rows), -1) if self.hidden else None,
            self._mixed(step, rows) if self.alpha else None,
        )

    def _holes(self, step: int, rows: Tensor) -> Tensor:
        """Draw a hole a picture: of any size up to the largest, its middle anywhere."""
        chance = generator(self.seed, "hole", step)
        share, *middle = torch.rand((3, len(rows)), generator=chance)
        sides = [
            least + (share * (largest - least + 1)).long()
            for least, largest in zip(self.smallest, self.hole, strict=True)
        ]
        return self._around(middle, sides)

    def _hidden(self, step: int, rows: Tensor) -> Tensor:
        """Draw which patches of each picture are hidden."""
        chance = generator(self.seed, "hide", step)
        return torch.rand((len(rows), PATCHES, PATCHES), generator=chance) < self.hidden

    def _mixed(self, step: int, rows: Tensor) -> Tensor:
        """Draw what each picture takes from the next: a rectangle of its shape, of any size."""
        chance = np.random.default_rng(seed_of(self.seed, "mix", step))
        taken = torch.from_numpy(1 - chance.beta(self.alpha, self.alpha, len(rows))).sqrt()
        middle = torch.from_numpy(chance.random((2, len(rows))))
        return self._around([*middle], [(taken * length).long() for length in self.size])

    def _around(self, middle: list[Tensor], sides: list[Tensor]) -> Tensor:
        """Return rectangles (B, 4) around middles, 0 to 1 down and across, perhaps beyond edges."""
        starts = [
            (place * length).long() - side // 2
            for place, length, side in zip(middle, self.size, sides, strict=True)
        ]
        ends = [start + side for start, side in zip(starts, sides, strict=True)]
        return torch.stack([*starts, *ends], 1)


def augmentation(
    seed: int,
    size: tuple[int, int],
    *,
    margin: float,
    flip: bool,
    count: int,
    hole: float = 0.0,
    cutout: float = 0.0,
    hide_and_seek: float = 0.0,
    cutmix: float = 0.0,
    mean: tuple[float, ...] = (0.5,),
) -> Augmentation:
    """Return what may happen to `count` pictures of a size (height, width).

    Args:
        seed: of the run.
        size: of the pictures, in pixels.
        margin: share of a side by which the window may move.
        flip: whether pictures are mirrored.
        count: of the pictures.
        hole: share of a side that the largest hole has.
        cutout: share of a side that every hole has, instead.
        hide_and_seek: share of its patches that a picture hides, on average.
        cutmix: alpha of the Beta distribution; 0: pictures are not mixed.
        mean: colour of hidden patches, 0 to 1 each: one number, or three.
    """
    sides = torch.randint(0, 2, (count,), generator=generator(seed, "side")) if flip else None
    height, width = size
    far, least, most = (
        (round(share * height), round(share * width))
        for share in (margin, cutout, max(hole, cutout))
    )
    return Augmentation(seed, far, sides, size, most, least, hide_and_seek, cutmix, mean)


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
    if views.holes is not None:
        seen.masked_fill_(inside(views.holes, height, width).to(seen.device), HOLE)
    if views.hidden is not None and views.shades is not None:
        hidden = of_patches(views.hidden, height, width).to(seen.device)
        seen = torch.where(hidden, views.shades[:, None, None].to(seen), seen)
    if views.mixed is not None:
        taken = inside(views.mixed, height, width).to(seen.device)
        seen = torch.where(taken, seen.roll(-1, 0), seen)
    return seen


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return where boxes (B, 4) are in pictures of a size: (B, height, width, 1), bool."""
    top, left, bottom, right = boxes[:, :, None].unbind(1)
    down, across = torch.arange(height), torch.arange(width)
    rows, columns = (top <= down) & (down < bottom), (left <= across) & (across < right)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def of_patches(chosen: Tensor, height: int, width: int) -> Tensor:
    """Return the pixels of patches (B, rows, columns), as (B, height, width, 1)."""
    down = torch.arange(height) * chosen.shape[1] // height
    across = torch.arange(width) * chosen.shape[2] // width
    return chosen[:, down][:, :, across][..., None]


def colour(mean: tuple[float, ...]) -> Tensor:
    """Return a colour of numbers from 0 to 1 in 8 bits: (channel,), uint8; one number is a grey."""
    return torch.tensor(mean).mul(255).round().to(torch.uint8)


def kept(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return the share of a picture outside each of the boxes (B, 4): (B,), float32."""
    ends = torch.tensor([height, width, height, width])
    top, left, bottom, right = boxes.clamp(min=torch.zeros_like(ends), max=ends).T
    taken: Tensor = (bottom - top) * (right - left) / (height * width)
    return 1 - taken


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
