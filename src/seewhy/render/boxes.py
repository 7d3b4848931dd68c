"""The boxes of a class's regions, drawn on a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import ImageDraw
from PIL.Image import Image

from seewhy.geometry import Box
from seewhy.render.layout import INK, PAPER, elided, font_of

if TYPE_CHECKING:
    from seewhy.results import ClassEvidence


def outlined(image: Image, evidence: ClassEvidence) -> Image:
    """Draw the boxes of a class's regions, the first with its name, the others numbered.

    A white line with a dark one on either side: it is seen on every picture and every colour.

    Args:
        image: the picture, of any size; the original with a map on it, say.
        evidence: the class; without regions the picture stays as it is.
    """
    if not evidence.regions:
        return image
    drawn = image.copy()
    thickness = max(1, round(max(image.size) / 400))
    for number, region in reversed(list(enumerate(evidence.regions, 1))):
        box = region.box_on(image.size)
        name = evidence.name if number == 1 else str(number)
        _outline(ImageDraw.Draw(drawn), box, thickness)
        _label(drawn, name, box)
    return drawn


def _outline(draw: ImageDraw.ImageDraw, box: Box, thickness: int) -> None:
    x0, y0, x1, y1 = (round(side) for side in box)
    for inset, colour in ((0, INK), (thickness, PAPER), (2 * thickness, INK)):
        if x1 - x0 > 2 * inset and y1 - y0 > 2 * inset:
            corners = (x0 + inset, y0 + inset, x1 - 1 - inset, y1 - 1 - inset)
            draw.rectangle(corners, outline=colour, width=thickness)


def _label(image: Image, name: str, box: Box) -> None:
    """A name on a dark ground, above the box; within it where there is no room above.

    It may move to the left to stay on the picture; one too narrow for letters gets none.
    """
    font = font_of(11 * max(1, round(max(image.size) / 640)), bold=True)
    if image.width < 4 * font.size:
        return
    name = elided(name, font, image.width - 6)
    width, height = round(font.getlength(name)) + 6, round(1.5 * font.size)
    left, top = max(0, min(round(box[0]), image.width - width)), round(box[1])
    draw = ImageDraw.Draw(image)
    y = top - height if top >= height else top
    draw.rectangle((left, y, left + width - 1, y + height - 1), fill=INK)
    draw.text((left + 3, y + height / 2), name, fill=PAPER, font=font, anchor="lm")
