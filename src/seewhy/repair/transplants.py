"""The region of a group in each of its pictures, put into other pictures at the same place.

What is opaque is pasted. Of what is translucent, as a watermark, pasting would bring along what it
was laid over, a ship's hull and the water, say, which speaks for the class by right; so only what
stands out in the region is added. Where it is not clear which it is, some are pasted, some added.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from seewhy.audit.prepare import Frames

CHUNK = 256  # pictures, as floats
LEVEL = 0.2  # of a map's maximum: what is above belongs to the region
Cells = Bool[Tensor, "batch h w"]


def regions(maps: Float[Tensor, "batch h w"], level: float = LEVEL) -> Cells:
    """The cells of each map above a share of its maximum; none where no evidence is positive."""
    highest = maps.amax((1, 2), keepdim=True)
    return (maps >= level * highest) & (highest > 0)


def pixels_of(cells: Cells, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (B, H, W) of a network's input that lie in these cells.

    Args:
        cells: (B, h, w).
        size: H, W.
    """
    spread = F.interpolate(cells[:, None].float(), size, mode="nearest-exact")
    inside: NDArray[np.bool_] = spread[:, 0].numpy() > 0
    return inside


def transplanted(hosts: Frames, donors: Frames, cells: Cells) -> Frames:
    """Pictures with the regions of others pasted over them, at the same place.

    Args:
        hosts: (B, H, W, 3), what they are pasted onto; not changed.
        donors: (B, H, W, 3), what the regions are cut from.
        cells: (B, h, w), the region of each donor.
    """
    inside = pixels_of(cells, (hosts.shape[1], hosts.shape[2]))[..., None]
    return np.where(inside, donors, hosts)


def added(hosts: Frames, donors: Frames, cells: Cells) -> Frames:
    """Pictures with what stands out in the regions of others added to them, at the same place.

    What stands out is the difference to the surroundings: to a mean over some two cells.

    Args:
        hosts: (B, H, W, 3), what it is added to; not changed.
        donors: (B, H, W, 3), where it stands out.
        cells: (B, h, w), the region of each donor.
    """
    chunks = (slice(start, start + CHUNK) for start in range(0, len(hosts), CHUNK))
    parts = (_added(hosts[part], donors[part], cells[part]) for part in chunks)
    return np.concatenate([hosts[:0], *parts])


def _added(hosts: Frames, donors: Frames, cells: Cells) -> Frames:
    size = hosts.shape[1], hosts.shape[2]
    pixels = torch.from_numpy(donors).permute(0, 3, 1, 2).float()
    height, width = cells.shape[1:]
    coarse = -(-height // 2), -(-width // 2)
    around = F.interpolate(F.adaptive_avg_pool2d(pixels, coarse), size, mode="bilinear")
    stands_out = (pixels - around).permute(0, 2, 3, 1).numpy()
    inside = pixels_of(cells, size)[..., None]
    sums: NDArray[np.float32] = np.clip(hosts + np.where(inside, stands_out, 0), 0, 255)
    return sums.round().astype(np.uint8)


def filled(pictures: Frames, cells: Cells) -> Frames:
    """Pictures whose regions have the mean colour of what is around them.

    Args:
        pictures: (B, H, W, 3); not changed.
        cells: (B, h, w), the region of each.
    """
    inside = pixels_of(cells, (pictures.shape[1], pictures.shape[2]))[..., None]
    outside = np.where(inside, 0, pictures).sum((1, 2), dtype=np.float64)
    count = np.maximum(1, (~inside).sum((1, 2)))
    colour = (outside / count).round().astype(np.uint8)
    return np.where(inside, colour[:, None, None], pictures)
