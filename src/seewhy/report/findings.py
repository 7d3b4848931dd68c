"""A page of findings: of each its mean map, typical pictures, reasons, and what proves it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image, Resampling, fromarray

from seewhy import render
from seewhy._version import __version__
from seewhy.audit.findings import Finding, Findings, Intervention, Proof
from seewhy.files import write_whole
from seewhy.report.charts import table
from seewhy.report.markup import asset, base64_text, escape, hash_source, number, percent, template
from seewhy.results import PictureEvidence

SIDE = 192  # pixels of a picture, at most
TINY = 128  # below it, pixels are shown as squares
PICTURES = 12  # of a finding
MAP = 224  # pixels of the mean map

Seen = Callable[[int], PictureEvidence]


@dataclass(frozen=True)
class Heading:
    """What the page is about.

    Attributes:
        model: the network's name.
        data: what it was audited on.
        count: how many pictures that are.
    """

    model: str
    data: str
    count: int


def write_findings_page(path: str | Path, found: Findings, heading: Heading, seen: Seen) -> Path:
    """Write one self-contained HTML page about findings; no script in it.

    Args:
        path: where to write; its folder has to exist.
        found: what is shown, in the order of their numbers.
        heading: what they are of.
        seen: gives a row's picture, with the evidence for its predicted class first.

    Raises:
        FileError: it cannot be written; what was there before is left as it was.
    """
    style = asset("report.css") + asset("findings.css")
    parts = [_finding(each, seen) for each in found.findings]
    page = template("findings.html").substitute(
        title=escape(f"Why {heading.model} decided: what is odd"),
        summary=_summary(found, heading),
        style=style,
        style_hash=hash_source(style),
        findings="\n".join(parts) or "<p>Nothing odd was found.</p>",
        version=escape(__version__),
    )
    return write_whole(path, [page.encode()])


def _summary(found: Findings, heading: Heading) -> str:
    confirmed = sum(each.is_confirmed for each in found.findings)
    total = len(found.findings)
    tried = any(each.proof for each in found.findings)
    return " · ".join(
        [
            f"{heading.count:,} pictures of <bdi>{escape(heading.data)}</bdi>",
            f"{total} finding{'' if total == 1 else 's'}",
            f"{confirmed} confirmed" if tried else "nothing proven yet",
        ]
    )


def _finding(finding: Finding, seen: Seen) -> str:
    reasons = "".join(f"<li>{escape(each)}</li>" for each in finding.reasons)
    pictures = "".join(_pictures(finding, seen))
    return (
        f'<section class="one" id="finding-{finding.number}"><h2>'
        f'<span class="rank">{finding.number}</span> <bdi>{escape(finding.class_name)}</bdi>'
        f"{_badge(finding)}</h2><p class='facts'>{_facts(finding)}</p>"
        f'<div class="evidence">{_where(finding)}<div><ul class="reasons">{reasons}</ul>'
        f'<ul class="pictures">{pictures}</ul></div></div>{_proof(finding.proof)}</section>'
    )


def _badge(finding: Finding) -> str:
    if finding.proof is None:
        return '<span class="badge">a suspicion</span>'
    verdict = finding.proof.verdict
    return f'<span class="badge {verdict.replace(" ", "-")}">{escape(verdict)}</span>'


def _facts(finding: Finding) -> str:
    count = len(finding.rows)
    noun = "picture" if count == 1 else "pictures"
    what = f"a group of {count:,}" if finding.kind == "group" else f"{finding.kind}: {count:,}"
    parts = [
        f"{what} {noun}, {percent(finding.share)} of those predicted as this class",
        _right(finding),
        f"nature: {finding.nature}" if finding.nature else "",
        ""
        if finding.stability is None
        else f"{percent(finding.stability)} the same by other seeds",
    ]
    return " · ".join(filter(None, parts))


def _right(finding: Finding) -> str:
    if finding.accuracy is None:
        return ""
    others = finding.accuracy_elsewhere
    rest = "" if others is None else f", the others {percent(others)}"
    return f"{percent(finding.accuracy)} right{rest}"


def _where(finding: Finding) -> str:
    place = finding.place
    if not place.localised:
        words = "Where its evidence lies on average. Maps do not tell of a place for it."
    else:
        there = f"{percent(place.fixed)} of the pictures have their strongest evidence"
        words = f"Where its evidence lies on average; {there} where this is strongest."
    mean = np.asarray(place.mean, np.float32)
    large = render.upsample(mean, (MAP, round(MAP * mean.shape[0] / mean.shape[1])))
    colours = render.colourise(large, style="positive", limit=float(large.max()))
    drawn = _uri(fromarray(colours))
    return (
        f'<figure class="where"><img src="{drawn}" alt=""><figcaption>{words}</figcaption></figure>'
    )


def _pictures(finding: Finding, seen: Seen) -> Iterator[str]:
    for row in finding.prototypes[:PICTURES]:
        picture = seen(row)
        laid = picture.image
        if picture.classes:
            laid = render.overlay(picture.image, picture.classes[0].map, picture.geometry)
        rendering = "tiny" if max(picture.image.size) < TINY else "photo"
        images = (
            f'<img class="{rendering}" src="{_uri(each)}" alt="">' for each in (picture.image, laid)
        )
        name = escape(picture.path)
        yield f'<li title="{name}">{"".join(images)}<span>row {row:,}</span></li>'


def _uri(image: Image) -> str:
    """As a data URI: PNG where every pixel will be seen, else JPEG."""
    small = max(image.size) < TINY or image.mode == "RGBA"
    if max(image.size) > SIDE and not small:
        image = image.copy()
        image.thumbnail((SIDE, SIDE), Resampling.LANCZOS)
    content = io.BytesIO()
    kind = "png" if small else "jpeg"
    image.save(content, kind, **({} if small else {"quality": 85}))
    return f"data:image/{kind};base64,{base64_text(content.getvalue())}"


def _proof(proof: Proof | None) -> str:
    if proof is None:
        return ""
    rows = [_row(each) for each in proof.interventions]
    columns = ("intervention", "pictures", "decisions changed", "control", "logit", "control", "p")
    done = table(columns, rows) if rows else ""
    return f'<div class="proof"><p>{escape(proof.why)}</p>{done}</div>'


def _row(done: Intervention) -> Sequence[object]:
    return (
        done.name,
        done.pictures,
        _shares(done.changed),
        _shares(done.control_changed),
        _numbers(done.change),
        _numbers(done.control),
        done.p,
    )


def _shares(interval: tuple[float, float, float] | None) -> str | None:
    if interval is None:
        return None
    middle, low, high = (f"{100 * each:.1f}" for each in interval)
    return f"{middle} % ({low} to {high})"


def _numbers(interval: tuple[float, float, float] | None) -> str | None:
    if interval is None:
        return None
    middle, low, high = map(number, interval)
    return f"{middle} ({low} to {high})"
