"""VGG16 with global average pooling, and a small VGG for 32 x 32 with either head.

K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(ICLR 2015, arXiv:1409.1556), table 1: stages of 3x3 convolutions, the channels doubling, with a
pooling by 2 behind each. VGG16-GAP is configuration D without anything behind conv5_3, with
`gap_head` in its place: a grid of 14 x 14 for pictures of 224 x 224 (Zhou et al. 2016, section 3).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from seewhy.models.trunk_and_head import Head, dense_head, gap_head, join

Stages = tuple[tuple[int, int], ...]

# Convolutions in each stage, and their channels.
VGG16: Stages = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
SMALL: Stages = ((2, 32), (2, 64), (3, 128))


def vgg16_gap(num_classes: int = 1000) -> nn.Sequential:
    """Pictures (batch, 3, 224, 224) to logits, by maps of 14 x 14."""
    return join(_trunk(VGG16, norm=False), gap_head(VGG16[-1][1], num_classes))


def small_vgg(num_classes: int = 10, head: Head = "dense") -> nn.Sequential:
    """Pictures (batch, 3, 32, 32) to logits, with a head as published or with GAP.

    The first three stages of VGG16 at half their width, on grids of 32, 16 and 8, with a batch norm
    behind each convolution, which the paper did not have yet: it trains without a warm start. Both
    heads follow the same trunk, which ends in maps of 8 x 8; the dense one pools them to 4 x 4
    first, as VGG does. Hidden layers have an eighth of the published units, the convolution of the
    GAP head a quarter.
    """
    channels = SMALL[-1][1]
    trunk = _trunk(SMALL, norm=True)
    if head == "gap":
        return join(trunk, gap_head(channels, num_classes, width=256))
    dense = dense_head(channels * 4 * 4, num_classes, width=512)
    return join(trunk, nn.Sequential(OrderedDict(pool=nn.MaxPool2d(2), dense=dense)))


def _trunk(stages: Stages, *, norm: bool) -> nn.Sequential:
    """Stages with poolings between them, and none behind the last."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = 3
    for stage, (repeats, channels) in enumerate(stages, start=1):
        for repeat in range(1, repeats + 1):
            layers[f"conv{stage}_{repeat}"] = nn.Conv2d(
                inputs, channels, 3, padding=1, bias=not norm
            )
            if norm:
                layers[f"norm{stage}_{repeat}"] = nn.BatchNorm2d(channels)
            layers[f"relu{stage}_{repeat}"] = nn.ReLU()
            inputs = channels
        if stage < len(stages):
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)
