"""Transplant: the evidence of a group's pictures is pasted into pictures of other classes."""

from __future__ import annotations

from seewhy.audit.prepare import Frames
from seewhy.proving.regions import Boxes


def transplanted(frames: Frames, donors: Frames, boxes: Boxes) -> Frames:
    """Pictures with a box of each taken from another picture, at the same place.

    Args:
        frames: those that are pasted into, (B, H, W, channels), 8 bits; left as they are.
        donors: those that the boxes are cut out of, as many.
        boxes: (B, 4).
    """
    pasted = frames.copy()
    for into, donor, (x0, y0, x1, y1) in zip(pasted, donors, boxes.tolist(), strict=True):
        into[y0:y1, x0:x1] = donor[y0:y1, x0:x1]
    return pasted
