"""What a repair is made from, and what it is measured on: never the same pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from seewhy.audit.opened import Audit
from seewhy.audit.prepare import Frames
from seewhy.audit.revisit import Ran, Revisit
from seewhy.errors import DataError
from seewhy.evidence import evidence_maps, pooled
from seewhy.proving.regions import discriminant
from seewhy.repair.transplants import Cells, added, regions, transplanted

BYTES = 2**29  # of pictures in memory at most
FEWEST = 10  # members, and pictures of other classes
BESIDE = 1_000  # of the class's other pictures, to tell the group from
TRIED = 500  # hosts, to see how translucent an artefact is
OPAQUE = 0.4  # translucence up to which all is pasted; from there on, more and more is added
HELD_OUT = 0.25  # of an audit, where no other data is held out

Numbers = Int64[NDArray[np.int64], " count"]


@dataclass(frozen=True, eq=False)
class Known:
    """What an audit knows of each of its rows that could be explained.

    Attributes:
        rows: (n,), ascending.
        predicted: (n,), the class.
        targets: (n,), the true class; where it is not known, the predicted one.
        is_labelled: whether all true classes are known.
    """

    rows: Numbers
    predicted: Numbers
    targets: Numbers
    is_labelled: bool

    def __getitem__(self, kept: NDArray[np.bool_]) -> Known:
        """Those rows only."""
        return Known(self.rows[kept], self.predicted[kept], self.targets[kept], self.is_labelled)


def known(audit: Audit) -> Known:
    """What an audit knows of its rows."""
    table = audit.table(["row", "predicted", "label", "error"])
    table = table.filter(table["error"].is_null())
    predicted = table["predicted"].to_numpy().astype(np.int64)
    labels = table["label"].fill_null(-1).to_numpy()
    targets = np.where(labels < 0, predicted, labels).astype(np.int64)
    return Known(table["row"].to_numpy(), predicted, targets, bool((labels >= 0).all()))


@dataclass(frozen=True, eq=False)
class Material:
    """Pictures that carry an artefact, others that do not, and the one put into the other.

    Attributes:
        class_id: the class that the artefact speaks for.
        frames: (N, H, W, 3), pictures outside the group, as far as is known without the artefact.
        targets: (N,), their classes.
        predicted: (N,), what was decided.
        members: (M, H, W, 3), pictures of the group.
        member_targets: (M,).
        cells: (M, h, w), where what sets the group apart lies in each of these.
        hosts: (T,), which of `frames`, of other classes, get the region of a member.
        donors: (T,), which of `members` it is cut from.
        share: of all pictures, those of the class, the group's too.
        is_labelled: whether targets are true classes, not former decisions.
        is_added: (M,), of which members the region is only added to other pictures, not pasted
            over them.
    """

    class_id: int
    frames: Frames
    targets: Tensor
    predicted: Tensor
    members: Frames
    member_targets: Tensor
    cells: Cells
    hosts: Tensor
    donors: Tensor
    share: float
    is_added: Tensor
    is_labelled: bool = True

    def transplanted(self, count: int | None = None) -> Frames:
        """Each host, or the first ones, with the region of its donor, (T, H, W, 3)."""
        return self.given(self.hosts[:count].numpy(), self.donors[:count].numpy())

    def given(self, hosts: Numbers, donors: Numbers) -> Frames:
        """Some of `frames` with the regions of some members, (T, H, W, 3)."""
        return self._put(self.frames[hosts], self.members[donors], donors)

    def covered(self) -> Frames:
        """Each host with as much of another host in the same place: what pasting alone does."""
        hosts = self.hosts.numpy()
        others = self.frames[np.roll(hosts, 1)]
        return self._put(self.frames[hosts], others, self.donors.numpy())

    def _put(self, hosts: Frames, contents: Frames, donors: Numbers) -> Frames:
        """What lies in the region of each donor, of the contents, put into a host."""
        cells, is_added = self.cells[donors], self.is_added[donors].numpy()
        put = transplanted(hosts, contents, cells)
        put[is_added] = added(hosts[is_added], contents[is_added], cells[is_added])
        return put


@dataclass(frozen=True)
class Sizes:
    """How many pictures a material has at most.

    Attributes:
        plain: outside the group.
        members: of the group.
        transplanted: hosts.
    """

    plain: int
    members: int
    transplanted: int


FITTING = Sizes(12_000, 2_000, 5_000)
MEASURING = Sizes(8_000, 1_000, 2_500)


def halves(audit: Audit, seed: int, share: float = HELD_OUT) -> tuple[Known, Known]:
    """The rows of an audit that a repair is made from, and those that it is measured on."""
    every = known(audit)
    order = np.random.default_rng([seed, 1]).permutation(len(every.rows))
    is_held = order < round(share * len(order))
    return every[~is_held], every[is_held]


def gather(
    revisit: Revisit, of: Known, group: Sequence[int], class_id: int, sizes: Sizes, seed: int
) -> Material:
    """Read the pictures, and find where what sets the group apart lies.

    Args:
        revisit: the network, and the audit whose rows they are.
        of: the rows that may be used.
        group: rows of the group; those of `of` are used.
        class_id: that its evidence speaks for.
        sizes: how many at most.
        seed: of the choice.

    Raises:
        DataError: there are too few members, or pictures of other classes; and see
            `Revisit.frames`.
        ImageError: a picture cannot be read any more.
    """
    rng = np.random.default_rng([seed, 2])
    is_member = np.isin(of.rows, np.asarray(group))
    most = _room(revisit)
    inside = _some(rng, of[is_member], min(sizes.members, most // 4))
    outside = _some(rng, of[~is_member], min(sizes.plain, most))
    others = np.flatnonzero(outside.targets != class_id)
    _require_enough(revisit, len(inside.rows), len(others))
    members, frames = _read(revisit, inside.rows), _read(revisit, outside.rows)
    beside = frames[outside.predicted == class_id][:BESIDE]
    cells = regions(apart_maps(revisit, members, beside, class_id))
    hosts = rng.permutation(others)[: min(sizes.transplanted, most // 2)]
    with_region = np.flatnonzero(cells.any(2).any(1).numpy())
    _require_enough(revisit, len(with_region), len(others))
    pasted = Material(
        class_id,
        frames,
        torch.from_numpy(outside.targets),
        torch.from_numpy(outside.predicted),
        members,
        torch.from_numpy(inside.targets),
        cells,
        torch.from_numpy(hosts),
        torch.from_numpy(rng.choice(with_region, len(hosts))),
        float((of.targets == class_id).mean()),
        torch.zeros(len(members), dtype=torch.bool),
        of.is_labelled,
    )
    how_many = (translucence(revisit, pasted) - OPAQUE) / (1 - OPAQUE)
    return replace(pasted, is_added=torch.from_numpy(rng.random(len(members)) < how_many))


def translucence(revisit: Revisit, material: Material) -> float:
    """The share of an artefact's effect that what stands out in its regions has alone, 0 to 1.

    It is measured by decisions for the class, once all of the region was pasted into other
    pictures, and once only what stands out in it was added. Near 0 the artefact is opaque: its
    colour and area speak; near 1 it is translucent: its details do, on whatever ground. In between
    it may be either: a square of a strong colour stands out, and letters have an area.
    """
    some = replace(material, hosts=material.hosts[:TRIED], donors=material.donors[:TRIED])
    all_of_it, stands_out = (
        _turned(revisit, replace(some, is_added=is_added).transplanted(), material.class_id)
        for is_added in (torch.zeros_like(material.is_added), torch.ones_like(material.is_added))
    )
    return min(1.0, stands_out / all_of_it) if all_of_it > 0 else 0.0


def _turned(revisit: Revisit, frames: Frames, class_id: int) -> float:
    decided = torch.cat([ran.logits.argmax(1) for ran in runs(revisit, frames)])
    return float((decided == class_id).float().mean())


def _room(revisit: Revisit) -> int:
    width, height = revisit.classifier.preprocess.size
    return max(4 * FEWEST, BYTES // (3 * width * height))


def _some(rng: np.random.Generator, of: Known, count: int) -> Known:
    kept = np.zeros(len(of.rows), dtype=bool)
    kept[rng.permutation(len(of.rows))[:count]] = True
    return of[kept]


def _require_enough(revisit: Revisit, members: int, others: int) -> None:
    if min(members, others) < FEWEST:
        raise DataError(
            f"audit {revisit.audit.folder}",
            expected=f"{FEWEST} pictures of the group with evidence, and {FEWEST} of other classes",
            got=f"{members} and {others}",
            fix="take a larger group, or an audit of more pictures",
        )


def _read(revisit: Revisit, rows: Numbers) -> Frames:
    size = revisit.batch_size
    parts = [revisit.frames(rows[i : i + size].tolist()) for i in range(0, len(rows), size)]
    return np.concatenate(parts)


# Through the network


def runs(revisit: Revisit, frames: Frames) -> Iterator[Ran]:
    """Pictures through the network, a batch at a time."""
    size = revisit.batch_size
    for start in range(0, len(frames), size):
        yield revisit.run(revisit.inputs(frames[start : start + size]))


def pooled_features(revisit: Revisit, frames: Frames) -> Tensor:
    """(N, K): the mean over positions."""
    return torch.cat([pooled(ran.features) for ran in runs(revisit, frames)])


def apart_maps(revisit: Revisit, members: Frames, beside: Frames, class_id: int) -> Tensor:
    """Where in each picture of a group that lies which sets it apart, (M, h, w).

    It is the discriminant of pooled features between the group and the class's other pictures, as
    in a proof, less what these have in the same place in the mean. What the class looks like is not
    in it: a ship's hull speaks for "ship" as its watermark does, and belongs to all of them.

    Args:
        revisit: the network.
        members: (M, H, W, 3).
        beside: (R, H, W, 3), of the class, but not of the group. Where there are hardly any,
            nothing can be told apart, and the evidence for the class has to do.
        class_id: the class.
    """
    if min(len(members), len(beside)) < FEWEST:
        return class_maps(revisit, members, class_id)
    apart = discriminant(*(pooled_features(revisit, each) for each in (members, beside)))
    usual = _maps(revisit, beside, apart).mean(0)
    return _maps(revisit, members, apart) - usual


def class_maps(revisit: Revisit, frames: Frames, class_id: int) -> Tensor:
    """The evidence for one class, (N, h, w), in logits."""
    return _maps(revisit, frames, revisit.weight[class_id])


def _maps(revisit: Revisit, frames: Frames, direction: Tensor) -> Tensor:
    """Where a direction (K,) of the features lies, (N, h, w)."""
    row = direction[None, None]
    return torch.cat([evidence_maps(row, ran.features)[:, 0] for ran in runs(revisit, frames)])


def decided_maps(revisit: Revisit, frames: Frames) -> Tensor:
    """The evidence for what is decided, (N, h, w), in logits."""
    every = runs(revisit, frames)
    rows = ((revisit.weight[ran.logits.argmax(1), None], ran.features) for ran in every)
    return torch.cat([evidence_maps(row, features)[:, 0] for row, features in rows])
