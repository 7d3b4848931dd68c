"""`Region`: a place in a picture that speaks for a class, in pixels of the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seewhy import localize
from seewhy.errors import InputError
from seewhy.geometry import Box, Geometry, Pair, Size
from seewhy.render import upsample
from seewhy.results import finite

if TYPE_CHECKING:
    from seewhy.explanation import Explanation


@dataclass(frozen=True)
class Region:
    """A place in a picture that speaks for a class.

    Attributes:
        box: x0, y0, x1, y1, half-open, in pixels of the upright original.
        peak: the strongest evidence in the box, in the map's units.
        share: of the map's positive evidence, how much lies in the box, 0 to 1.
        outline: the polygon (x, y) around it, in the same pixels.
        picture: the (width, height) of that original.
    """

    box: Box
    peak: float
    share: float
    outline: tuple[Pair, ...]
    picture: Size

    def box_on(self, size: Size) -> Box:
        """The box on a copy of the picture that was resized to `size`."""
        x, y = size[0] / self.picture[0], size[1] / self.picture[1]
        x0, y0, x1, y1 = self.box
        return x0 * x, y0 * y, x1 * x, y1 * y

    def to_json(self) -> dict[str, object]:
        """All but the outline, for a JSON document."""
        return {"box": list(self.box), "peak": finite(self.peak), "share": finite(self.share)}


@dataclass(frozen=True)
class Search:
    """How regions are looked for: see `localize.boxes`.

    Attributes:
        threshold: a share of the map's maximum, or evidence.
        components: "largest", or "all".
        unit: which of the two the threshold is: "share" or "logits".

    Raises:
        InputError: on construction, when a value makes no sense.
    """

    threshold: float = localize.THRESHOLD
    components: localize.Which = "largest"
    unit: localize.Unit = "share"

    def __post_init__(self) -> None:
        localize.boxes(np.ones((1, 1)), self.threshold, self.components, unit=self.unit)

    def regions(self, map_: localize.Map, geometry: Geometry) -> tuple[Region, ...]:
        """The regions of one map, the largest first; none where it is not positive or not finite.

        Args:
            map_: evidence on the feature grid, (h, w), over the whole of the network's input.
            geometry: how the picture became that input.
        """
        if not bool(np.isfinite(map_).all()):
            return ()
        wide = upsample(map_, geometry.prepared)
        options = (self.threshold, self.components)
        boxes = localize.boxes(wide, *options, unit=self.unit)
        outlines = localize.contours(wide, *options, unit=self.unit)
        found = (_region(wide, *each, geometry) for each in zip(boxes, outlines, strict=True))
        return tuple(region for region in found if region)


def locate(
    explanation: Explanation,
    threshold: float = localize.THRESHOLD,
    components: localize.Which = "largest",
    *,
    unit: localize.Unit = "share",
    size: Size | None = None,
) -> tuple[tuple[tuple[Region, ...], ...], ...]:
    """Where the evidence lies: boxes on the original pictures.

    Maps are brought to the size of the network's input, thresholded, and the boxes taken back to
    the original through the picture's `Geometry`, cut to what the network saw.

    Args:
        explanation: what `explain` gave.
        threshold: a share of each map's maximum, from 0 and below 1; the paper's is 0.2.
        components: "largest" for one box a map, or "all".
        unit: "logits" for a threshold in evidence instead.
        size: the (width, height) of the network's input, for inputs that came as tensors; the
            boxes are in its pixels then.

    Returns:
        For each picture, for each class explained, its regions: none where no evidence is
        positive.

    Raises:
        InputError: the maps are not two-dimensional, an option has no meaning, or `size` is
            missing.

    Source:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, section
        3.2.
    """
    if explanation.maps.ndim != 4:
        raise InputError(
            "explanation",
            expected="maps with height and width",
            got=f"a grid of {' x '.join(map(str, explanation.maps.shape[2:]))}",
            fix="explain a network for pictures",
        )
    search = Search(threshold, components, unit)
    geometries = explanation.geometry or (None,) * len(explanation)
    return tuple(
        tuple(
            search.regions(entry.map, geometry or _of_tensor(size))
            for entry in explanation.class_evidence(index)
        )
        for index, geometry in enumerate(geometries)
    )


def _of_tensor(size: Size | None) -> Geometry:
    if size is None:
        raise InputError(
            "size",
            expected="the (width, height) of the network's input, for it came as a tensor",
            got="None",
            fix="pass size=(224, 224) or what it was, or explain pictures",
        )
    return Geometry.identity(size)


def _region(
    wide: localize.Map, box: localize.Boxes, outline: localize.Points, geometry: Geometry
) -> Region | None:
    """A region of a map at the input's size; None if none of it lies on the picture."""
    visible = localize.to_original(box, geometry)
    if not len(visible):
        return None
    x0, y0, x1, y1 = box.astype(int)
    positive = np.maximum(wide, 0).astype(np.float64)
    inside = positive[y0:y1, x0:x1]
    low, high = np.split(np.array(geometry.visible), 2)
    points = geometry.to_original(outline).clip(low, high)
    return Region(
        tuple(visible[0].tolist()),
        float(inside.max()),
        float(inside.sum() / positive.sum()),
        tuple((x, y) for x, y in points.tolist()),
        geometry.original,
    )
