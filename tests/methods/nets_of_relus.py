"""One little network, its ReLUs written in every way that people write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Callable[[Tensor], Tensor]


class ReluNet(nn.Module):
    """Two convolutions with batch norm, max pooling, a dense layer; three ReLUs."""

    def __init__(self, activations: list[Activation]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        self.dense = nn.Linear(8, 8)
        self.last = nn.Linear(8, 5)
        self.modules_ = nn.ModuleList(a for a in activations if isinstance(a, nn.Module))
        self.activations = activations
        assert self.norm.running_mean is not None
        for tensor in (*self.parameters(), self.norm.running_mean):
            nn.init.normal_(tensor, std=0.5, generator=generator)
        assert self.norm.running_var is not None
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        one, two, three = self.activations
        x = F.max_pool2d(one(self.norm(self.first(x))), 2)
        x = two(self.second(x)).mean((2, 3))
        logits: Tensor = self.last(three(self.dense(x)))
        return logits


def separate() -> ReluNet:
    """A module for each ReLU, none in place: what Captum asks for."""
    return ReluNet([nn.ReLU(), nn.ReLU(), nn.ReLU()])


def thrice(activation: Activation) -> Callable[[], ReluNet]:
    return lambda: ReluNet([activation] * 3)


# Each computes what `separate` does.
WRITTEN: dict[str, Callable[[], ReluNet]] = {
    "separate modules": separate,
    "one module, used three times": lambda: ReluNet([nn.ReLU()] * 3),
    "modules in place": lambda: ReluNet([nn.ReLU(inplace=True) for _ in range(3)]),
    "one module in place": lambda: ReluNet([nn.ReLU(inplace=True)] * 3),
    "F.relu": thrice(F.relu),
    "F.relu in place": thrice(lambda x: F.relu(x, inplace=True)),
    "torch.relu": thrice(torch.relu),
    "torch.relu_": thrice(torch.relu_),
    "Tensor.relu": thrice(lambda x: x.relu()),
    "Tensor.relu_": thrice(lambda x: x.relu_()),
    "clamp(min=0)": thrice(lambda x: x.clamp(min=0)),
    "clamp_min_": thrice(lambda x: x.clamp_min_(0)),
    "clip": thrice(lambda x: torch.clip(x, 0.0)),
    "threshold": thrice(lambda x: F.threshold(x, 0.0, 0.0)),
    "hardtanh from 0": thrice(lambda x: F.hardtanh(x, 0.0, 1e9)),
    "ReLU on a view, in place": thrice(lambda x: F.relu(x.flatten(), inplace=True).view(x.shape)),
    "relu_ on a view": thrice(lambda x: x.view(-1).relu_().view(x.shape)),
    "clamp_ on a view": thrice(lambda x: x.flatten().clamp_(0, 1e9).view(x.shape)),
    "hardtanh_ on a view": thrice(lambda x: F.hardtanh_(x.flatten(), 0, 1e9).view(x.shape)),
}
