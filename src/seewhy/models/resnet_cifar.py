"""ResNet-20, 32, 44, 56 for pictures of 32 x 32: three stages of n pairs of convolutions.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition" (CVPR 2016,
arXiv:1512.03385), section 4.2: a 3x3 convolution, stages of 16, 32 and 64 channels on grids of 32,
16 and 8, global average pooling, one linear layer: 6n + 2 layers with weights. Table 6 has the
parameters, 0.27, 0.46, 0.66 and 0.85 million with 10 classes, and the errors.

Where the channels double, the shortcut has to change its shape (section 3.3): option A strides and
pads with zero channels, and is what the paper uses on CIFAR; option B projects by a 1x1
convolution. The paper does not say where the zeros go: half before and half after, as in the
widespread third-party code, whose checkpoints (`conv1`, `layer1.0.bn1`, `linear`) fit by name.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.models.initialise import initialise

STAGES = (16, 32, 64)

Option = Literal["A", "B"]


def resnet(depth: int, num_classes: int = 10, option: Option = "A") -> ResNet:
    """Return an untrained network.

    Args:
        depth: layers with weights, 6n + 2: 20, 32, 44, 56 in the paper.
        num_classes: number of logits.
        option: the shortcuts where the channels double.
    """
    assert depth % 6 == 2, f"depth {depth} is not 6n + 2"
    return initialise(ResNet((depth - 2) // 6, num_classes, option))


class ResNet(nn.Module):
    """Pictures (batch, 3, height, width) to logits (batch, num_classes); any size.

    Args:
        blocks: residual blocks in each stage, the paper's n.
        num_classes: number of logits.
        option: the shortcuts where the channels double.
    """

    def __init__(self, blocks: int, num_classes: int, option: Option) -> None:
        super().__init__()
        self.conv1 = _conv3x3(3, STAGES[0])
        self.bn1 = nn.BatchNorm2d(STAGES[0])
        self.layer1 = _stage(STAGES[0], STAGES[0], blocks, option)
        self.layer2 = _stage(STAGES[0], STAGES[1], blocks, option)
        self.layer3 = _stage(STAGES[1], STAGES[2], blocks, option)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(STAGES[2], num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits."""
        x = F.relu(self.bn1(self.conv1(pictures)))
        features = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(self.pool(features).flatten(1))
        return logits


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut around them; `stride` 2 goes with new channels."""

    def __init__(self, inputs: int, channels: int, option: Option) -> None:
        super().__init__()
        stride = 1 if inputs == channels else 2
        self.conv1 = _conv3x3(inputs, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity() if stride == 1 else _SHORTCUTS[option](inputs, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of `channels` channels, the grid divided by the stride."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class PaddedShortcut(nn.Module):
    """Option A: every second row and column, and channels of zeros. It has no parameters."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.before = (channels - inputs) // 2
        self.after = channels - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        """Return x on half the grid, with zero channels before and after its own."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


def _projected_shortcut(inputs: int, channels: int) -> nn.Module:
    """Option B: a 1x1 convolution of stride 2, with its norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, channels, 1, stride=2, bias=False), nn.BatchNorm2d(channels)
    )


_SHORTCUTS = {"A": PaddedShortcut, "B": _projected_shortcut}


def _stage(inputs: int, channels: int, blocks: int, option: Option) -> nn.Sequential:
    later = (Block(channels, channels, option) for _ in range(blocks - 1))
    return nn.Sequential(Block(inputs, channels, option), *later)


def _conv3x3(inputs: int, channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
