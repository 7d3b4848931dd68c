"""AlexNet with global average pooling, and a small AlexNet for 32 x 32 with either head.

A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks" (NeurIPS 2012), section 3.5: five convolutions, three of them in two groups that do not
see each other; local response normalisation (section 3.3) and overlapping pooling (section 3.4).
AlexNet-GAP is this without anything behind conv5, with `gap_head` in its place: a grid of 13 x 13
for pictures of 227 x 227 (Zhou et al. 2016, section 3). Their AlexNet*-GAP has two more
convolutions and is not built here.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from seewhy.models.trunk_and_head import Head, dense_head, gap_head, join

# The one-tower widths of A. Krizhevsky, "One weird trick" (arXiv:1404.5997), halved.
SMALL = (32, 96, 192, 128, 128)


def alexnet_gap(num_classes: int = 1000) -> nn.Sequential:
    """Pictures (batch, 3, 227, 227) to logits, by maps of 13 x 13."""
    return join(_trunk(), gap_head(256, num_classes))


def small_alexnet(num_classes: int = 10, head: Head = "dense") -> nn.Sequential:
    """Pictures (batch, 3, 32, 32) to logits, with a head as published or with GAP.

    Five convolutions as in the large one, without groups and normalisation, on grids of 32, 16 and
    8. Both heads follow the same trunk, which ends in maps of 8 x 8 behind conv5; the dense one
    pools them to 4 x 4 first, as AlexNet does. Hidden layers have an eighth of the published units,
    the convolution of the GAP head a quarter.
    """
    if head == "gap":
        return join(_small_trunk(), gap_head(SMALL[-1], num_classes, width=256))
    dense = dense_head(SMALL[-1] * 4 * 4, num_classes, width=512)
    return join(_small_trunk(), nn.Sequential(OrderedDict(pool5=_halve(), dense=dense)))


def _trunk() -> nn.Sequential:
    layers = {
        "conv1": nn.Conv2d(3, 96, 11, stride=4),
        "relu1": nn.ReLU(),
        "norm1": _response_norm(),
        "pool1": nn.MaxPool2d(3, stride=2),
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=2),
        "relu2": nn.ReLU(),
        "norm2": _response_norm(),
        "pool2": nn.MaxPool2d(3, stride=2),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=2),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=2),
        "relu5": nn.ReLU(),
    }
    return nn.Sequential(OrderedDict(layers))


def _response_norm() -> nn.Module:
    """Section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75; PyTorch divides alpha by n."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def _small_trunk() -> nn.Sequential:
    first, second, third, fourth, fifth = SMALL
    layers = {
        "conv1": nn.Conv2d(3, first, 5, padding=2),
        "relu1": nn.ReLU(),
        "pool1": _halve(),
        "conv2": nn.Conv2d(first, second, 5, padding=2),
        "relu2": nn.ReLU(),
        "pool2": _halve(),
        "conv3": nn.Conv2d(second, third, 3, padding=1),
        "relu3": nn.ReLU(),
        "conv4": nn.Conv2d(third, fourth, 3, padding=1),
        "relu4": nn.ReLU(),
        "conv5": nn.Conv2d(fourth, fifth, 3, padding=1),
        "relu5": nn.ReLU(),
    }
    return nn.Sequential(OrderedDict(layers))


def _halve() -> nn.Module:
    """Overlapping pooling, padded so that even grids are halved exactly."""
    return nn.MaxPool2d(3, stride=2, padding=1)
