"""What an audit brings to light: the file RUN/findings.json, and what is in it. No torch.

A finding is a suspicion: some pictures that a class was decided for by the same odd evidence, or
single pictures decided by less than is usual. Its `proof` says what interventions made of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from seewhy.errors import AuditError
from seewhy.files import write_whole
from seewhy.wording import complaint

VERSION = 1
FILE = "findings.json"

Kind = Literal["group", "narrow", "outside", "weak"]
Verdict = Literal["confirmed", "not confirmed", "untestable"]
Nature = Literal["artefact", "part"]
Interval = tuple[float, float, float]  # the estimate, and the ends of its 95 % interval


@dataclass(frozen=True)
class Place:
    """Where the evidence of a finding's pictures lies.

    Attributes:
        mean: (h, w), the mean of their maps' positive evidence, each map's sum being 1.
        peak: x, y of the mean's strongest cell, 0 to 1 of the network's input.
        fixed: share of the pictures whose own peak lies within a cell of that.
        localised: whether there is a place at all, as far as maps can tell.
        area: median share of the map above 20 % of its maximum.
        border: median share of the positive evidence at the edges.
    """

    mean: tuple[tuple[float, ...], ...]
    peak: tuple[float, float]
    fixed: float
    localised: bool
    area: float
    border: float


@dataclass(frozen=True)
class Intervention:
    """What was done to the evidence of a finding, and what came of it.

    Attributes:
        name: "remove", "transplant" or "project".
        pictures: how many it was done to.
        change: of the class's logit, mean.
        control: the same where as much was done elsewhere, or with other pictures; None for none.
        changed: share of the pictures whose decision for or against the class changed.
        control_changed: the same of the control.
        p: of the difference of `changed`, after correction for the number of findings tried.
    """

    name: str
    pictures: int
    change: Interval
    control: Interval | None
    changed: Interval
    control_changed: Interval | None
    p: float | None


@dataclass(frozen=True)
class Proof:
    """The verdict on a finding.

    Attributes:
        verdict: "confirmed", "not confirmed" or "untestable".
        why: in a sentence.
        interventions: on which it rests.
    """

    verdict: Verdict
    why: str
    interventions: tuple[Intervention, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something odd about how a class is decided for.

    Attributes:
        number: from 1, the oddest first.
        kind: "group" of pictures decided by the same kind of evidence; single pictures with
            evidence far narrower than is usual ("narrow"), "outside" the object's boxes, or
            confident with little positive evidence ("weak").
        class_id: the predicted class.
        class_name: its name.
        rows: of the audit, in order.
        prototypes: some of the rows, the most typical first.
        share: of the pictures predicted as this class.
        accuracy: of the predictions in it; None without labels.
        accuracy_elsewhere: of the class's other predictions.
        place: where its evidence lies.
        oddness: what it is ranked by; larger is odder.
        reasons: why it is odd, in words.
        stability: how much of the group came back under other seeds (median Jaccard index).
        direction: (K,), what sets its pooled features apart: mean descriptor of the group less
            that of the class's others, in logits; None where there are no descriptors.
        proof: what interventions made of it; None before.
        nature: what a person, or boxes around the objects, say it is: "artefact" or "part" of the
            object; None: not said. seewhy never says so by itself.
    """

    number: int
    kind: Kind
    class_id: int
    class_name: str
    rows: tuple[int, ...]
    prototypes: tuple[int, ...]
    share: float
    accuracy: float | None
    accuracy_elsewhere: float | None
    place: Place
    oddness: float
    reasons: tuple[str, ...]
    stability: float | None = None
    direction: tuple[float, ...] | None = None
    proof: Proof | None = None
    nature: Nature | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether an intervention moved the decision."""
        return self.proof is not None and self.proof.verdict == "confirmed"

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Of what `asdict` made."""
        values = {each.name: _tuples(document[each.name]) for each in fields(cls)}
        values["place"] = Place(**{k: _tuples(v) for k, v in document["place"].items()})
        if document["proof"] is not None:
            values["proof"] = _proof(document["proof"])
        _require(values["kind"], Kind)
        return cls(**values)


@dataclass(frozen=True)
class Findings:
    """All findings of an audit, ranked.

    Attributes:
        fingerprint: of the audit they are of.
        seed: of what was random.
        findings: the oddest first; numbers from 1.
    """

    fingerprint: str
    seed: int
    findings: tuple[Finding, ...]

    def numbered(self, number: int) -> Finding:
        """The finding with a number.

        Raises:
            AuditError: there is none.
        """
        for finding in self.findings:
            if finding.number == number:
                return finding
        count = len(self.findings)
        known = f"1 to {count}" if count else "none, as nothing was found"
        raise AuditError("finding", expected=known, got=str(number), fix="see `seewhy find RUN`")


def write_findings(run: str | Path, found: Findings) -> Path:
    """Write RUN/findings.json, whole or not at all."""
    path = Path(run) / FILE
    document = {"version": VERSION, **asdict(found)}
    write_whole(path, [json.dumps(document, indent=1, allow_nan=False).encode()])
    return path


def read_findings(run: str | Path, fingerprint: str) -> Findings:
    """Read RUN/findings.json.

    Args:
        run: the folder of an audit.
        fingerprint: of that audit: `audit.manifest.fingerprint`.

    Raises:
        AuditError: there is none, it is damaged, or of another audit.
    """
    path = Path(run) / FILE
    try:
        document = json.loads(path.read_bytes())
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']}")
        found = Findings(
            document["fingerprint"],
            document["seed"],
            tuple(map(Finding.from_json, document["findings"])),
        )
    except FileNotFoundError as problem:
        raise _unread(run, f"no {FILE}") from problem
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise _unread(run, f"{FILE}: {complaint(problem)}") from problem
    if found.fingerprint != fingerprint:
        raise _unread(run, f"{FILE} of another audit")
    return found


def _unread(run: str | Path, got: str) -> AuditError:
    return AuditError(
        f"audit {run}", expected="findings", got=got, fix=f"make them: seewhy find {run}"
    )


def _proof(document: Mapping[str, Any]) -> Proof:
    _require(document["verdict"], Verdict)
    done: Sequence[Mapping[str, Any]] = document["interventions"]
    made = (Intervention(**{k: _tuples(v) for k, v in each.items()}) for each in done)
    return Proof(document["verdict"], document["why"], tuple(made))


def _require(value: object, allowed: Any) -> None:
    if value not in get_args(allowed):
        raise ValueError(f"{value!r}")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
