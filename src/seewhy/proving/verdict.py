"""From trials to a verdict: `confirmed`, `not confirmed` or `untestable`, and why in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seewhy.audit.findings import Finding, Interval, Intervention, Proof
from seewhy.proving.trial import Trial

RELEVANT = 0.20  # how many more decisions a transplant must change than its control does
AT_LEAST = 0.10  # and the lower end of that interval
TIMES = 2.0  # and how many times as many: more of what the others have, too, is no other reason
LEVEL = 0.05  # of the corrected probability


@dataclass(frozen=True, eq=False)
class Tried:
    """What was tried on a finding.

    Attributes:
        finding: it.
        trials: "project", "remove" and "transplant", those that could be made.
        seeds: of their bootstraps.
        obstacle: why there is no verdict; None where there is one.
    """

    finding: Finding
    trials: tuple[Trial, ...]
    seeds: tuple[int, ...]
    obstacle: str | None

    def interventions(self, p: Mapping[str, float]) -> tuple[Intervention, ...]:
        """The estimates of all trials.

        Args:
            p: by name; where it is missing there was no test.
        """
        return tuple(each.intervention(self.seeds, p.get(each.name)) for each in self.trials)

    def trial(self, name: str) -> Trial | None:
        """The trial of a name, if it could be made."""
        return next((each for each in self.trials if each.name == name), None)


def proof_of(tried: Tried, p: Mapping[str, float]) -> Proof:
    """The verdict on a finding.

    It is confirmed only if its evidence, pasted into pictures of other classes, turns at least 20
    of 100 more of them into its class than as large evidence of the class's other pictures does,
    and twice as many (with the lower end of the interval at 10 or more, and a corrected
    probability of at most 0.05), and painting it over takes more from the class's logit than paint
    elsewhere does.

    Args:
        tried: what was tried on it.
        p: the corrected probabilities, by name.
    """
    made = tried.interventions(p)
    transplant, remove = tried.trial("transplant"), tried.trial("remove")
    if tried.obstacle is not None or transplant is None or remove is None:
        return Proof("untestable", f"{tried.obstacle}{_without(tried.trial('project'))}", made)
    more = transplant.more(tried.seeds)
    is_many = transplant.done.changed.mean() >= TIMES * transplant.control.changed.mean()
    is_moved = more[0] >= RELEVANT and more[1] >= AT_LEAST and p["transplant"] <= LEVEL
    farther = remove.farther(tried.seeds)
    is_missed = farther[2] < 0
    why = f"{_pasted(tried, transplant, more)}; {_painted(farther)}"
    return Proof("confirmed" if is_moved and is_many and is_missed else "not confirmed", why, made)


def _pasted(tried: Tried, trial: Trial, more: Interval) -> str:
    done, control = trial.done.changed.mean(), trial.control.changed.mean()
    name = tried.finding.class_name
    return (
        f"pasted into pictures of other classes it turned {done:.0%} of them into {name}, as large "
        f"evidence of other pictures of {name} {control:.0%}: {_points(more)} more"
    )


def _painted(farther: Interval) -> str:
    mean, low, high = farther
    return (
        f"painted over, the logit changed by {mean:+.2f} ({low:+.2f} to {high:+.2f}) against paint "
        "elsewhere"
    )


def _points(interval: Interval) -> str:
    mean, low, high = (round(100 * each) for each in interval)
    return f"{mean} points ({low} to {high})"


def _without(project: Trial | None) -> str:
    """What is known without a place: what becomes of decisions without the direction."""
    if project is None:
        return ""
    done, control = project.done, project.control
    return (
        f"; without what sets it apart in the features {done.changed.mean():.0%} of its decisions "
        f"change (logit {done.change.mean():+.1f}), of the class's others "
        f"{control.changed.mean():.0%} ({control.change.mean():+.1f})"
    )
