"""What turns gradients into weights: parameter groups, the schedule, the average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seewhy.training.recipe import Recipe


@dataclass(frozen=True)
class OneCycle:
    """The learning rate rises in a straight line to its peak and falls in one to zero.

    Source: Smith and Topin (2018), "Super-Convergence"; that a straight fall to zero does best
    where the budget is fixed is Li, Yumer and Ramanan's (2020), "Budgeted Training".

    Attributes:
        peak: the highest learning rate.
        steps: of the whole run.
        warm_up: share of them that it rises.
    """

    peak: float
    steps: int
    warm_up: float

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rising = self.warm_up * self.steps
        up = (step + 1) / (rising + 1)
        down = (self.steps - step) / (self.steps - rising)
        return self.peak * min(up, down, 1.0)


def optimiser(module: nn.Module, new: Iterable[Tensor], recipe: Recipe) -> torch.optim.SGD:
    """Return SGD over a network's parameters, in up to four groups.

    Each group has a `share`, by which the learning rate is multiplied for it.

    Args:
        module: the network; parameters that take no gradients are left out.
        new: those of its parameters that stand beside trained ones; none where all are alike.
        recipe: settled.
    """
    fresh = set(map(id, new))
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for weight in module.parameters():
        if weight.requires_grad:
            share = recipe.trunk if fresh and id(weight) not in fresh else 1.0
            decay = recipe.weight_decay if weight.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(weight)
    return torch.optim.SGD(
        [
            {"params": weights, "share": share, "weight_decay": decay}
            for (share, decay), weights in groups.items()
        ],
        lr=0.0,  # set before each step
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        fused=True,
    )


def set_lr(sgd: torch.optim.SGD, lr: float) -> None:
    """Set the learning rate of each group, by its share."""
    for group in sgd.param_groups:
        group["lr"] = lr * group["share"]


class Average:
    """The exponential moving average of a network's weights and buffers.

    Attributes:
        module: a copy of the network, in eval mode, that holds the average.
        decay: share of the old average in the new one.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self._sources, self._means = _floats(module), _floats(self.module)
        self._whole = list(zip(_wholes(module), _wholes(self.module), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network's weights as they are now."""
        torch._foreach_lerp_(self._means, self._sources, 1 - self.decay)
        for source, mean in self._whole:
            mean.copy_(source)


def decay_over(steps: int, share: float) -> float:
    """Return the decay of an average over about this share of the steps: 1 - 1 / (share steps)."""
    return max(0.0, 1 - 1 / max(share * steps, 1.0))


def _floats(module: nn.Module) -> list[Tensor]:
    return [each.detach() for each in _tensors(module) if each.is_floating_point()]


def _wholes(module: nn.Module) -> list[Tensor]:
    return [each for each in _tensors(module) if not each.is_floating_point()]


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
