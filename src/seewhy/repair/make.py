"""`repair`: from cheap to dear, until one holds on held-out pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.audit.revisit import Revisit
from seewhy.errors import InputError, ModelError
from seewhy.repair.account import Account, Wanted, measure, see
from seewhy.repair.finetune import Recipe, finetuned
from seewhy.repair.fold import folded, layer_of
from seewhy.repair.head import balanced, calibrated, pooled_outside, refitted
from seewhy.repair.material import (
    FITTING,
    MEASURING,
    Known,
    Material,
    gather,
    halves,
    known,
    pooled_features,
    runs,
)
from seewhy.repair.project import Linear, restored

Means = Literal["project", "head", "finetune"]
How = Literal["auto", "project", "head", "finetune"]
Say = Callable[[str], None]

PROJECTED = 0.6  # of what `project` is fitted on: pictures that carry the artefact
GIVEN = 0.3  # of what the head is fitted on: the same
HELD = 0.001  # of the squares of what the head is changed by, features scaled


@dataclass(frozen=True, eq=False)
class Fitting:
    """What repairs are made from, with its pooled features.

    Attributes:
        revisit: the network.
        material: the pictures.
        seed: of what is random.
    """

    revisit: Revisit
    material: Material
    seed: int = 0

    @cached_property
    def plain(self) -> Tensor:
        """(N, K), of pictures without the artefact."""
        return pooled_features(self.revisit, self.material.frames)

    @cached_property
    def members(self) -> Tensor:
        """(M, K), of the group."""
        return pooled_features(self.revisit, self.material.members)

    @cached_property
    def members_outside(self) -> Tensor:
        """(M, K), of the group outside its regions."""
        cells = self.material.cells.split(self.revisit.batch_size)
        passes = zip(runs(self.revisit, self.material.members), cells, strict=True)
        return torch.cat([pooled_outside(ran.features, part) for ran, part in passes])

    @cached_property
    def given(self) -> Tensor:
        """(T, K), of pictures of other classes that were given the artefact."""
        return pooled_features(self.revisit, self.material.transplanted())

    @property
    def rest(self) -> Tensor:
        """(R, K), of what is decided for the class outside the group."""
        return self.plain[self.material.predicted == self.material.class_id]

    def examples(self, members: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures as they are, the group, and every other class with the artefact.

        Args:
            members: (M, K), of the group.
            share: that the group and what was given the artefact count for; each class alike.

        Returns:
            Pooled features (N, K), classes (N,), what each counts (N,).
        """
        material = self.material
        pooled = torch.cat([self.plain, members, self.given])
        of_hosts = material.targets[material.hosts]
        labels = torch.cat([material.targets, material.member_targets, of_hosts])
        groups = (torch.arange(len(pooled)) >= len(self.plain)).long()
        return pooled, labels, balanced(labels, groups, torch.tensor([1 - share, share]))

    @cached_property
    def projected(self) -> Linear:
        """The last layer without the artefact, its gains and biases fitted."""
        material, plain = self.material, self.plain
        hosts, targets = material.hosts, material.targets
        is_given = (torch.arange(len(plain) + len(hosts)) >= len(plain)).long()
        shares = torch.tensor([1 - PROJECTED, PROJECTED])
        layer = restored(
            layer_of(self.revisit),
            torch.cat([plain, self.given]),
            torch.cat([plain, plain[hosts]]),
            balanced(torch.cat([targets, targets[hosts]]), is_given, shares),
        )
        return calibrated(layer, *self.examples(self.members, PROJECTED))


def project(fitting: Fitting) -> nn.Module:
    """Take out of the features what transplants put in, and fit a gain and a bias for each class.

    Evidence that cannot be told from the artefact is lost with it: that for its class, most of
    all, which is then decided for too rarely. Two numbers for each class make up for that.
    """
    return folded(fitting.revisit, fitting.projected)


def head(fitting: Fitting, outside: bool = False) -> nn.Module:
    """Fit the last layer again, the artefact in pictures of every class alike.

    It begins where `project` ends, and is held back to that.

    Args:
        fitting: what it is fitted on.
        outside: take the group's features pooled only outside its regions, in place of pooled
            over all.
    """
    members = fitting.members_outside if outside else fitting.members
    examples = fitting.examples(members, GIVEN)
    return folded(fitting.revisit, refitted(fitting.projected, *examples, HELD))


def finetune(fitting: Fitting) -> nn.Module:
    """Train on, the artefact in pictures of every class alike; see `finetuned`.

    It begins where `head` ends, or, where that cannot be folded in, with the network as it is.
    """
    try:
        begun = fitting.revisit.with_module(head(fitting))
    except ModelError:
        begun = fitting.revisit
    return finetuned(begun, fitting.material, Recipe(seed=fitting.seed))


MEANS: Mapping[Means, Callable[[Fitting], nn.Module]] = {
    "project": project,
    "head": head,
    "finetune": finetune,
}


@dataclass(frozen=True, eq=False)
class Repair:
    """A network that was repaired, or the best that could be done.

    Attributes:
        module: the network.
        account: before and after.
        tried: the accounts of all that was tried, this one too, from cheap to dear.
    """

    module: nn.Module
    account: Account
    tried: tuple[Account, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether it does what is wanted of it."""
        return self.account.holds


def repair(
    revisit: Revisit,
    group: Sequence[int],
    class_id: int,
    how: How = "auto",
    *,
    held_out: Revisit | None = None,
    wanted: Wanted | None = None,
    seed: int = 0,
    say: Say = lambda _: None,
) -> Repair:
    """Repair a network whose decisions for a class rest on something they should not.

    Args:
        revisit: the network and an audit's pictures, of which repairs are made.
        group: rows of the audit that are decided for the wrong reason.
        class_id: the class that they are decided for.
        how: one of `MEANS`, or "auto": one after the other until one holds.
        held_out: an audit, by the same network, of other pictures, which repairs are measured on.
            None: a quarter of `revisit` is, which is then used for nothing else.
        wanted: when a repair holds.
        seed: of what is random.
        say: told what is done.

    Returns:
        The first that holds; where none does, the one that recovers most of the cost.

    Raises:
        InputError: there is no such way.
        DataError: there are too few pictures.
        ModelError: it cannot be folded into this network.
    """
    if how not in get_args(How):
        raise InputError(
            "--how", expected=" or ".join(get_args(How)), got=repr(how), fix="choose one"
        )
    if held_out is None:
        made_from, measured_on = halves(revisit.audit, seed)
    else:
        made_from, measured_on = known(revisit.audit), known(held_out.audit)
    say("reading pictures")
    fitting = Fitting(revisit, gather(revisit, made_from, group, class_id, FITTING, seed), seed)
    other, of_group = revisit, group
    if held_out is not None:
        other, of_group = held_out, alike(fitting, held_out, measured_on)
    material = gather(other, measured_on, of_group, class_id, MEASURING, seed + 1)
    return _tried(fitting, material, how, wanted or Wanted(), say)


def _tried(fitting: Fitting, material: Material, how: How, wanted: Wanted, say: Say) -> Repair:
    say("measuring the network as it is")
    seen = see(fitting.revisit, material)
    before = measure(fitting.revisit, material, seen)
    done: list[tuple[nn.Module, Account]] = []
    for name in MEANS if how == "auto" else (how,):
        say(name)
        begun = time.perf_counter()
        module = MEANS[name](fitting)
        seconds = time.perf_counter() - begun
        changed = fitting.revisit.with_module(module)
        now = see(changed, material) if name == "finetune" else seen
        after = measure(changed, material, now)
        done.append((module, Account(name, material, before, after, wanted, seconds)))
        if done[-1][1].holds or done[-1][1].cost < wanted.cost:
            break
    accounts = tuple(account for _, account in done)
    best = max(done, key=lambda each: (each[1].holds, each[1].recovered[0]))
    return Repair(*best, accounts)


def alike(fitting: Fitting, held_out: Revisit, of: Known) -> list[int]:
    """The rows of another audit whose pictures are like the group.

    They are on its side of the linear discriminant (LDA) between the group's pooled features and
    those of the other pictures decided for its class.
    """
    class_id = fitting.material.class_id
    rows = of.rows[of.predicted == class_id]
    filters, threshold = _discriminant(fitting)
    scores = torch.from_numpy(held_out.pooled(rows.tolist())) @ filters
    found: list[int] = rows[np.asarray(scores > threshold)].tolist()
    return found


def _discriminant(fitting: Fitting) -> tuple[Tensor, Tensor]:
    group, rest = fitting.members, fitting.rest
    both = torch.cat([group - group.mean(0), rest - rest.mean(0)])
    covariance = torch.cov(both.T)
    ridge = 0.01 * covariance.diagonal().mean() * torch.eye(len(covariance))
    filters = torch.linalg.solve(covariance + ridge, group.mean(0) - rest.mean(0))
    return filters, (group.mean(0) + rest.mean(0)) @ filters / 2
