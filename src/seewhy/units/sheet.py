"""Units as pictures: the crops where those of a class fire most, and those of one decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from seewhy import render
from seewhy.audit.revisit import Revisit
from seewhy.results import PictureEvidence
from seewhy.units.crops import Fired, cut
from seewhy.units.decision import Decision
from seewhy.units.shares import ClassUnits, Unit

SIDE = 96  # of a crop, in pixels
FULL = 256  # of a picture, on the longer side at most
_TEXT = 200

Naming = Callable[[int], str]
_GAP = 6


def class_sheet(again: Revisit, found: ClassUnits, units: Sequence[Fired]) -> Image:
    """A row a unit: its share of the class's evidence, and the crops where it fires most.

    Raises:
        DataError: a picture is not the one that was audited.
        ImageError: one cannot be read.
    """
    name = again.classifier.class_name
    head = [
        name(found.class_id),
        f"{len(found.rows):,} pictures, evidence {found.evidence:.2f} in the mean; "
        "crops: where each unit fires most, as far as it looks",
    ]
    rows = [_row(again, each) for each in units]
    width = max(row.width for row in rows) if rows else 3 * _TEXT
    return render.arrange(
        [render.written(head, width=width), *rows], down=True, gap=_GAP, margin=2 * _GAP
    )


def _row(again: Revisit, fired: Fired) -> Image:
    frames = again.frames([crop.row for crop in fired.crops]) if fired.crops else ()
    crops = (cut(frame, crop.box) for frame, crop in zip(frames, fired.crops, strict=True))
    text = render.written(about(fired, again.classifier.class_name), width=_TEXT)
    return render.arrange([text, *map(_square, crops)], down=False, gap=_GAP)


def about(fired: Fired, name: Naming) -> list[str]:
    """A unit in a few lines of text."""
    unit = fired.unit
    across, down = (2 * each for each in fired.field.radius)
    lines = [
        f"unit {unit.channel}: {unit.share:.1%}",
        f"evidence {unit.evidence:+.2f}, weight {unit.weight:+.2f}",
        f"looks at {across:.0f} x {down:.0f} pixels",
    ]
    return [*lines, f"also {used_by(unit, name)}"] if unit.also else lines


def used_by(unit: Unit, name: Naming) -> str:
    """The other classes that use a unit, with their weight over the class's own."""
    return ", ".join(f"{name(number)} x{ratio:.2f}" for number, ratio in unit.also)


def _square(pixels: NDArray[np.uint8]) -> Image:
    """Enlarged or reduced to `SIDE`; small ones keep their pixels square."""
    image = PIL.Image.fromarray(pixels)
    resample = Resampling.NEAREST if max(image.size) < SIDE else Resampling.LANCZOS
    return image.resize((SIDE, SIDE), resample)


def decision_sheet(image: Image, decision: Decision, name: str) -> Image:
    """The picture, beside it the evidence of the units that gave most, and the sum above."""
    whole = render.fitted(PictureEvidence(name, image, decision.geometry, ()), FULL)
    limit = render.limit(part.map for part in decision.parts)
    first = _captioned(whole.image, [name, f"adds up to {decision.certificate:.0e}"])
    panels = [
        _captioned(
            render.overlay(whole.image, part.map, whole.geometry, limit=limit),
            [f"unit {part.channel}: {part.evidence:+.2f}"],
        )
        for part in decision.parts
    ]
    row = render.arrange([first, *panels], down=False, gap=_GAP)
    lines = [f"{decision.class_name}: logit {decision.logit:.2f}", _sum(decision)]
    bar = render.colour_bar(limit, width=first.width)
    return render.arrange(
        [render.written(lines, width=row.width), row, bar], down=True, gap=_GAP, margin=2 * _GAP
    )


def _sum(decision: Decision) -> str:
    """How units and bias make the logit, in words."""
    parts = [(part.evidence, f"unit {part.channel}") for part in decision.parts]
    parts += [(decision.rest, "all others"), (decision.bias, "bias")]
    terms = (f"{'-' if value < 0 else '+'} {abs(value):.2f} ({what})" for value, what in parts)
    return f"= {' '.join(terms).removeprefix('+ ')}"


def _captioned(image: Image, lines: Sequence[str]) -> Image:
    return render.arrange([image, render.written(lines, width=image.width)], down=True, gap=_GAP)
