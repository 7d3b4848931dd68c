"""Overlays with all that is needed to read them: their scale, their class and their sum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import PIL.Image
from PIL import ImageDraw
from PIL.Image import Image, Resampling

from seewhy.errors import InputError
from seewhy.render.boxes import outlined
from seewhy.render.colours import Style, check_choice, colourise, limit, overlay, own_limit
from seewhy.render.layout import CELL, FAINT, LINE, PAPER, arrange, font_of, written
from seewhy.results import decimals, deviation, percent, rounded, unit, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seewhy.results import ClassEvidence, PictureEvidence

Share = Literal["picture", "all", "none"]

_GAP = 16


def plate(
    picture: PictureEvidence,
    evidence: ClassEvidence,
    *,
    style: Style = "positive",
    limit: float | None = None,
) -> Image:
    """An overlay that can be read alone: below it, its scale, its class and its sum.

    The pixels of the overlay keep their places; a picture less than 256 pixels wide gets white
    beside it, for the text.

    Args:
        picture: what to draw on, in its own size.
        evidence: the one of its classes to draw.
        style: see `colourise`.
        limit: see `overlay`.
    """
    scale = own_limit(evidence.map) if limit is None else limit
    drawn = overlay(picture.image, evidence.map, picture.geometry, style=style, limit=scale)
    if evidence.refined is None:  # else its regions are not of this map
        drawn = outlined(drawn, evidence)
    width = max(CELL, drawn.width)
    zoom = max(1, round(width / 512))
    below = legend(evidence, picture.against, scale, style=style, width=width, zoom=zoom)
    return arrange([drawn, *below], down=True, gap=6 * zoom)


def contact_sheet(
    pictures: Sequence[PictureEvidence],
    *,
    top: int = 3,
    style: Style = "positive",
    share: Share = "picture",
    scale: float | None = None,
) -> Image:
    """One row a picture: the picture, then its first classes' maps, each with its sum and scale.

    Large pictures are reduced; small ones enlarged by a whole factor, their pixels left square.

    Args:
        pictures: what to show, in this order.
        top: how many classes of each.
        style: see `colourise`.
        share: whether the maps of one picture share a scale, or all do, or none.
        scale: the magnitude, in logits, with the strongest colour in all maps, where they share
            it with other sheets; instead of `share`.

    Raises:
        InputError: there is nothing to show, or an option has no meaning.
    """
    check_choice("style", style, Style)
    check_choice("share", share, Share)
    if top < 1 or not pictures:
        got = f"top={top} of {len(pictures)} pictures"
        fix = "pass at least one of both"
        raise InputError("contact sheet", expected="something to show", got=got, fix=fix)
    if share == "all" and scale is None:
        scale = limit(entry.map for picture in pictures for entry in picture.classes[:top])
    rows = [
        _row(picture, _with_limits(picture.classes[:top], share, scale), style)
        for picture in pictures
    ]
    return arrange(rows, down=True, gap=2 * _GAP, margin=_GAP)


def _with_limits(
    entries: Sequence[ClassEvidence], share: Share, scale: float | None
) -> list[tuple[ClassEvidence, float]]:
    if scale is None and share == "picture":
        scale = limit(entry.map for entry in entries)
    return [(each, own_limit(each.map) if scale is None else scale) for each in entries]


def _row(
    picture: PictureEvidence, entries: Sequence[tuple[ClassEvidence, float]], style: Style
) -> Image:
    small = fitted(picture, CELL)
    cells = [arrange([_centred(small.image), written(_about(picture))], down=True, gap=6)]
    for entry, scale in entries:
        drawn = overlay(small.image, entry.map, small.geometry, style=style, limit=scale)
        if entry.refined is None:  # else its regions are not of this map
            drawn = outlined(drawn, entry)
        below = legend(entry, picture.against, scale, style=style)
        cells.append(arrange([_centred(drawn), *below], down=True, gap=6))
    return arrange(cells, down=False, gap=_GAP)


def _about(picture: PictureEvidence) -> list[str]:
    """What stands below a picture: the decision, its name and size, the certificate."""
    width, height = picture.image.size
    lines = [Path(picture.path).name, f"{width:,} x {height:,} pixels"]
    if picture.predicted:
        best = picture.predicted
        lines.insert(0, f"predicted: {best.name}  {percent(best.probability)}")
    if picture.classes and all(entry.is_additive for entry in picture.classes):
        lines.append(deviation(max(entry.certificate for entry in picture.classes)))
    return [*lines, f"against {picture.against}"] if picture.against else lines


def legend(
    entry: ClassEvidence,
    against: str | None,
    scale: float,
    *,
    style: Style,
    width: int = CELL,
    zoom: int = 1,
) -> list[Image]:
    """What stands below a map: the scale of its colours, then its class and sum in words.

    Args:
        entry: whose map it is.
        against: what it is measured against, if anything.
        scale: the magnitude with the strongest colour.
        style: see `colourise`.
        width: in pixels.
        zoom: how many times as high as on a contact sheet the bar and its letters are.
    """
    line, sign = equation(entry, against), _sign(entry)
    lines = [f"{entry.name}  {percent(entry.probability)}".rstrip(), line]
    if font_of(11 * zoom).getlength(line) > width:
        total, terms = line.split(f" {sign} ")
        lines[1:] = [total, f"{sign} {terms}"]
    if not entry.is_additive:
        lines.append(entry.verdict)
    if style == "positive" and not (entry.map > 0).any():
        lines.append("no positive evidence")
    bar = colour_bar(scale, style=style, width=width, zoom=zoom, quantity=entry.quantity)
    return [bar, written(lines, width=width, zoom=zoom)]


def equation(evidence: ClassEvidence, against: str | None = None) -> str:
    """How the logit adds up, in words: "logit 9.31 = evidence 9.52 + bias -0.21".

    Where the kind of map does not promise that it does, it says so: "logit 9.31 ≈ ...".
    """
    numbers = (evidence.logit, evidence.evidence, evidence.bias)
    digits = decimals(*numbers)
    total, seen, rest = (f"{number:z.{digits}f}" for number in rounded(*numbers, digits))
    name, sign = whole(against, evidence.quantity), _sign(evidence)
    return f"{name} {total} {sign} evidence {seen} + bias {rest}"


def _sign(evidence: ClassEvidence) -> str:
    return "=" if evidence.is_additive else "≈"


def colour_bar(
    limit: float,
    *,
    style: Style = "positive",
    width: int = CELL,
    zoom: int = 1,
    quantity: str = "logit",
) -> Image:
    """The scale of `colourise`, labelled in logits, on white.

    Args:
        limit: the magnitude with the strongest colour; 0 gives an empty bar.
        style: see `colourise`.
        width: in pixels; the height follows.
        zoom: how many times as high as on a contact sheet the bar and its letters are.
        quantity: what the evidence is of, see `ClassEvidence`.
    """
    start = -limit if style == "signed" else 0.0
    height = 10 * zoom
    ramp = np.broadcast_to(np.linspace(start, limit, width), (height, width))
    colours = PIL.Image.fromarray(colourise(ramp, style=style, limit=limit))
    bar = PIL.Image.new("RGB", (width, height + LINE * zoom), PAPER)
    bar.paste(colours, (0, 0), colours)
    draw = ImageDraw.Draw(bar)
    draw.rectangle((0, 0, width - 1, height - 1), outline=FAINT)
    labels = {
        "la": f"{start:.3g}",
        "ma": "0" if start else "",
        "ra": f"{limit:.3g}{unit(quantity)}",
    }
    for (anchor, label), x in zip(labels.items(), (0, width // 2, width - 1), strict=True):
        draw.text((x, 12 * zoom), label, fill=FAINT, font=font_of(11 * zoom), anchor=anchor)
    return bar


def fitted(picture: PictureEvidence, longest: int) -> PictureEvidence:
    """The same with its picture reduced to `longest` pixels on the longer side.

    A tiny one is enlarged by a whole factor, its pixels left square.
    """
    image = _fit(picture.image, longest)
    return replace(picture, image=image, geometry=picture.geometry.seen_from(image.size))


def _fit(image: Image, longest: int) -> Image:
    """The picture itself, or one reduced to `longest`, or a tiny one enlarged to about a cell."""
    longer = max(image.size)
    if longer <= CELL <= longest:
        factor = CELL // longer
        return image.resize((image.width * factor, image.height * factor), Resampling.NEAREST)
    if longer <= longest:
        return image
    width, height = (max(1, round(side * longest / longer)) for side in image.size)
    return image.resize((width, height), Resampling.LANCZOS, reducing_gap=3.0)


def _centred(image: Image) -> Image:
    canvas = PIL.Image.new("RGB", (CELL, image.height), PAPER)
    canvas.paste(image, ((CELL - image.width) // 2, 0))
    return canvas
