"""Networks with grids of several widths, for what `refine` looks for in them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two convolutions and a shortcut, one ReLU module for both, in place."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, channels, 3, stride, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, channels, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.second(self.relu(self.first(x)))
        out += self.shortcut(x)
        result: Tensor = self.relu(out)
        return result


class Pyramid(nn.Module):
    """Grids of 1, 1/2, 1/4 and 1/8 of the picture's sides; GAP and one linear layer."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 1, 1)
        self.blocks = nn.Sequential(Block(4, 6, 2), Block(6, 8, 2), Block(8, 12, 2))
        self.fc = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(F.relu(self.stem(x)))
        logits: Tensor = self.fc(features.mean((2, 3)))
        return logits


class Padding(nn.Module):
    """Widens, pads and strides, as MobileNets do: what is padded lies on no grid of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(3, 4, 1)
        self.wide = nn.Conv2d(4, 16, 1)
        self.strided = nn.Conv2d(16, 8, 3, 2)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self.wide(self.narrow(x)))
        logits: Tensor = self.fc(self.strided(F.pad(wide, (0, 1, 0, 1))).mean((2, 3)))
        return logits


def seeded(net: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return net.eval()


def pictures(side: int = 32, batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))
