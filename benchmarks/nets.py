"""The networks that the benchmarks run, and the memory format that suits each contender."""

from __future__ import annotations

import argparse
import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn

from benchmarks.timing import Contender, race
from benchmarks.zoo import calibrate

register_torchvision_schemas()  # before a peer imports torchvision

SIZE = 224
FORMATS = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}


@dataclass(frozen=True)
class Net:
    """A network, and the two layers that the peers have to be told.

    Attributes:
        name: for people.
        build: makes it, in evaluation mode.
        target: the module that gives the feature maps.
        classifier: the linear layer.
    """

    name: str
    build: Callable[[], nn.Module]
    target: str
    classifier: str


def _random(name: str) -> nn.Module:
    """A network of torchvision: random weights, whose speed is that of trained ones."""
    import torchvision

    torch.manual_seed(0)
    model: nn.Module = torchvision.models.get_model(name, weights=None)
    calibrate(model, pictures(8))
    return model


def _lite0() -> nn.Module:
    from seewhy import load_model

    return load_model("efficientnet-lite0").module


NETS = (
    Net("ResNet-18", functools.partial(_random, "resnet18"), "layer4.1", "fc"),
    Net("ResNet-50", functools.partial(_random, "resnet50"), "layer4.2", "fc"),
    Net("MobileNetV2", functools.partial(_random, "mobilenet_v2"), "features.18", "classifier.1"),
    Net("EfficientNet-Lite0", _lite0, "top", "fc"),
)


def main(rows: Callable[..., Iterator[str]]) -> None:
    """Print a benchmark's table; of some networks, if they are named."""
    parser = argparse.ArgumentParser()
    names = [net.name for net in NETS]
    parser.add_argument("--net", action="append", choices=names, help="all, if none; several may")
    parser.add_argument("--quick", action="store_true", help="a short look")
    options = parser.parse_args()
    nets = [net for net in NETS if net.name in (options.net or names)]
    for line in rows(quick=options.quick, nets=nets):
        print(line, flush=True)


def pictures(batch: int) -> Tensor:
    """A batch of noise (B, 3, 224, 224), the same each time."""
    return torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(batch))


@dataclass(frozen=True)
class Placed:
    """A contender in the memory format that suits it, with the copies that it runs on."""

    layout: str
    model: nn.Module
    images: Tensor
    contender: Contender


def in_faster_format(
    make: Callable[[nn.Module, Tensor], Contender], model: nn.Module, images: Tensor
) -> Placed:
    """Make a contender in every memory format, try them, and keep the fastest."""
    places = {layout: _placed(layout, make, copy.deepcopy(model), images) for layout in FORMATS}
    trial = race({name: place.contender for name, place in places.items()}, seconds=2, rounds=3)
    return places[trial.fastest()]


def _placed(
    layout: str, make: Callable[[nn.Module, Tensor], Contender], model: nn.Module, images: Tensor
) -> Placed:
    for weight in (*model.parameters(), *model.buffers()):
        if weight.ndim == 4:
            weight.data = weight.data.to(memory_format=FORMATS[layout])
    images = images.to(memory_format=FORMATS[layout])
    return Placed(layout, model, images, make(model, images))
