"""Small networks whose grids are easy, or impossible, to make finer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def seeded(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, with weights and statistics that are not trivial."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=g)
            if "var" in name:
                tensor.copy_(noise.abs() + 0.5)
            else:
                fan = tensor[0].numel() if tensor.ndim > 1 else 4
                tensor.copy_(noise * (2 / fan) ** 0.5)
    return net.eval()


def pictures(side: int = 32, *, batch: int = 2, seed: int = 0, wide: int | None = None) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, side, wide or side, generator=g)


class Net(nn.Module):
    """Layers, global average pooling, one linear layer of 5 classes."""

    def __init__(self, *layers: nn.Module, channels: int = 8) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.pool(self.trunk(x)).flatten(1))
        return logits


def plain() -> Net:
    """Two strides of two, and convolutions after each; one ReLU is used again and again, in place.

    Along each axis, the usual positions are the first of the finer ones.
    """
    relu = nn.ReLU(inplace=True)
    return Net(
        nn.Conv2d(3, 6, 3, 2, 1, bias=False),
        nn.BatchNorm2d(6),
        relu,
        nn.Conv2d(6, 6, 5, 1, 2, groups=6),
        relu,
        nn.Conv2d(6, 8, 3, 2, 1),
        relu,
        nn.Conv2d(8, 8, 3, 1, 1),
        relu,
    )


def patches() -> Net:
    """Non-overlapping patches of 4 x 4, then 1 x 1."""
    return Net(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 8, 1))


class SpaceToDepth(nn.Module):
    """Four neighbours become channels of one cell, as Swin merges patches."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x, 2)


def merging() -> Net:
    return Net(nn.Conv2d(3, 4, 3, 2, 1), SpaceToDepth(), nn.Conv2d(16, 8, 1), nn.ReLU())


class TwoWays(nn.Module):
    """A way with a stride, and a way that resizes in another manner."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(6, 8, 3, 2, 1)
        self.other = nn.Conv2d(6, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        resized = F.adaptive_avg_pool2d(self.other(x), x.shape[-1] // 2)
        out: Tensor = self.strided(x) + resized
        return out


def two_ways() -> Net:
    return Net(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), TwoWays())


class Gate(nn.Module):
    """Squeeze and excite; the pooling is one of a window as large as the grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, x.shape[2:])
        return x * torch.sigmoid(self.fc(pooled))


def gated() -> Net:
    return Net(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), Gate(8), nn.Conv2d(8, 8, 3, 1, 1))


class CachesBatch(nn.Module):
    """Remembers the batch before the stride, and insists on it afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        maps = self.conv(x)
        logits: Tensor = self.fc(maps.reshape(batch, 8, -1).mean(2))
        return logits


def literal() -> nn.Module:
    """A mean of each 2 x 2, then left minus right, then two classes: 1 x and -2 x, + 0.5 and 0."""
    net = nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(1, 1, 3, padding=1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 2),
    ).double()
    conv, fc = net[1], net[4]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(fc, nn.Linear)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 1] = torch.tensor([1.0, 0.0, -1.0])
        fc.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        fc.bias.copy_(torch.tensor([0.5, 0.0]))
    return net.eval()
