"""A short training in which the artefact stands in pictures of every class, and may not speak.

Most of each batch are pictures as they are, the class as frequent among them as in the data,
though the group is not there: else the class's other pictures would become rare. Three eighths are
pictures of other classes that were given the region of a member at random, and keep their classes;
a few are members, half of them with their region filled: the class is with the artefact as often as
without. On top of the cross-entropy, positive evidence of the class that lies on a transplanted
region costs. That term is a forward quantity: the map is the features weighed, so it needs no
second derivative, as a penalty on gradients would.

Source: transplanting and masking as in Reveal to Revise (Pahde et al. 2023) and ClArC (Anders et
    al. 2022); a penalty on where evidence lies as in right for the right reasons (Ross et al.
    2017), here on exact evidence.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import evidence, heads
from seewhy.audit.prepare import Frames
from seewhy.audit.revisit import Revisit
from seewhy.errors import TrainingError
from seewhy.observe import in_eval_mode
from seewhy.repair.material import Material, Numbers
from seewhy.repair.transplants import filled


@dataclass(frozen=True)
class Recipe:
    """How it is trained.

    Attributes:
        steps: how many.
        batch: pictures of a step.
        lr: the highest learning rate; it falls to 0 along half a cosine.
        momentum: of SGD.
        map_weight: of the evidence on the region, in logits, beside the cross-entropy.
        seed: of what is drawn.
    """

    steps: int = 300
    batch: int = 128
    lr: float = 0.003
    momentum: float = 0.9
    map_weight: float = 0.1
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures of a step.

    Attributes:
        frames: (B, H, W, 3).
        targets: (B,).
        cells: (B, h, w), where evidence of the class costs; nowhere in most.
    """

    frames: Frames
    targets: Tensor
    cells: Tensor


def finetuned(
    revisit: Revisit,
    material: Material,
    recipe: Recipe | None = None,
    progress: Callable[[int], None] | None = None,
) -> nn.Module:
    """A copy of the network, trained further; the one of `revisit` stays as it is.

    Norms keep their statistics: batches half of pasted pictures are not what is met later.

    Raises:
        TrainingError: a number overflowed.
    """
    recipe = recipe or Recipe()
    module = copy.deepcopy(revisit.classifier.module)
    module.requires_grad_(requires_grad=True)
    sgd = torch.optim.SGD(module.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, recipe.steps)
    changed = revisit.with_module(module)
    with in_eval_mode(module):
        for batch in _batches(material, recipe):
            loss = _loss(changed, batch, material.class_id, recipe.map_weight)
            _require_finite(loss)
            sgd.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            sgd.step()
            falling.step()
            if progress is not None:
                progress(1)
    return module.requires_grad_(requires_grad=False)


def _loss(revisit: Revisit, batch: Batch, class_id: int, map_weight: float) -> Tensor:
    model = revisit.classifier.module
    inputs = revisit.inputs(batch.frames).to(
        revisit.classifier.device, memory_format=torch.channels_last
    )
    logits, features = heads.run(model, revisit.head, (inputs,), {})
    wrong = F.cross_entropy(logits, batch.targets.to(logits.device))
    classes = torch.full((len(logits), 1), class_id, device=logits.device)
    rows, _ = revisit.head.rows(model, features, classes)
    maps = evidence.evidence_maps(rows, features)[:, 0]
    costs = (maps.clamp(min=0) * batch.cells.to(maps)).flatten(1).mean(1)
    return wrong + map_weight * costs.mean()


def _batches(material: Material, recipe: Recipe) -> Iterator[Batch]:
    others = np.flatnonzero((material.targets != material.class_id).numpy())
    donors = np.flatnonzero(material.cells.any(2).any(1).numpy())
    given, own = 3 * recipe.batch // 8, recipe.batch // 16
    often = _frequencies(material)
    for step in range(recipe.steps):
        rng = np.random.default_rng([recipe.seed, 3, step])
        parts = [
            _plain(material, rng.choice(len(often), recipe.batch - given - own, p=often)),
            _given(material, rng.choice(others, given), rng.choice(donors, given)),
            _own(material, rng.choice(donors, own)),
        ]
        yield Batch(
            np.concatenate([each.frames for each in parts]),
            torch.cat([each.targets for each in parts]),
            torch.cat([each.cells for each in parts]),
        )


def _frequencies(material: Material) -> Float[np.ndarray, " count"]:
    """How often each picture outside the group is drawn: the class as often as it is with it."""
    of_class = (material.targets == material.class_id).numpy()
    inside, outside = int(of_class.sum()), int((~of_class).sum())
    odds = material.share / (1 - material.share)
    ratio = max(1.0, odds * outside / inside) if inside else 1.0
    weights = np.where(of_class, ratio, 1.0)
    frequencies: Float[np.ndarray, " count"] = weights / weights.sum()
    return frequencies


def _plain(material: Material, rows: Numbers) -> Batch:
    nowhere = torch.zeros(len(rows), *material.cells.shape[1:], dtype=torch.bool)
    return Batch(material.frames[rows], material.targets[rows], nowhere)


def _given(material: Material, hosts: np.ndarray, donors: Numbers) -> Batch:
    cells = material.cells[donors]
    return Batch(material.given(hosts, donors), material.targets[hosts], cells)


def _own(material: Material, rows: Numbers) -> Batch:
    """Members, every other one with its region filled."""
    cells = material.cells[rows]
    frames = material.members[rows]
    frames[::2] = filled(frames[::2], cells[::2])
    return Batch(frames, material.member_targets[rows], cells)


def _require_finite(loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(
            "repair by finetune",
            expected="finite numbers",
            got="a NaN or an infinity in the loss",
            fix="take --how project or head",
        )
