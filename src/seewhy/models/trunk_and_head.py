"""A network as a trunk of convolutions and a head, and the two heads that this package is about.

`dense_head` is how AlexNet and VGG end: flatten the last maps and pass them through two hidden
layers. Where something was is lost there. `gap_head` is what B. Zhou et al., "Learning Deep
Features for Discriminative Localization" (CVPR 2016), section 3, put in its place: one more
convolution of 3x3, stride 1, pad 1, global average pooling and one linear layer, behind a trunk
without its last pooling, for a finer grid. Its evidence maps add up.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from seewhy.models.initialise import initialise

Head = Literal["dense", "gap"]


def join(trunk: nn.Module, head: nn.Module) -> nn.Sequential:
    """Return the network that is the one and then the other, with fresh weights."""
    return initialise(nn.Sequential(OrderedDict(trunk=trunk, head=head)))


def gap_head(inputs: int, num_classes: int, width: int = 1024) -> nn.Sequential:
    """Maps (batch, inputs, height, width) to logits, through `width` maps of the same grid.

    The paper names no activation; its published networks have a ReLU there.
    """
    layers = {
        "conv": nn.Conv2d(inputs, width, 3, padding=1),
        "relu": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "linear": nn.Linear(width, num_classes),
    }
    return nn.Sequential(OrderedDict(layers))


def dense_head(inputs: int, num_classes: int, width: int = 4096) -> nn.Sequential:
    """Maps of `inputs` values in all, (batch, *inputs), to logits, by two layers with dropout."""
    layers = {
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(inputs, width),
        "relu6": nn.ReLU(),
        "drop6": nn.Dropout(0.5),
        "fc7": nn.Linear(width, width),
        "relu7": nn.ReLU(),
        "drop7": nn.Dropout(0.5),
        "fc8": nn.Linear(width, num_classes),
    }
    return nn.Sequential(OrderedDict(layers))
