"""Draw evidence: maps to colours, overlays, colour bars, plates and contact sheets.

Maps stay raw and signed until here. Colours always mean logits on a scale that the caller knows;
no positive evidence is drawn as none, never stretched to look like some; what the network did not
see is dimmed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont
from PIL.Image import Image, Resampling

from seewhy.errors import InputError
from seewhy.geometry import Box, Geometry, Size
from seewhy.results import decimals, deviation, percent, rounded, unit, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jaxtyping import Float, Float32, UInt8
    from numpy.typing import NDArray
    from PIL.ImageFont import FreeTypeFont

    from seewhy.results import ClassEvidence, PictureEvidence

    Map = Float[NDArray[np.floating], "height width"]

Style = Literal["signed", "positive"]
Share = Literal["picture", "all", "none"]

# Perceptually even, and told apart by the colour-blind: red is for the class, blue against it.
_PALETTES: dict[Style, str] = {"signed": "RdBu_r", "positive": "inferno"}

_DIMMED = 0.6  # of its brightness is left to what the network did not see
_CELL = 256  # pixels; the side of the square that a picture is fitted into
_GAP = 16
_LINE = 17
_INK, _FAINT, _PAPER = (24, 24, 27), (98, 98, 107), (255, 255, 255)


def upsample(evidence: Map, size: Size) -> Float32[NDArray[np.float32], "height width"]:
    """Bring a map to another size: bilinear, half-pixel centres, edges held.

    It is torch's `interpolate(mode="bilinear", align_corners=False)`.

    Args:
        evidence: a map, (h, w).
        size: (width, height) to bring it to.
    """
    height, width = _map(evidence).shape
    x = (np.arange(size[0]) + 0.5) * (width / size[0])
    y = (np.arange(size[1]) + 0.5) * (height / size[1])
    return _sample(evidence, x, y)


def on_original(evidence: Map, geometry: Geometry) -> Float32[NDArray[np.float32], "height width"]:
    """Lay a map over the original picture; NaN where the network saw nothing of it.

    Args:
        evidence: a map, (h, w), that covers the prepared input.
        geometry: how the original became the prepared input.
    """
    height, width = _map(evidence).shape
    x, y = (np.arange(side) + 0.5 for side in geometry.original)
    prepared_x = x * geometry.scale[0] + geometry.offset[0]
    prepared_y = y * geometry.scale[1] + geometry.offset[1]
    laid = _sample(
        evidence,
        prepared_x * (width / geometry.prepared[0]),
        prepared_y * (height / geometry.prepared[1]),
    )
    x0, y0, x1, y1 = geometry.visible
    laid[:, (x < x0) | (x >= x1)] = np.nan
    laid[(y < y0) | (y >= y1)] = np.nan
    return laid


def limit(maps: Iterable[Map]) -> float:
    """The scale that maps share: the largest finite magnitude in any of them, else 0."""
    finite = (np.abs(each[np.isfinite(each)]) for each in maps)
    return max((float(each.max()) for each in finite if each.size), default=0.0)


def colourise(
    evidence: Map, *, style: Style, limit: float
) -> UInt8[NDArray[np.uint8], "height width 4"]:
    """Colour a map as RGBA; the weaker the evidence, the more transparent.

    Args:
        evidence: a map in logits, (H, W); NaN is transparent.
        style: "signed" runs from -limit (blue) over 0 (transparent) to limit (red); "positive"
            runs from 0 to limit, and is transparent below.
        limit: the magnitude, in logits, that has the strongest colour.

    Raises:
        InputError: the style is unknown, or the limit is no finite number of at least 0.
    """
    _check_choice("style", style, Style)
    if not (math.isfinite(limit) and limit >= 0):
        fix = "pass what limit() returned"
        raise InputError("limit", expected="a finite number >= 0", got=f"{limit}", fix=fix)
    table = _table(style)
    finite = np.nan_to_num(_map(evidence), nan=0.0, posinf=limit, neginf=-limit)
    share = (finite / limit if limit else np.zeros_like(finite)).clip(-1, 1)
    level = (share + 1) / 2 if style == "signed" else share.clip(0)
    return table.take(np.rint(level * (len(table) - 1)).astype(np.intp), axis=0)


def overlay(
    image: Image,
    evidence: Map,
    geometry: Geometry | None = None,
    *,
    style: Style = "positive",
    limit: float | None = None,
    opacity: float = 0.6,
) -> Image:
    """Lay a map over its picture; what the network did not see is dimmed.

    Args:
        image: the upright original picture, RGB.
        evidence: a map in logits, (h, w), on the feature grid.
        geometry: how the picture was prepared; without it the map covers the whole picture.
        style: see `colourise`.
        limit: the magnitude with the strongest colour; the map's own largest, if not given.
        opacity: of the strongest colour, 0 to 1.

    Raises:
        InputError: the geometry is another picture's, or an option has no meaning.
    """
    geometry = geometry or Geometry.identity(image.size)
    if image.size != geometry.original:
        raise InputError(
            "geometry",
            expected=f"one of a picture of {image.size}",
            got=f"one of {geometry.original}",
            fix="pass the picture and the geometry of one result",
        )
    if not 0 <= opacity <= 1:
        raise InputError("opacity", expected="0 to 1", got=f"{opacity}", fix="pass a share")
    laid = on_original(evidence, geometry)
    colours = colourise(laid, style=style, limit=_own_limit(evidence) if limit is None else limit)
    base = np.array(image.convert("RGB"))
    base[np.isnan(laid)] = base[np.isnan(laid)] * _DIMMED
    mask = np.rint(colours[..., 3] * opacity).astype(np.uint8)
    top, under = PIL.Image.fromarray(colours[..., :3]), PIL.Image.fromarray(base)
    return PIL.Image.composite(top, under, PIL.Image.fromarray(mask))


def colour_bar(
    limit: float,
    *,
    style: Style = "positive",
    width: int = _CELL,
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
    bar = PIL.Image.new("RGB", (width, height + _LINE * zoom), _PAPER)
    bar.paste(colours, (0, 0), colours)
    draw = ImageDraw.Draw(bar)
    draw.rectangle((0, 0, width - 1, height - 1), outline=_FAINT)
    labels = {
        "la": f"{start:.3g}",
        "ma": "0" if start else "",
        "ra": f"{limit:.3g}{unit(quantity)}",
    }
    for (anchor, label), x in zip(labels.items(), (0, width // 2, width - 1), strict=True):
        draw.text((x, 12 * zoom), label, fill=_FAINT, font=_font(11 * zoom), anchor=anchor)
    return bar


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
    for inset, colour in ((0, _INK), (thickness, _PAPER), (2 * thickness, _INK)):
        if x1 - x0 > 2 * inset and y1 - y0 > 2 * inset:
            corners = (x0 + inset, y0 + inset, x1 - 1 - inset, y1 - 1 - inset)
            draw.rectangle(corners, outline=colour, width=thickness)


def _label(image: Image, name: str, box: Box) -> None:
    """A name on a dark ground, above the box; within it where there is no room above.

    It may move to the left to stay on the picture; one too narrow for letters gets none.
    """
    font = _font(11 * max(1, round(max(image.size) / 640)), bold=True)
    if image.width < 4 * font.size:
        return
    name = _elide(name, font, image.width - 6)
    width, height = round(font.getlength(name)) + 6, round(1.5 * font.size)
    left, top = max(0, min(round(box[0]), image.width - width)), round(box[1])
    draw = ImageDraw.Draw(image)
    y = top - height if top >= height else top
    draw.rectangle((left, y, left + width - 1, y + height - 1), fill=_INK)
    draw.text((left + 3, y + height / 2), name, fill=_PAPER, font=font, anchor="lm")


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


def fitted(picture: PictureEvidence, longest: int) -> PictureEvidence:
    """The same with its picture reduced to `longest` pixels on the longer side.

    A tiny one is enlarged by a whole factor, its pixels left square.
    """
    image = _fit(picture.image, longest)
    return replace(picture, image=image, geometry=picture.geometry.seen_from(image.size))


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
    scale = _own_limit(evidence.map) if limit is None else limit
    drawn = overlay(picture.image, evidence.map, picture.geometry, style=style, limit=scale)
    if evidence.refined is None:  # else its regions are not of this map
        drawn = outlined(drawn, evidence)
    width = max(_CELL, drawn.width)
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
    _check_choice("style", style, Style)
    _check_choice("share", share, Share)
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
    return [(each, _own_limit(each.map) if scale is None else scale) for each in entries]


def _row(
    picture: PictureEvidence, entries: Sequence[tuple[ClassEvidence, float]], style: Style
) -> Image:
    small = fitted(picture, _CELL)
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
    width: int = _CELL,
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
    if _font(11 * zoom).getlength(line) > width:
        total, terms = line.split(f" {sign} ")
        lines[1:] = [total, f"{sign} {terms}"]
    if not entry.is_additive:
        lines.append(entry.verdict)
    if style == "positive" and not (entry.map > 0).any():
        lines.append("no positive evidence")
    bar = colour_bar(scale, style=style, width=width, zoom=zoom, quantity=entry.quantity)
    return [bar, written(lines, width=width, zoom=zoom)]


def _fit(image: Image, longest: int) -> Image:
    """The picture itself, or one reduced to `longest`, or a tiny one enlarged to about a cell."""
    longer = max(image.size)
    if longer <= _CELL <= longest:
        factor = _CELL // longer
        return image.resize((image.width * factor, image.height * factor), Resampling.NEAREST)
    if longer <= longest:
        return image
    width, height = (max(1, round(side * longest / longer)) for side in image.size)
    return image.resize((width, height), Resampling.LANCZOS, reducing_gap=3.0)


def _centred(image: Image) -> Image:
    canvas = PIL.Image.new("RGB", (_CELL, image.height), _PAPER)
    canvas.paste(image, ((_CELL - image.width) // 2, 0))
    return canvas


def written(lines: Sequence[str], *, width: int = _CELL, zoom: int = 1) -> Image:
    """Lines of text, the first one bold, each cut to the width."""
    height = _LINE * zoom
    canvas = PIL.Image.new("RGB", (width, height * len(lines)), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        font, ink = (_font(11 * zoom), _FAINT) if number else (_font(12 * zoom, bold=True), _INK)
        draw.text((0, number * height), _elide(line, font, width), fill=ink, font=font)
    return canvas


def _elide(line: str, font: FreeTypeFont, width: int) -> str:
    """A line that fits: its middle gives way, so that name and number both stay."""
    line = " ".join(line.split())
    if font.getlength(line) <= width:
        return line
    kept = next(n for n in range(len(line), 0, -1) if font.getlength(_cut(line, n)) <= width)
    return _cut(line, kept)


def _cut(line: str, kept: int) -> str:
    tail = min(7, kept // 3)  # " 62.1 %", or ".jpeg"
    return f"{line[: kept - tail]}…{line[len(line) - tail :]}"


def arrange(images: Sequence[Image], *, down: bool, gap: int, margin: int = 0) -> Image:
    """Images one below the other, or side by side, on white."""
    axis = int(down)
    along = sum(image.size[axis] for image in images) + gap * (len(images) - 1) + 2 * margin
    across = max(image.size[1 - axis] for image in images) + 2 * margin
    canvas = PIL.Image.new("RGB", (across, along) if down else (along, across), _PAPER)
    start = margin
    for image in images:
        canvas.paste(image, (margin, start) if down else (start, margin))
        start += image.size[axis] + gap
    return canvas


@lru_cache
def _font(size: int, *, bold: bool = False) -> FreeTypeFont:
    import matplotlib as mpl

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


@lru_cache
def _table(style: Style) -> NDArray[np.uint8]:
    """The colours of a style, (255, 4): the middle one of a signed style is exactly zero."""
    from matplotlib import colormaps

    level = np.linspace(-1 if style == "signed" else 0, 1, 255)
    # the palette's pale middle is left out: over a picture, being transparent says zero
    place = 0.5 + np.sign(level) * (0.22 + 0.25 * np.abs(level)) if style == "signed" else level
    colours = np.asarray(colormaps[_PALETTES[style]](place))
    colours[:, 3] = np.minimum(1, 2 * np.abs(level))  # the weaker half fades into the picture
    table: NDArray[np.uint8] = np.rint(255 * colours).astype(np.uint8)
    return table


def _own_limit(evidence: Map) -> float:
    return limit([evidence])


def _sample(evidence: Map, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """The map at columns x and rows y, (len(y), len(x)); a cell's centre lies at 0.5, 1.5, ..."""
    return _between(_between(np.asarray(evidence, np.float32), y, axis=0), x, axis=1)


def _between(
    values: NDArray[np.float32], positions: NDArray[np.float64], *, axis: int
) -> NDArray[np.float32]:
    last = values.shape[axis] - 1
    exact = (positions - 0.5).clip(0, last)
    low = np.floor(exact).astype(np.intp)
    share = np.expand_dims((exact - low).astype(np.float32), 1 - axis)
    start, end = values.take(low, axis), values.take(np.minimum(low + 1, last), axis)
    between: NDArray[np.float32] = start * (1 - share) + end * share
    return between


def _map(evidence: Map) -> Map:
    if evidence.ndim != 2 or 0 in evidence.shape:
        raise InputError(
            "map",
            expected="the evidence for one class, (height, width)",
            got=f"shape {evidence.shape}",
            fix="draw one class and one picture at a time",
        )
    return evidence


def _check_choice(name: str, value: str, choices: object) -> None:
    expected = get_args(choices)
    if value not in expected:
        fix = f"pass another {name}"
        raise InputError(name, expected=" or ".join(map(repr, expected)), got=repr(value), fix=fix)
