"""The nets that can be trained here, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from seewhy.models.alexnet import alexnet_gap, small_alexnet
from seewhy.models.googlenet import googlenet_gap
from seewhy.models.network_in_network import network_in_network
from seewhy.models.resnet_cifar import Option, resnet
from seewhy.models.vgg import small_vgg, vgg16_gap
from seewhy.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess, crop_share

# ImageNet's statistics for 32 x 32, too: nothing here is special about one data set.
SMALL = Preprocess((32, 32), 1.0, "squash", "bicubic", IMAGENET_MEAN, IMAGENET_STD)
LARGE = Preprocess((224, 224), crop_share(224, 256), "crop")


@dataclass(frozen=True)
class Net:
    """A network without weights.

    Attributes:
        build: makes it for a number of classes, with random weights from torch's generator.
        preprocess: how its pictures are prepared.
        summary: what it is, in a few words.
        num_classes: number of logits that its paper gave it.
    """

    build: Callable[[int], nn.Module]
    preprocess: Preprocess
    summary: str
    num_classes: int = 10


def _resnets() -> dict[str, Net]:
    options: dict[str, Option] = {"": "A", "-b": "B"}
    return {
        f"resnet{depth}{suffix}": Net(
            partial(resnet, depth, option=option),
            SMALL,
            f"ResNet-{depth} for 32 x 32, shortcuts of option {option} (He et al. 2016)",
        )
        for suffix, option in options.items()
        for depth in (20, 32, 44, 56)
    }


NETS: dict[str, Net] = {
    **_resnets(),
    "nin": Net(
        network_in_network,
        SMALL,
        "Network in Network: a map for each class, averaged (Lin et al. 2014)",
    ),
    "alexnet-cifar": Net(
        small_alexnet, SMALL, "AlexNet for 32 x 32, flattened into two hidden layers"
    ),
    "alexnet-cifar-gap": Net(
        partial(small_alexnet, head="gap"), SMALL, "the same convolutions, then GAP"
    ),
    "vgg-cifar": Net(
        small_vgg, SMALL, "VGG for 32 x 32, with batch norm, flattened into two hidden layers"
    ),
    "vgg-cifar-gap": Net(partial(small_vgg, head="gap"), SMALL, "the same convolutions, then GAP"),
    "alexnet-gap": Net(
        alexnet_gap,
        Preprocess((227, 227), crop_share(227, 256), "crop"),
        "AlexNet-GAP for ImageNet, maps of 13 x 13 (Zhou et al. 2016)",
        1000,
    ),
    "vgg16-gap": Net(
        vgg16_gap, LARGE, "VGG16-GAP for ImageNet, maps of 14 x 14 (Zhou et al. 2016)", 1000
    ),
    "googlenet-gap": Net(
        googlenet_gap, LARGE, "GoogLeNet-GAP for ImageNet, maps of 14 x 14 (Zhou et al. 2016)", 1000
    ),
}
