"""A model of which every faithfulness score can be worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """Two logits: `sum of weight * pixel`, and its negative or 0."""

    def __init__(self, weight: Tensor, other: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.other = other

    def forward(self, x: Tensor) -> Tensor:
        logit = (x * self.weight).sum((1, 2, 3))
        return torch.stack([logit, self.other * logit], 1)


class Share(nn.Module):
    """The probability of class 0 is the mean of the pixels, which are between 0 and 1."""

    def forward(self, x: Tensor) -> Tensor:
        share = x.mean((1, 2, 3)).clamp(1e-7, 1 - 1e-7)
        return torch.stack([share, 1 - share], 1).log()


class Tiny(nn.Module):
    """A small net with everything that is awkward: batch norm, dropout, ReLUs in place."""

    def __init__(self, classes: int = 4, channels: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv, self.norm = nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.relu, self.dropout = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.fc = nn.Linear(6, classes)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        features = self.relu(self.norm(self.conv(x))).mean((2, 3))
        logits: Tensor = self.fc(self.dropout(features))
        return logits
