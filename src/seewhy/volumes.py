"""Draw the evidence in a volume: a row of its slices, those with most evidence, with one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from seewhy import render
from seewhy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

    from seewhy.render import Style
    from seewhy.results import ClassEvidence

    Numbers = NDArray[np.floating[Any]]

_CELL = 200  # pixels; the longer side of a slice
_GAP = 8


def render_volume(
    volume: Any,
    evidence: ClassEvidence,
    *,
    axis: int = 0,
    count: int = 5,
    style: Style = "positive",
    limit: float | None = None,
    window: tuple[float, float] | None = None,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    against: str | None = None,
) -> Image:
    """Draw slices of a volume, and below each the same with the evidence laid over it.

    The slices are those with most evidence, no two of them close together, in their order; all
    share one scale in logits. Between the cells of the map the evidence is interpolated linearly.

    Args:
        volume: what the network was given, one channel of it, shape (D, H, W); array or tensor.
        evidence: an entry of `Explanation.class_evidence`, its map of shape (d, h, w).
        axis: the axis to slice along: 0 gives slices (H, W).
        count: how many slices; fewer where the volume has fewer.
        style: "positive", or "signed" to see also what speaks against the class.
        limit: the magnitude with the strongest colour; the map's own largest, if not given.
        window: the values that are drawn black and white; by default the least and the largest.
        spacing: the size of a voxel along each axis, so that slices keep their proportions.
        against: what the evidence is measured against, see `Explanation.against_name`.

    Raises:
        InputError: the volume or the map have another shape, or an option has no meaning.
    """
    values, cells = _checked(volume, evidence, axis, count)
    low, high = _window(values, window)
    if not min(spacing) > 0:
        fix = "pass the size of a voxel along each axis"
        raise InputError("spacing", expected="three sizes above 0", got=f"{spacing}", fix=fix)
    values, cells = np.moveaxis(values, axis, 0), np.moveaxis(cells, axis, 0)
    sizes = spacing[:axis] + spacing[axis + 1 :]
    fine = along_slices(cells, len(values))
    chosen = strongest_slices(fine, count, style)
    scale = render.limit(cells) if limit is None else limit
    columns = []
    for number in chosen:
        grey = _grey(values[number], low, high, sizes)
        laid = render.overlay(grey, fine[number], style=style, limit=scale)
        label = render.written([f"slice {number + 1} of {len(values)}"], width=grey.width)
        columns.append(render.arrange([label, grey, laid], down=True, gap=4))
    row = render.arrange(columns, down=False, gap=_GAP)
    below = render.legend(evidence, against, scale, style=style, width=max(row.width, 256))
    return render.arrange([row, *below], down=True, gap=_GAP, margin=12)


def along_slices(cells: Numbers, count: int) -> Numbers:
    """A map (d, h, w) at each of `count` slices, (count, h, w): linear, half-pixel centres."""
    depth, *plane = cells.shape
    flat = cells.reshape(depth, -1)
    return render.upsample(flat, (flat.shape[1], count)).reshape(count, *plane)


def strongest_slices(fine: Numbers, count: int, style: Style) -> list[int]:
    """The slices with most evidence, in order; no two nearer than half of an even spacing.

    Args:
        fine: the map at each slice, (slices, h, w).
        count: how many.
        style: whether evidence against the class counts, too.
    """
    seen = np.abs(fine) if style == "signed" else fine.clip(0)
    strength = seen.reshape(len(fine), -1).sum(1)
    apart = len(fine) / (2 * count)
    chosen: list[int] = []
    for number in np.argsort(-strength, kind="stable").tolist():
        if len(chosen) < count and all(abs(number - other) >= apart for other in chosen):
            chosen.append(number)
    return sorted(chosen)


def _checked(
    volume: Any, evidence: ClassEvidence, axis: int, count: int
) -> tuple[Numbers, Numbers]:
    values = volume.detach().cpu() if hasattr(volume, "detach") else volume
    array = np.asarray(values, dtype=float)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            "volume",
            expected="one channel of one volume, (depth, height, width)",
            got=f"shape {array.shape}",
            fix="draw one channel of one volume at a time",
        )
    if evidence.map.ndim != 3:
        raise InputError(
            "map",
            expected="evidence in a volume, shape (d, h, w)",
            got=f"shape {evidence.map.shape}",
            fix="draw pictures with seewhy.render, sequences with render_sequence",
        )
    if axis not in (0, 1, 2):
        raise InputError("axis", expected="0, 1 or 2", got=f"{axis}", fix="pass one of these")
    if count < 1:
        raise InputError("count", expected="1 or more", got=f"{count}", fix="pass another number")
    return array, evidence.map


def _window(values: Numbers, window: tuple[float, float] | None) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if window is None:
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if not window[0] < window[1]:
        raise InputError(
            "window",
            expected="the value that is black, then the one that is white",
            got=f"{window}",
            fix="pass the smaller one first",
        )
    return window


def _grey(values: Numbers, low: float, high: float, sizes: Sequence[float]) -> Image:
    """A slice as a picture whose longer side has a cell's pixels; its voxels stay sharp."""
    share = np.nan_to_num((values - low) / ((high - low) or 1)).clip(0, 1)
    image = PIL.Image.fromarray(np.rint(share * 255).astype(np.uint8)).convert("RGB")
    height, width = (extent * size for extent, size in zip(values.shape, sizes, strict=True))
    zoom = _CELL / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    is_larger = size[0] >= image.width and size[1] >= image.height
    return image.resize(size, Resampling.NEAREST if is_larger else Resampling.LANCZOS)
