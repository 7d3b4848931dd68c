"""A place for a group that the class's own maps have none for.

An audit keeps the evidence for the class. Where most of a class carries a reason, and it lies where
the class's evidence lies anyway, as a watermark over the water does, the group's maps look like the
others'. The features tell more: the direction that sets the group apart has a map, too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seewhy.audit import oddness
from seewhy.audit.findings import Finding
from seewhy.audit.statistics import EDGE, area, share_in
from seewhy.proving.regions import Boxes, Maps

GATHERED = 0.45  # of what sets a group apart, in a box of at most a quarter of each picture
INNER = (EDGE, EDGE, 1 - EDGE, 1 - EDGE)


def gathered(maps: Maps, boxes: Boxes) -> float:
    """The share of what sets pictures apart that lies in one box of each; 0 if nothing does.

    It is taken of all pictures together: what only scatters cancels out.

    Args:
        maps: (n, H, W), what sets them apart, less what is usual there.
        boxes: (n, 4), in the same pixels.
    """
    within = sum(
        float(plane[y0:y1, x0:x1].sum())
        for plane, (x0, y0, x1, y1) in zip(maps, boxes.tolist(), strict=True)
    )
    total = float(maps.sum())
    return within / total if total > 0 else 0.0


def with_place(finding: Finding, maps: Maps, boxes: Boxes, cells: Maps) -> Finding:
    """A group that has no place so far, with the place of what sets it apart, if that is one.

    Args:
        finding: a group.
        maps: (n, H, W), what sets its pictures apart, less what is usual there, in input pixels.
        boxes: (n, 4), around its peaks, none larger than a place may be.
        cells: (m, h, w), the same as `maps` on the native grid, of all its pictures.
    """
    if gathered(maps, boxes) < GATHERED:
        return finding
    inner = np.tile(np.array(INNER), (len(cells), 1))
    there = oddness.place(cells, area(cells), 1 - share_in(cells, inner), localised=True)
    said = f"what sets it apart has a place, though its evidence for {finding.class_name} has none"
    reasons = tuple(said if each == oddness.NOWHERE else each for each in finding.reasons)
    return replace(finding, place=there, reasons=reasons)
