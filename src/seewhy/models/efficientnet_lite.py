"""EfficientNet-Lite 0, 1 and 2: one file, written from the papers and the published definition.

M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML
2019) gives the baseline network B0 (table 1) and the scaling by width, depth and resolution.
The Lite variants (R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow
blog, 2020) drop squeeze-and-excitation, use ReLU6 for swish, and scale neither the stem, nor the
last 1x1 convolution, nor the repeats of the first and last stage.

The network ends in global average pooling and one linear layer: its evidence maps are exact.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Config:
    """How one variant scales the baseline.

    Attributes:
        width: factor on the channels of the stages.
        depth: factor on the repeats of the stages.
        resolution: side of the square input that the variant was trained for, in pixels.
        dropout: probability before the linear layer, in training.
    """

    width: float
    depth: float
    resolution: int
    dropout: float


@dataclass(frozen=True)
class Stage:
    """A row of the baseline's table: `repeats` blocks, of which only the first strides."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


CONFIGS = {
    "efficientnet-lite0": Config(width=1.0, depth=1.0, resolution=224, dropout=0.2),
    "efficientnet-lite1": Config(width=1.0, depth=1.1, resolution=240, dropout=0.2),
    "efficientnet-lite2": Config(width=1.1, depth=1.2, resolution=260, dropout=0.3),
}
STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expansion=1, channels=16),
    Stage(repeats=2, kernel=3, stride=2, expansion=6, channels=24),
    Stage(repeats=2, kernel=5, stride=2, expansion=6, channels=40),
    Stage(repeats=3, kernel=3, stride=2, expansion=6, channels=80),
    Stage(repeats=3, kernel=5, stride=1, expansion=6, channels=112),
    Stage(repeats=4, kernel=5, stride=2, expansion=6, channels=192),
    Stage(repeats=1, kernel=3, stride=1, expansion=6, channels=320),
)
STEM_CHANNELS = 32
TOP_CHANNELS = 1280


class EfficientNetLite(nn.Module):
    """Pictures (batch, 3, height, width) to logits (batch, num_classes); any size.

    Args:
        config: the variant, one of `CONFIGS`.
        num_classes: number of logits.
    """

    def __init__(self, config: Config, num_classes: int = 1000) -> None:
        super().__init__()
        blocks = [Block(*arguments) for arguments in _plan(config)]
        self.stem = ConvNorm(3, STEM_CHANNELS, kernel=3, stride=2)
        self.blocks = nn.Sequential(*blocks)
        self.top = ConvNorm(blocks[-1].channels, TOP_CHANNELS, kernel=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(TOP_CHANNELS, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits."""
        features = self.top(self.blocks(self.stem(pictures)))
        logits: Tensor = self.fc(self.dropout(self.pool(features).flatten(1)))
        return logits


class Block(nn.Module):
    """An inverted residual: widen by 1x1, filter each channel, narrow by 1x1, add the input."""

    def __init__(
        self, inputs: int, channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.channels = channels
        self.residual = stride == 1 and inputs == channels
        self.expand = nn.Identity() if expansion == 1 else ConvNorm(inputs, wide, kernel=1)
        self.depthwise = ConvNorm(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = ConvNorm(wide, channels, kernel=1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of `channels` channels, the grid divided by the stride."""
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return out + x if self.residual else out


class ConvNorm(nn.Module):
    """Convolution padded as TensorFlow's 'SAME', batch norm and, unless switched off, ReLU6."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, channels, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        self.activation = nn.ReLU6() if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return features on a grid of ceil(size / stride)."""
        out: Tensor = self.activation(self.norm(self.conv(self._pad(x))))
        return out

    def _pad(self, x: Tensor) -> Tensor:
        if self.conv.stride == (1, 1):
            return x
        height, width = (_same(x.shape[axis], self.conv, axis) for axis in (-2, -1))
        return F.pad(x, (*width, *height))


def _same(size: int, conv: nn.Conv2d, axis: int) -> tuple[int, int]:
    """Zeros before and after an axis: 'SAME' puts the odd one after, so it depends on the size."""
    kernel, stride = conv.kernel_size[axis], conv.stride[axis]
    steps = (size + stride - 1) // stride
    total = max((steps - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _plan(config: Config) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the arguments of each block, first to last."""
    inputs = STEM_CHANNELS
    for stage in STAGES:
        fixed = stage in (STAGES[0], STAGES[-1])
        channels = _round_to_8(stage.channels * config.width)
        for repeat in range(stage.repeats if fixed else math.ceil(stage.repeats * config.depth)):
            yield (
                inputs,
                channels,
                stage.kernel,
                stage.stride if repeat == 0 else 1,
                stage.expansion,
            )
            inputs = channels


def _round_to_8(channels: float) -> int:
    """Round to a multiple of 8, but never down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


# The published checkpoints name their layers so; the norms are numbered in the order of use.
_PUBLISHED = (
    (r"\b_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
    (r"\b_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"\b_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.conv."),
    (r"\b_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"\b_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
    (r"\b_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
    (r"\b_conv_stem\.", "stem.conv."),
    (r"\b_bn0\.", "stem.norm."),
    (r"\b_conv_head\.", "top.conv."),
    (r"\b_bn1\.", "top.norm."),
    (r"\b_fc\.", "fc."),
)


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a published checkpoint to this module's names; others stay."""
    return {_rename(name): tensor for name, tensor in state.items()}


def _rename(name: str) -> str:
    for pattern, ours in _PUBLISHED:
        name, found = re.subn(pattern, ours, name)
        if found:
            break
    return name
