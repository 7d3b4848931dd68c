"""GoogLeNet with global average pooling on a grid of 14 x 14.

C. Szegedy et al., "Going Deeper with Convolutions" (CVPR 2015, arXiv:1409.4842), table 1: inception
modules look at the same maps through kernels of 1, 3 and 5 and a pooling, and put the results side
by side. GoogLeNet ends in GAP by itself, on a grid of 7 x 7; GoogLeNet-GAP drops everything behind
inception 4e, the auxiliary classifiers too, and has `gap_head` in its place, for a grid of 14 x 14
from pictures of 224 x 224 (Zhou et al. 2016, section 3).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seewhy.models.trunk_and_head import gap_head, join


@dataclass(frozen=True)
class Widths:
    """A row of table 1: the channels of a module's convolutions, in the table's order."""

    one: int
    reduce3: int
    three: int
    reduce5: int
    five: int
    pooled: int

    @property
    def outputs(self) -> int:
        """Channels of the module's result."""
        return self.one + self.three + self.five + self.pooled


INCEPTIONS = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
}


def googlenet_gap(num_classes: int = 1000) -> nn.Sequential:
    """Pictures (batch, 3, 224, 224) to logits, by maps of 14 x 14."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=_stem())
    inputs = 192
    for name, widths in INCEPTIONS.items():
        if name == "4a":
            layers["pool3"] = _halve()
        layers[f"inception{name}"] = Inception(inputs, widths)
        inputs = widths.outputs
    return join(nn.Sequential(layers), gap_head(inputs, num_classes))


class Inception(nn.Module):
    """Maps (batch, inputs, height, width) to maps of the same grid, `widths.outputs` of them."""

    def __init__(self, inputs: int, widths: Widths) -> None:
        super().__init__()
        self.one = _conv(inputs, widths.one, 1)
        self.three = nn.Sequential(
            _conv(inputs, widths.reduce3, 1), _conv(widths.reduce3, widths.three, 3)
        )
        self.five = nn.Sequential(
            _conv(inputs, widths.reduce5, 1), _conv(widths.reduce5, widths.five, 5)
        )
        self.pooled = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), _conv(inputs, widths.pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the four results side by side."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], dim=1)


def _stem() -> nn.Sequential:
    """Everything before the first inception module: a grid of an eighth, 192 maps (figure 3)."""
    layers = {
        "conv1": _conv(3, 64, 7, stride=2),
        "pool1": _halve(),
        "norm1": nn.LocalResponseNorm(5),
        "reduce2": _conv(64, 64, 1),
        "conv2": _conv(64, 192, 3),
        "norm2": nn.LocalResponseNorm(5),
        "pool2": _halve(),
    }
    return nn.Sequential(OrderedDict(layers))


def _halve() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _conv(inputs: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, channels, kernel, stride, padding=kernel // 2)
    return nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU()))
