"""One picture of the page: the picture itself, its classes, and the evidence as data."""

from __future__ import annotations

import io
import math

from PIL.Image import Image, Resampling

from seewhy import render
from seewhy.errors import InputError
from seewhy.report.markup import (
    base64_text,
    embed,
    escape,
    number,
    percent,
    template,
)
from seewhy.results import ClassEvidence, PictureEvidence, decimals, rounded, unit

LONGEST_SIDE = 1024  # of the embedded picture, in pixels, where nothing else is said
SHOWN_SIDE = 640  # of the picture on a wide screen, in CSS pixels
TINY_SIDE = 128  # below this, pixels are embedded without loss and shown as squares


def card(index: int, picture: PictureEvidence, longest: int = LONGEST_SIDE) -> str:
    """Return the markup of one picture.

    Args:
        index: makes its identifiers unique in the page.
        picture: what is shown.
        longest: the longer side of the picture as it is embedded, in pixels, at most.
    """
    width, height = picture.image.size
    enlarge = SHOWN_SIDE / max(width, height)
    return template("picture.html").substitute(
        index=index,
        path=escape(picture.path),
        facts=_facts(picture),
        source=_data_uri(picture.image, longest),
        rendering="tiny" if max(width, height) < TINY_SIDE else "photo",
        width=max(1, round(width * enlarge)),
        height=max(1, round(height * enlarge)),
        veil=_veil(picture),
        classes="\n".join(
            _class_row(index, place, entry, picture.whole)
            for place, entry in enumerate(picture.classes)
        ),
        compare=_compare(picture),
        limit=repr(_limit(picture)),
        unit=unit(picture.quantity),
        evidence=embed(_evidence(picture)),
    )


def _facts(picture: PictureEvidence) -> str:
    width, height = picture.image.size
    facts = [f"{width} × {height} pixels"]
    if picture.classes:
        rows, columns = _grid(picture)
        facts.append(f"evidence on a grid of {columns} × {rows}")
    if (share := _share_seen(picture)) < 0.995:
        facts.append(f"the network saw {share:.0%} of it".replace("%", "\N{NO-BREAK SPACE}%"))
    if (best := picture.predicted) and best.name not in {each.name for each in picture.classes}:
        facts.append(f"predicted: <bdi>{escape(best.name)}</bdi> {percent(best.probability)}")
    if picture.against:
        facts.append(f"against <bdi>{escape(picture.against)}</bdi>")
    return " · ".join(facts)


def _class_row(picture: int, index: int, entry: ClassEvidence, total: str) -> str:
    digits = decimals(entry.logit, entry.evidence, entry.bias)
    logit, evidence, bias = rounded(entry.logit, entry.evidence, entry.bias, digits)
    share = 100 * entry.probability if math.isfinite(entry.probability) else 0.0
    return template("class.html").substitute(
        picture=picture,
        index=index,
        checked=" checked" if index == 0 else "",
        name=escape(entry.name),
        probability=percent(entry.probability),
        share=f"{share:.2f}",
        terms=f"{total} {number(logit, digits)} {'=' if entry.is_additive else '≈'}"
        f" evidence {number(evidence, digits)}"
        f" + bias {number(bias, digits)}",
        certificate=entry.verdict,
    )


def _compare(picture: PictureEvidence) -> str:
    """Return the menu of classes to compare with; evidence against a class has one already."""
    if picture.against or len(picture.classes) < 2:
        return ""
    options = "".join(
        f'<option value="{place}">{escape(entry.name)}</option>'
        for place, entry in enumerate(picture.classes)
    )
    return (
        '<label class="compare"><span>Compare with</span> '
        f'<select autocomplete="off"><option value="">nothing</option>{options}</select></label>'
    )


def _data_uri(image: Image, most: int) -> str:
    """Return the picture as a data URI: JPEG, or PNG where every pixel will be seen."""
    longest = max(image.size)
    if longest > most:
        width, height = (max(1, round(side * most / longest)) for side in image.size)
        image = image.resize((width, height), Resampling.LANCZOS, reducing_gap=3.0)
    kind = "png" if longest < TINY_SIDE else "jpeg"
    encoded = io.BytesIO()
    image.save(encoded, format=kind, quality=85, optimize=True)
    return f"data:image/{kind};base64,{base64_text(encoded.getvalue())}"


def _veil(picture: PictureEvidence) -> str:
    """Return a drawing that covers what the network never saw; nothing if it saw everything."""
    if _share_seen(picture) >= 0.995:
        return ""
    width, height = picture.image.size
    left, top, right, bottom = picture.geometry.visible
    around = f"M0 0H{width}V{height}H0Z"
    seen = f"M{left:.2f} {top:.2f}V{bottom:.2f}H{right:.2f}V{top:.2f}Z"
    return (
        f'<svg class="veil" viewBox="0 0 {width} {height}" preserveAspectRatio="none"'
        f' aria-hidden="true"><path class="dim" d="{around}{seen}" fill-rule="evenodd"/>'
        f'<path class="edge" d="{seen}" vector-effect="non-scaling-stroke"/></svg>'
    )


def _share_seen(picture: PictureEvidence) -> float:
    width, height = picture.image.size
    left, top, right, bottom = picture.geometry.visible
    return max(0.0, right - left) * max(0.0, bottom - top) / (width * height)


def _evidence(picture: PictureEvidence) -> dict[str, object]:
    """Return what the script needs to draw: raw maps and the way from pixels to the grid."""
    return {
        "grid": _grid(picture),
        "geometry": picture.geometry.to_json(),
        "classes": [
            {**entry.to_json(), "map": base64_text(entry.map.astype("<f4").tobytes())}
            for entry in picture.classes
        ],
    }


def _limit(picture: PictureEvidence) -> float:
    return render.limit(entry.map for entry in picture.classes)


def _grid(picture: PictureEvidence) -> tuple[int, int]:
    """Return the (rows, columns) of the picture's maps."""
    shapes = {entry.map.shape for entry in picture.classes} or {(0, 0)}
    if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
        raise InputError(
            picture.path,
            expected="maps of one shape (rows, columns)",
            got=", ".join(sorted(map(str, shapes))),
            fix="put only pictures with two-dimensional maps into a report",
        )
    rows, columns = shapes.pop()
    return rows, columns
