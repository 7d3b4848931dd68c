"""Nets for sequences and volumes, as the papers have them but smaller.

FCN: Wang, Yan and Oates, Time Series Classification from Scratch with Deep Neural Networks, 2017.
InceptionTime: Ismail Fawaz et al., InceptionTime: Finding AlexNet for Time Series, 2020.
3D ResNet: Hara et al., Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs, CVPR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fcn(channels: int = 2, classes: int = 3) -> nn.Module:
    """Three convolutions over time, each normalised, then average pooling and one linear layer."""
    widths, kernels = (channels, 16, 24, 16), (7, 5, 3)
    blocks = [
        nn.Sequential(nn.Conv1d(a, b, kernel, padding="same"), nn.BatchNorm1d(b), nn.ReLU())
        for a, b, kernel in zip(widths, widths[1:], kernels, strict=False)
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, classes))


class Inception(nn.Module):
    """A bottleneck, three long convolutions side by side, and a pooled one beside them."""

    def __init__(self, inputs: int, width: int = 4) -> None:
        super().__init__()
        self.bottleneck = nn.Conv1d(inputs, width, 1, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding="same", bias=False) for kernel in (39, 19, 9)
        )
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(inputs, width, 1, bias=False))
        self.norm = nn.BatchNorm1d(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.bottleneck(x)
        beside = [conv(narrow) for conv in self.convs]
        joined: Tensor = self.norm(torch.cat([*beside, self.pooled(x)], 1)).relu()
        return joined


class InceptionTime(nn.Module):
    """Inception modules with a shortcut over all of them, then average pooling."""

    def __init__(self, channels: int = 2, classes: int = 3) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Inception(n) for n in (channels, 16, 16)))
        self.shortcut = nn.Sequential(nn.Conv1d(channels, 16, 1), nn.BatchNorm1d(16))
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = (self.blocks(x) + self.shortcut(x)).relu()
        logits: Tensor = self.fc(features.mean(2))
        return logits


class Block3d(nn.Module):
    """Two convolutions and a shortcut; the one in-place ReLU is shared, as in torchvision's."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm3d(outputs)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential(
            nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        output: Tensor = self.relu(inner + self.shortcut(x))
        return output


def resnet3d(classes: int = 3) -> nn.Module:
    """A stem and two residual blocks, then average pooling and one linear layer."""
    stem = [nn.Conv3d(1, 8, 3, padding=1, bias=False), nn.BatchNorm3d(8), nn.ReLU(inplace=True)]
    blocks = [Block3d(8, 8, 1), Block3d(8, 16, 2)]
    tail = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, classes)]
    return nn.Sequential(*stem, *blocks, *tail)
