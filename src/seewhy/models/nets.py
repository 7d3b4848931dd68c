"""The nets that can be trained here, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from seewhy.models.resnet_cifar import Option, resnet
from seewhy.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess

# ImageNet's statistics for 32 x 32, too: nothing here is special about one data set.
SMALL = Preprocess((32, 32), 1.0, "squash", "bicubic", IMAGENET_MEAN, IMAGENET_STD)


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


NETS: dict[str, Net] = {**_resnets()}
