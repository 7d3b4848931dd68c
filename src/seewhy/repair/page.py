"""A page about a repair: its account, and pictures with the evidence before and after."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from seewhy import render
from seewhy.audit.prepare import Frames
from seewhy.audit.revisit import Revisit
from seewhy.evidence import evidence_maps
from seewhy.geometry import Geometry
from seewhy.repair.account import Account
from seewhy.repair.make import Repair
from seewhy.report import write_report
from seewhy.report.charts import table
from seewhy.report.markup import base64_text, escape
from seewhy.results import ClassEvidence, PictureEvidence

SHOWN = 8  # pictures of the group, and as many that were given its region
_FIGURES = {
    "accuracy": "right without the artefact",
    "hosts": "of these, pictures that are given it: right before they are",
    "covered": "right with as much of another picture put in",
    "transplanted": "right with the artefact put in",
    "taken": "with it, decided for its class",
    "members": "right in the group",
    "worst_group": "right in the worst class, with or without it",
    "evidence_transplanted": "of the class's evidence, on the region put in",
    "evidence_members": "of the class's evidence, on the region in the group",
    "area": "without the artefact: cells with over 20% of the strongest's evidence",
    "spread": "without the artefact: evidence outside the strongest 20% of the cells",
}


def write_page(path: Path, revisit: Revisit, repair: Repair) -> Path:
    """Write one self-contained HTML page about a repair.

    Raises:
        FileError: it cannot be written.
    """
    pictures = shown(revisit, repair)
    return write_report(
        path,
        pictures,
        title="Before and after a repair",
        model=revisit.classifier.name,
        lead=_lead(repair, pictures),
    )


def shown(revisit: Revisit, repair: Repair) -> list[PictureEvidence]:
    """Held-out pictures, some given the artefact, some of the group: evidence before and after."""
    material = repair.account.material
    given = material.transplanted(SHOWN)
    names = [revisit.classifier.class_name(int(each)) for each in material.targets]
    hosts = [f"{names[int(host)]}, given the artefact" for host in material.hosts[:SHOWN]]
    members = [f"of the group, {number}" for number in range(1, SHOWN + 1)]
    frames = np.concatenate([given, material.members[:SHOWN]])
    after = revisit.with_module(repair.module)
    return list(_pictures(revisit, after, frames, [*hosts, *members], material.class_id))


def _pictures(
    before: Revisit, after: Revisit, frames: Frames, names: Sequence[str], class_id: int
) -> Iterator[PictureEvidence]:
    pairs = zip(
        _evidence(before, frames, class_id), _evidence(after, frames, class_id), strict=True
    )
    for name, frame, (was, now) in zip(names, frames, pairs, strict=False):
        image = Image.fromarray(frame)
        geometry = Geometry.identity(image.size)
        yield PictureEvidence(name, image, geometry, (_named(was, "before"), _named(now, "after")))


def _named(evidence: ClassEvidence, when: str) -> ClassEvidence:
    return replace(evidence, name=f"{evidence.name}, {when}")


def _evidence(revisit: Revisit, frames: Frames, class_id: int) -> Iterator[ClassEvidence]:
    ran = revisit.run(revisit.inputs(frames), revisit.batch_size)
    maps = evidence_maps(revisit.weight[None, class_id, None], ran.features)[:, 0]
    probabilities = torch.softmax(ran.logits, 1)[:, class_id]
    bias = float(revisit.bias[class_id])
    scale = ran.logits.abs().amax(1)
    for map_, logit, probability, largest in zip(
        maps, ran.logits[:, class_id], probabilities, scale, strict=True
    ):
        evidence = float(map_.mean())
        yield ClassEvidence(
            id=class_id,
            name=revisit.classifier.class_name(class_id),
            probability=float(probability),
            logit=float(logit),
            evidence=evidence,
            bias=bias,
            certificate=abs(evidence + bias - float(logit)) / max(float(largest), 1e-9),
            map=map_.numpy(),
        )


# The account


def verdict(account: Account) -> str:
    """A sentence: whether the repair holds, and why not."""
    recovered, low, high = account.recovered
    done = (
        f"{account.how}: {recovered:.0%} of what the artefact cost is back "
        f"({low:.0%} to {high:.0%}), {100 * account.clean[0]:+.1f} points without it"
    )
    return f"{done}; it holds" if account.holds else f"{done}; {'; '.join(account.failings)}"


def figures(account: Account) -> list[tuple[str, str, str]]:
    """What was measured, in words, before and after."""
    document = account.to_json()
    return [
        (words, *(f"{document[when][name]:.1%}" for when in ("before", "after")))  # type: ignore[misc]
        for name, words in _FIGURES.items()
    ]


def _lead(repair: Repair, pictures: Sequence[PictureEvidence]) -> str:
    verdicts = "".join(f"<p>{escape(verdict(each))}</p>" for each in repair.tried)
    rows = table(("on held-out pictures", "before", "after"), figures(repair.account))
    sheet = io.BytesIO()
    some = (*pictures[: SHOWN // 2], *pictures[SHOWN : SHOWN + SHOWN // 2])
    render.contact_sheet(some, top=2, style="positive").save(sheet, "PNG")
    source = f"data:image/png;base64,{base64_text(sheet.getvalue())}"
    image = f'<img src="{source}" alt="Each picture, the evidence before and after" width="640">'
    return f'<section class="overview">{verdicts}{rows}<h2>Side by side</h2>{image}</section>'
