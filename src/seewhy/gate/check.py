"""An audit and rules: which it keeps, which it breaks and by which pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seewhy.audit.findings import Finding
from seewhy.audit.opened import Audit
from seewhy.audit.reading import UNKNOWN, Floats, Numbers, require_complete
from seewhy.gate.facts import Facts
from seewhy.gate.rules import Rule
from seewhy.wording import first_few

WORST = 5  # pictures that are named where a rule is broken

State = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Picture:
    """A picture that has a part in a broken rule.

    Attributes:
        row: of the audit.
        id: what it is called there.
    """

    row: int
    id: str


@dataclass(frozen=True)
class Result:
    """What became of one rule.

    Attributes:
        name: of the rule, such as `evidence.max_border`.
        state: "passed", "failed" or "skipped" (the audit does not know what is asked).
        expected: in words.
        got: in words; why, where it was skipped.
        pictures: that broke it, the worst first.
    """

    name: str
    state: State
    expected: str
    got: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, eq=False)
class Measure:
    """A number of each picture, of which the mean is asked.

    Attributes:
        values: (n,); NaN where it is unknown.
        classes: (n,), -1 where it is unknown.
        badness: (n,), what has the largest is shown first; NaN is not shown.
        rows: (n,), of the audit.
        unknown: in words, why no value is known.
        at_most: whether the rule's limit is the largest mean, or the smallest.
    """

    values: Floats
    classes: Numbers
    badness: Floats
    rows: Numbers
    unknown: str
    at_most: bool = True

    def breaks(self, mean: float, limit: float) -> bool:
        """Whether a mean is beyond the limit."""
        return not (mean <= limit if self.at_most else mean >= limit)

    def of_class(self, number: int) -> NDArray[np.bool_]:
        """Which pictures with a value are of a class, (n,)."""
        chosen: NDArray[np.bool_] = (self.classes == number) & self.known
        return chosen

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which pictures have a value, (n,)."""
        known: NDArray[np.bool_] = ~np.isnan(self.values)
        return known

    def worst(self, chosen: NDArray[np.bool_]) -> Numbers:
        """The rows that are shown of some pictures."""
        places = np.flatnonzero(chosen & ~np.isnan(self.badness) & (self.badness > 0))
        order = np.argsort(-self.badness[places], kind="stable")[:WORST]
        return self.rows[places[order]]


def check(audit: Audit, rules: Sequence[Rule], beside: Path = Path()) -> tuple[Result, ...]:
    """Ask an audit for each rule.

    Args:
        audit: a finished one.
        rules: see `read_rules`.
        beside: the folder that the audits named in the rules count from.

    Raises:
        AuditError: it is not finished; nobody looked for findings, or the audit to compare with is
            missing or of other pictures.
        ClassError: a rule is about a class that the model does not have.
        FileError: a shard is missing or damaged.
    """
    facts = Facts(require_complete(audit), beside)
    return tuple(_CHECKS[rule.kind](facts, rule) for rule in rules)


# Means over pictures


def _outside(facts: Facts, _rule: Rule) -> Measure:
    outside = 1 - facts.numbers("inside")
    return _of_audit(facts, outside, outside, "no picture has boxes")


def _border(facts: Facts, _rule: Rule) -> Measure:
    border = facts.numbers("border")
    return _of_audit(facts, border, border, "no picture has positive evidence")


def _accuracy(facts: Facts, _rule: Rule) -> Measure:
    correct = facts.numbers("correct")
    wrong = (1 - correct) * facts.probability
    rows = np.arange(len(correct))
    return Measure(correct, facts.ids("label"), wrong, rows, "no picture has a label", False)


def _drift(facts: Facts, rule: Rule) -> Measure:
    found = facts.diff(rule.settings["against"])
    why = "no picture has two maps of one class"
    return Measure(found.drift, found.predicted[:, 0], found.drift, found.rows[:, 1], why)


def _agreement(facts: Facts, rule: Rule) -> Measure:
    found = facts.diff(rule.settings["against"])
    agrees = found.agrees.astype(np.float64)
    drift = (1 - agrees) * np.where(np.isnan(found.drift), 1, found.drift)
    return Measure(agrees, found.predicted[:, 0], drift, found.rows[:, 1], "no pictures", False)


def _of_audit(facts: Facts, values: Floats, badness: Floats, unknown: str) -> Measure:
    return Measure(values, facts.ids("predicted"), badness, np.arange(len(values)), unknown)


Measuring = Callable[[Facts, Rule], Measure]
Check = Callable[[Facts, Rule], Result]


def _mean(measuring: Measuring) -> Check:
    """The mean over all pictures, or over those of one class."""

    def checked(facts: Facts, rule: Rule) -> Result:
        measure = measuring(facts, rule)
        chosen = measure.known
        if rule.of_class is not None:
            chosen = measure.of_class(facts.class_number(rule.of_class))
        if not chosen.any():
            return _skipped(rule, measure)
        mean = float(measure.values[chosen].mean())
        got = f"{_short(mean)} over {chosen.sum():,} pictures"
        if not measure.breaks(mean, rule.limit):
            return Result(rule.name, "passed", _limit(rule, measure), got)
        worst = measure.worst(chosen)
        return Result(rule.name, "failed", _limit(rule, measure), got, _pictures(facts, worst))

    return checked


def _mean_per_class(measuring: Measuring) -> Check:
    """The mean over the pictures of each class."""

    def checked(facts: Facts, rule: Rule) -> Result:
        measure = measuring(facts, rule)
        means = _means(measure, rule.settings.get("min_pictures", 1))
        expected = f"{_limit(rule, measure)} for each class"
        if not means:
            return _skipped(rule, measure)
        broken = [each for each in means if measure.breaks(means[each], rule.limit)]
        shown = broken or list(means)[:1]
        got = first_few(f"{facts.class_name(each)} {_short(means[each])}" for each in shown)
        if not broken:
            return Result(rule.name, "passed", expected, f"{got} at worst")
        worst = measure.worst(np.isin(measure.classes, broken) & measure.known)
        return Result(rule.name, "failed", expected, got, _pictures(facts, worst))

    return checked


def _means(measure: Measure, fewest: int) -> dict[int, float]:
    """The mean of each class that has pictures enough, the worst first."""
    chosen = measure.known & (measure.classes != UNKNOWN)
    classes = measure.classes[chosen]
    sums = np.bincount(classes, measure.values[chosen])
    counts = np.bincount(classes)
    numbers = np.flatnonzero(counts >= max(fewest, 1))
    means = {int(each): float(sums[each] / counts[each]) for each in numbers}
    return dict(sorted(means.items(), key=lambda each: each[1], reverse=measure.at_most))


def _skipped(rule: Rule, measure: Measure) -> Result:
    why = measure.unknown
    if measure.known.any():
        why = "no such picture" if rule.of_class is not None else "no class has pictures enough"
    return Result(rule.name, "skipped", _limit(rule, measure), why)


def _limit(rule: Rule, measure: Measure) -> str:
    return f"{'at most' if measure.at_most else 'at least'} {rule.limit:g}"


# Findings


def _confirmed(facts: Facts, rule: Rule) -> Result:
    findings = facts.findings.findings
    expected = f"at most {rule.limit} confirmed"
    if findings and all(each.proof is None for each in findings):
        return Result(rule.name, "skipped", expected, "none was put to the proof")
    confirmed = [each for each in findings if each.is_confirmed]
    found = [each for each in confirmed if each.nature != "part"]
    got = f"{len(found)}: {first_few(map(_named, found))}" if found else "none"
    if parts := [each for each in confirmed if each.nature == "part"]:
        got += f"; parts of the object: {first_few(map(_named, parts))}"
    if len(found) <= rule.limit:
        return Result(rule.name, "passed", expected, got)
    return Result(rule.name, "failed", expected, got, _prototypes(facts, found))


def _per_finding(facts: Facts, rule: Rule) -> Result:
    groups = [
        (each.accuracy, each)
        for each in facts.findings.findings
        if each.kind == "group" and each.accuracy is not None
    ]
    expected = f"at least {rule.limit:g} for each group found"
    if not groups:
        return Result(rule.name, "skipped", expected, "no group with labels was found")
    groups.sort(key=lambda each: each[0])
    broken = [each for each in groups if each[0] < rule.limit]
    shown = broken or groups[:1]
    got = first_few(f"{_named(each)} {_short(accuracy)}" for accuracy, each in shown)
    if not broken:
        return Result(rule.name, "passed", expected, f"{got} at worst")
    pictures = _prototypes(facts, [each for _, each in broken])
    return Result(rule.name, "failed", expected, got, pictures)


def _named(finding: Finding) -> str:
    return f"finding {finding.number} ({finding.class_name})"


def _prototypes(facts: Facts, findings: Sequence[Finding]) -> tuple[Picture, ...]:
    """The most typical pictures of some findings, of each in turn."""
    longest = max((len(each.prototypes) for each in findings), default=0)
    rows = [
        each.prototypes[i] for i in range(longest) for each in findings if i < len(each.prototypes)
    ]
    return _pictures(facts, rows[:WORST])


# Certificates


def _inexact(facts: Facts, rule: Rule) -> Result:
    manifest = facts.audit.manifest
    expected = f"at most {rule.limit} inexact maps"
    if not manifest.model.get("additive", True):
        why = "maps of this kind do not promise to add up"
        return Result(rule.name, "skipped", expected, why)
    got = f"{manifest.counts['inexact']:,}"
    if manifest.counts["inexact"] <= rule.limit:
        return Result(rule.name, "passed", expected, got)
    rows = _inexact_rows(facts, manifest.model.get("tolerance", np.inf))
    return Result(rule.name, "failed", expected, got, _pictures(facts, rows))


def _inexact_rows(facts: Facts, tolerance: float) -> list[int]:
    """The first rows with a certificate beyond the tolerance; NaN is beyond."""
    found = []
    for row in facts.audit.rows(["row", "certificate"]):
        if not all(each is not None and each <= tolerance for each in row["certificate"] or ()):
            found.append(row["row"])
            if len(found) == WORST:
                break
    return found


def _failed(facts: Facts, rule: Rule) -> Result:
    counts = facts.audit.manifest.counts
    share = counts["failed"] / max(counts["rows"], 1)
    expected = f"at most {rule.limit:g} of the pictures failed"
    got = f"{_short(share)} ({counts['failed']:,} of {counts['rows']:,})"
    if share <= rule.limit:
        return Result(rule.name, "passed", expected, got)
    rows = np.flatnonzero(facts.ids("predicted") == UNKNOWN)[:WORST]
    return Result(rule.name, "failed", expected, got, _pictures(facts, rows))


def _pictures(facts: Facts, rows: Sequence[int] | Numbers) -> tuple[Picture, ...]:
    return tuple(Picture(int(row), facts.id_of(int(row))) for row in rows)


def _short(value: float) -> str:
    return f"{value:.3g}"


_CHECKS: Mapping[str, Check] = {
    "evidence.max_outside": _mean(_outside),
    "evidence.max_outside_per_class": _mean_per_class(_outside),
    "evidence.max_border": _mean(_border),
    "evidence.max_border_per_class": _mean_per_class(_border),
    "accuracy.minimum": _mean(_accuracy),
    "accuracy.minimum_per_class": _mean_per_class(_accuracy),
    "accuracy.minimum_per_finding": _per_finding,
    "findings.confirmed": _confirmed,
    "certificate.inexact": _inexact,
    "certificate.failed": _failed,
    "drift.max": _mean(_drift),
    "drift.max_per_class": _mean_per_class(_drift),
    "drift.min_agreement": _mean(_agreement),
}
