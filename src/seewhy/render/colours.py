"""Maps as colours: always logits on a scale that the caller knows.

No positive evidence is drawn as none, never stretched to look like some; what the network did not
see is dimmed.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import PIL.Image
from PIL.Image import Image

from seewhy.errors import InputError
from seewhy.geometry import Geometry
from seewhy.render.sampling import on_original, require_map

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import UInt8
    from numpy.typing import NDArray

    from seewhy.render.sampling import Map

Style = Literal["signed", "positive"]

# Perceptually even, and told apart by the colour-blind: red is for the class, blue against it.
_PALETTES: dict[Style, str] = {"signed": "RdBu_r", "positive": "inferno"}

_DIMMED = 0.6  # of its brightness is left to what the network did not see


def limit(maps: Iterable[Map]) -> float:
    """The scale that maps share: the largest finite magnitude in any of them, else 0."""
    finite = (np.abs(each[np.isfinite(each)]) for each in maps)
    return max((float(each.max()) for each in finite if each.size), default=0.0)


def own_limit(evidence: Map) -> float:
    """The scale of a map that shares it with none."""
    return limit([evidence])


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
    check_choice("style", style, Style)
    if not (math.isfinite(limit) and limit >= 0):
        fix = "pass what limit() returned"
        raise InputError("limit", expected="a finite number >= 0", got=f"{limit}", fix=fix)
    table = _table(style)
    finite = np.nan_to_num(require_map(evidence), nan=0.0, posinf=limit, neginf=-limit)
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
    colours = colourise(laid, style=style, limit=own_limit(evidence) if limit is None else limit)
    base = np.array(image.convert("RGB"))
    base[np.isnan(laid)] = base[np.isnan(laid)] * _DIMMED
    mask = np.rint(colours[..., 3] * opacity).astype(np.uint8)
    top, under = PIL.Image.fromarray(colours[..., :3]), PIL.Image.fromarray(base)
    return PIL.Image.composite(top, under, PIL.Image.fromarray(mask))


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


def check_choice(name: str, value: str, choices: object) -> None:
    """See that a value is one of a `Literal`.

    Raises:
        InputError: it is not.
    """
    expected = get_args(choices)
    if value not in expected:
        fix = f"pass another {name}"
        raise InputError(name, expected=" or ".join(map(repr, expected)), got=repr(value), fix=fix)
