"""`prove` and `prove_all`: what interventions make of findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seewhy import evidence
from seewhy.audit.findings import Finding, Findings, Intervention
from seewhy.audit.prepare import Frames
from seewhy.audit.revisit import Ran, Revisit
from seewhy.errors import InputError
from seewhy.proving import regions
from seewhy.proving.cast import Cast, Predictions, Rows
from seewhy.proving.placing import with_place
from seewhy.proving.project import effect_of, projected
from seewhy.proving.regions import Boxes
from seewhy.proving.remove import painted_over
from seewhy.proving.transplant import transplanted
from seewhy.proving.trial import Effect, Trial, holm
from seewhy.proving.verdict import Tried, proof_of

FEWEST = 20  # pictures: with fewer, intervals say nothing
LARGEST = 0.25  # of the input: what is larger is no place
HALF = 0.5  # of the group's pictures, at least, have a small one


def prove(
    revisit: Revisit, finding: Finding, others: Sequence[int] | None = None, seed: int = 0
) -> tuple[Intervention, ...]:
    """Intervene on the evidence of one finding.

    Args:
        revisit: the audit that it is of.
        finding: see `seewhy.audit.findings`.
        others: rows of its class to compare it with; by default all that are not of the finding.
        seed: of what is drawn.

    Returns:
        "remove", "transplant" and "project", those of them that can be made; `p` is not corrected.

    Raises:
        DataError: a picture is not the one that was audited.
        ImageError: a picture cannot be read.
    """
    tried = _tried(revisit, finding, Predictions.of(revisit.audit), seed, others)
    return tried.interventions({trial.name: trial.p() for trial in tried.trials})


def prove_all(
    revisit: Revisit,
    findings: Findings,
    seed: int = 0,
    limit: int = 10,
    progress: Callable[[int], None] | None = None,
) -> Findings:
    """Intervene on the first findings, and say of each what came of it.

    Probabilities are corrected for the number of findings tried (Holm's method), each kind of
    intervention by itself.

    Args:
        revisit: the audit that they are of.
        findings: ranked.
        seed: of what is drawn; the same seed gives the same verdicts.
        limit: how many are tried; the others stay as they are.
        progress: told 1 for each that is done.

    Returns:
        The same with proofs; a group without a place gets that of what sets it apart, if the
        network's features tell of one.

    Raises:
        InputError: `limit` is below 0.
        DataError: a picture is not the one that was audited.
        ImageError: a picture cannot be read.
    """
    if limit < 0:
        raise InputError("limit", expected="0 or more", got=str(limit), fix="pass another")
    predictions = Predictions.of(revisit.audit)
    tried = []
    for finding in findings.findings[:limit]:
        tried.append(_tried(revisit, finding, predictions, seed))
        if progress is not None:
            progress(1)
    proven = [
        replace(each.finding, proof=proof_of(each, p))
        for each, p in zip(tried, _corrected(tried), strict=True)
    ]
    return replace(findings, findings=(*proven, *findings.findings[limit:]))


def placed(revisit: Revisit, finding: Finding, rows: Sequence[int]) -> Boxes:
    """The regions that are cut out and covered in a finding's pictures: (B, 4), in input pixels.

    Args:
        revisit: the audit that it is of.
        finding: what is looked for.
        rows: in which pictures.
    """
    cast = Predictions.of(revisit.audit).cast(finding, None, (0, finding.number))
    group, others = (Looked.at(revisit, each) for each in (cast.group, cast.others))
    looked = Looked.at(revisit, np.array(rows, dtype=np.int64))
    return _boxes(looked, *_sought(revisit, finding, group, others))


def _corrected(tried: Sequence[Tried]) -> list[dict[str, float]]:
    """The probabilities of each finding's trials, by name; of too few pictures there is none."""
    made: list[dict[str, float]] = [{} for _ in tried]
    for name in ("remove", "transplant", "project"):
        tests = [(place, each.trial(name)) for place, each in enumerate(tried)]
        of = [(place, t.p()) for place, t in tests if t is not None and len(t.done) >= FEWEST]
        for (place, _), p in zip(of, holm([p for _, p in of]), strict=True):
            made[place][name] = p
    return made


def _tried(
    revisit: Revisit,
    finding: Finding,
    predictions: Predictions,
    seed: int,
    others: Sequence[int] | None = None,
) -> Tried:
    seeds = (seed, finding.number)
    cast = predictions.cast(finding, others, seeds)
    group = Looked.at(revisit, cast.group)
    rest = Looked.at(revisit, cast.others)
    is_group = finding.kind == "group" and cast.pairs >= FEWEST
    trials = [_project(revisit, finding, group, rest)] if is_group else []
    direction, usual = _sought(revisit, finding, group, rest)
    boxes = _boxes(group, direction, usual)
    is_small = regions.shares(boxes, revisit.classifier.preprocess.size) <= LARGEST
    small = np.flatnonzero(is_small)
    if is_group and not finding.place.localised and is_small.mean() >= HALF:
        cells = group.cells(direction) - rest.cells(direction).mean(0)
        maps = group.maps(direction)[small] - usual
        finding = with_place(finding, maps, boxes[small], cells)
    obstacle = _obstacle(finding, cast, is_small)
    if finding.place.localised and len(small):
        rng = np.random.default_rng([*seeds, 1])
        trials.append(_remove(revisit, finding, group.those(small), boxes[small], rng))
    if obstacle is None:
        those = small[small < cast.triples]
        trials.append(
            _transplant(revisit, finding, group.those(those), boxes[those], cast.those(those))
        )
    return Tried(finding, tuple(trials), seeds, obstacle)


def _obstacle(finding: Finding, cast: Cast, is_small: NDArray[np.bool_]) -> str | None:
    """Why a finding cannot be tested; None where it can."""
    if finding.kind != "group":
        return "single pictures, each odd by itself: no group that could be tested"
    if len(cast.group) < FEWEST:
        return f"too few pictures: {len(cast.group)}, of {FEWEST} that are needed"
    if cast.triples < FEWEST:
        return "there are too few pictures to compare it with"
    if not finding.place.localised:
        return "its evidence has no place of its own, so that nothing can be cut out"
    if is_small.mean() < HALF or is_small[: cast.triples].sum() < FEWEST:
        return "its evidence takes more than a quarter of most pictures"
    return None


def _sought(
    revisit: Revisit, finding: Finding, group: Looked, others: Looked
) -> tuple[Tensor, regions.Maps | float]:
    """The direction that is looked for, and where the class's others have it, too, (H, W).

    It is what sets the group apart; of few or single pictures, which have no such, the class.
    """
    if finding.kind != "group" or min(len(group), len(others)) < FEWEST:
        return revisit.weight[finding.class_id], 0.0
    apart = regions.discriminant(group.pooled, others.pooled)
    return apart, others.maps(apart).mean(0)


def _boxes(looked: Looked, direction: Tensor, usual: regions.Maps | float) -> Boxes:
    return regions.peak_boxes(looked.maps(direction) - usual, LARGEST)


@dataclass(frozen=True, eq=False)
class Looked:
    """Pictures, and what the network made of them.

    Attributes:
        frames: (n, H, W, 3), 8 bits.
        ran: logits and features.
    """

    frames: Frames
    ran: Ran

    @classmethod
    def at(cls, revisit: Revisit, rows: Rows) -> Looked:
        """Read some rows of the audit and run the network on them."""
        frames = revisit.frames(rows.tolist())
        return cls(frames, revisit.run(revisit.inputs(frames)))

    def those(self, which: NDArray[np.int64]) -> Looked:
        """Some of them."""
        ran = Ran(self.ran.logits[which], self.ran.features[which])
        return Looked(self.frames[which], ran)

    def maps(self, direction: Tensor) -> regions.Maps:
        """Where a direction of the features lies in them, (n, H, W)."""
        _, height, width, _ = self.frames.shape
        return regions.located(self.ran.features, direction, (width, height))

    def cells(self, direction: Tensor) -> regions.Maps:
        """The same on the features' own grid, (n, h, w)."""
        height, width = self.ran.features.shape[2:]
        return regions.located(self.ran.features, direction, (width, height))

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def pooled(self) -> Tensor:
        """(n, K)."""
        return evidence.pooled(self.ran.features)


def _project(revisit: Revisit, finding: Finding, group: Looked, others: Looked) -> Trial:
    head = revisit.weight, revisit.bias
    return projected(group.pooled, others.pooled, *head, finding.class_id)


def _remove(
    revisit: Revisit, finding: Finding, group: Looked, boxes: Boxes, rng: np.random.Generator
) -> Trial:
    elsewhere = regions.boxes_elsewhere(boxes, revisit.classifier.preprocess.size, rng)
    done, control = (
        _effect(revisit, finding, group.ran.logits, painted_over(group.frames, each))
        for each in (boxes, elsewhere)
    )
    return Trial("remove", done, control)


def _transplant(
    revisit: Revisit, finding: Finding, group: Looked, boxes: Boxes, cast: Cast
) -> Trial:
    """The group's evidence into other classes' pictures, beside the others' own, as large."""
    alike, into = (Looked.at(revisit, rows) for rows in (cast.alike, cast.recipients))
    of_class = revisit.weight[finding.class_id]
    own = regions.boxes_at_peaks(alike.maps(of_class), like=boxes)
    done, control = (
        _effect(revisit, finding, into.ran.logits, transplanted(into.frames, *each))
        for each in ((group.frames, boxes), (alike.frames, own))
    )
    return Trial("transplant", done, control)


def _effect(revisit: Revisit, finding: Finding, before: Tensor, frames: Frames) -> Effect:
    after = revisit.run(revisit.inputs(frames)).logits
    return effect_of(before, after, finding.class_id)
