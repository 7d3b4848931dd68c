"""What a repair did, on pictures that were used for nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from torch import Tensor

from seewhy.audit import statistics
from seewhy.audit.prepare import Frames
from seewhy.audit.revisit import Revisit
from seewhy.repair.material import Material, class_maps, decided_maps, pooled_features
from seewhy.repair.project import Linear

DRAWS = 1000  # of the bootstrap
EVIDENCE = 400  # pictures whose maps are looked at

Interval = tuple[float, float, float]  # the estimate, and the ends of its 95 % interval
Each = Bool[NDArray[np.bool_], " count"]
Shares = Float32[NDArray[np.float32], " count"]


@dataclass(frozen=True, eq=False)
class Measured:
    """How a network does on a material.

    Attributes:
        plain: (N,), whether it is right about pictures without the artefact.
        covered: (T,), whether it is right about hosts that were given as much of another host.
        transplanted: (T,), whether it is right about hosts that were given the artefact.
        taken: (T,), whether these are decided for the artefact's class.
        members: (M,), whether it is right about the group.
        on_transplanted: share of the class's positive evidence that lies on the region, of some.
        on_members: the same in the group.
        area: of the evidence for what is decided, in some pictures without the artefact: share of
            the map above 20 % of its maximum.
        spread: of it, what is not in the strongest 20 % of the cells.
    """

    plain: Each
    covered: Each
    transplanted: Each
    taken: Each
    members: Each
    on_transplanted: Shares
    on_members: Shares
    area: Shares
    spread: Shares


@dataclass(frozen=True, eq=False)
class Seen:
    """The pooled features of a material: a repair of the last layer leaves them as they are.

    Attributes:
        plain: (N, K).
        covered: (T, K).
        transplanted: (T, K).
        members: (M, K).
    """

    plain: Tensor
    covered: Tensor
    transplanted: Tensor
    members: Tensor


def see(revisit: Revisit, material: Material) -> Seen:
    """Run a network on a material."""
    given = material.covered(), material.transplanted()
    every = (material.frames, *given, material.members)
    return Seen(*(pooled_features(revisit, frames) for frames in every))


def measure(revisit: Revisit, material: Material, seen: Seen) -> Measured:
    """How a network does on a material, of which its features are known."""
    layer = Linear(revisit.weight, revisit.bias)
    changed = layer(seen.transplanted).argmax(1)
    targets = material.targets[material.hosts]
    given = material.donors[:EVIDENCE]
    maps = decided_maps(revisit, material.frames[:EVIDENCE]).numpy()
    return Measured(
        plain=_equal(layer(seen.plain).argmax(1), material.targets),
        covered=_equal(layer(seen.covered).argmax(1), targets),
        transplanted=_equal(changed, targets),
        taken=_equal(changed, torch.full_like(changed, material.class_id)),
        members=_equal(layer(seen.members).argmax(1), material.member_targets),
        on_transplanted=_shares(
            revisit, material.transplanted(EVIDENCE), material.cells[given], material.class_id
        ),
        on_members=_shares(
            revisit, material.members[:EVIDENCE], material.cells[:EVIDENCE], material.class_id
        ),
        area=_known(statistics.area(maps)),
        spread=_known(1 - statistics.concentration(maps)),
    )


def _known(values: NDArray[np.floating[Any]]) -> Shares:
    """Without those of maps that have no positive evidence; 0 where none has."""
    known = values[np.isfinite(values)].astype(np.float32)
    return known if len(known) else np.zeros(1, np.float32)


def _shares(revisit: Revisit, frames: Frames, cells: Tensor, class_id: int) -> Shares:
    """How much of the class's positive evidence lies in the cells, (N,); 0 where there is none."""
    maps = class_maps(revisit, frames, class_id).clamp(min=0)
    inside = (maps * cells).sum((1, 2)) / maps.sum((1, 2)).clamp(min=1e-9)
    shares: Shares = inside.numpy()
    return shares


def _equal(decisions: Tensor, targets: Tensor) -> Each:
    same: Each = (decisions == targets).numpy()
    return same


@dataclass(frozen=True)
class Wanted:
    """When a repair holds.

    Attributes:
        recovered: at least this share of what the artefact had cost.
        clean_loss: accuracy without the artefact falls by this at most.
        member_gap: the group is not decided worse than other pictures of its class by more.
        cost: what the artefact has to cost before there is anything to repair.
    """

    recovered: float = 0.88
    clean_loss: float = 0.01
    member_gap: float = 0.10
    cost: float = 0.02


@dataclass(frozen=True, eq=False)
class Account:
    """A repair before and after.

    Attributes:
        how: it was made.
        material: it was measured on.
        before: the network as it was.
        after: as it is now.
        wanted: when it holds.
        seconds: it took.
    """

    how: str
    material: Material
    before: Measured
    after: Measured
    wanted: Wanted = Wanted()
    seconds: float = 0.0

    @property
    def cost(self) -> float:
        """Accuracy that other classes' pictures lost by being given the artefact, before.

        What they lose where as much of another picture covers them does not count: that no repair
        can bring back.
        """
        return float(self.before.covered.mean() - self.before.transplanted.mean())

    @property
    def recovered(self) -> Interval:
        """The share of that cost that is there no more."""
        triple = np.stack(
            [self.before.covered, self.before.transplanted, self.after.transplanted]
        ).astype(np.float64)
        return _bootstrap(triple, lambda m: (m[2] - m[1]) / np.maximum(m[0] - m[1], 1e-9))

    @property
    def clean(self) -> Interval:
        """The change of accuracy on pictures without the artefact."""
        pair = np.stack([self.before.plain, self.after.plain]).astype(np.float64)
        return _bootstrap(pair, lambda m: m[1] - m[0])

    @property
    def holds(self) -> bool:
        """Whether the repair does what is wanted of it."""
        return not self.failings

    @property
    def failings(self) -> list[str]:
        """What is not as wanted, in words; none where the repair holds."""
        wanted, recovered, clean = self.wanted, self.recovered[0], self.clean[0]
        if self.cost < wanted.cost:
            return [f"put into other pictures it costs {100 * self.cost:.1f} points: nothing to do"]
        gap = self._accuracy_of_class() - float(self.after.members.mean())
        checks = {
            f"{recovered:.0%} of the cost recovered, not {wanted.recovered:.0%}": (
                recovered < wanted.recovered
            ),
            f"{-100 * clean:.1f} points lost without the artefact": clean < -wanted.clean_loss,
            f"the group is {100 * gap:.0f} points worse than the rest of its class": (
                gap > wanted.member_gap
            ),
        }
        return [words for words, is_bad in checks.items() if is_bad]

    def _accuracy_of_class(self) -> float:
        """After the repair, of the class's pictures outside the group; 0 where there are none."""
        of_class = self.after.plain[(self.material.targets == self.material.class_id).numpy()]
        return float(of_class.mean()) if len(of_class) else 0.0

    def to_json(self) -> dict[str, Any]:
        """What there is to say, as JSON can hold it; shares and accuracies from 0 to 1."""
        both = (("before", self.before), ("after", self.after))
        return {
            "how": self.how,
            "holds": self.holds,
            "failings": self.failings,
            "seconds": round(self.seconds, 1),
            "truth": "labels" if self.material.is_labelled else "former decisions",
            "pictures": {
                "plain": len(self.before.plain),
                "transplanted": len(self.before.transplanted),
                "members": len(self.before.members),
            },
            "cost": round(self.cost, 4),
            "recovered": _rounded(self.recovered),
            "clean_change": _rounded(self.clean),
            **{name: self._figures(of) for name, of in both},
        }

    def _figures(self, of: Measured) -> dict[str, float]:
        figures = {
            "accuracy": of.plain.mean(),
            "hosts": of.plain[self.material.hosts.numpy()].mean(),
            "covered": of.covered.mean(),
            "transplanted": of.transplanted.mean(),
            "taken": of.taken.mean(),
            "members": of.members.mean(),
            "worst_group": self._worst_group(of),
            "evidence_transplanted": of.on_transplanted.mean(),
            "evidence_members": of.on_members.mean(),
            "area": of.area.mean(),
            "spread": of.spread.mean(),
        }
        return {name: round(float(value), 4) for name, value in figures.items()}

    def _worst_group(self, of: Measured) -> float:
        """The lowest accuracy of any class, with or without the artefact."""
        targets = self.material.targets
        given = targets[self.material.hosts]
        return min(_lowest(of.plain, targets), _lowest(of.transplanted, given))


def _lowest(right: Each, targets: Tensor) -> float:
    count = torch.bincount(targets)
    hits = torch.bincount(targets, torch.from_numpy(right).double())
    return float((hits / count)[count > 0].min())


def _rounded(interval: Interval) -> list[float]:
    return [round(each, 4) for each in interval]


def _bootstrap(values: NDArray[np.floating[Any]], of_means: Any) -> Interval:
    """A figure made of the means of several columns (k, n), and its interval over the n."""
    rng = np.random.default_rng(0)
    count = values.shape[1]
    draws = [of_means(values[:, rng.integers(0, count, count)].mean(1)) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(of_means(values.mean(1))), float(low), float(high)
