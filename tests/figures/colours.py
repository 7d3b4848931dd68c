"""A network that sees colours, and pictures of one colour: what it decides is known by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import nn

from seewhy.errors import ImageError
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

NAMES = ("red", "green", "blue")
Colour = tuple[int, int, int]


def network(scale: float = 10.0) -> nn.Module:
    """Logits: `scale` times the mean of each colour, 0 to 1."""
    first, last = nn.Conv2d(3, 3, 1, bias=False), nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.eye(3)[:, :, None, None])
        last.weight.copy_(scale * torch.eye(3))
    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(first, nn.ReLU(), *pool, last).eval()


def classifier(names: tuple[str, ...] | None = NAMES) -> Classifier:
    """The network with its preprocessing: 8 x 8 pixels, as they are."""
    preprocess = Preprocess((8, 8), 1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Classifier("colours", network(), preprocess, names, 3)


def probabilities(colour: Colour) -> list[float]:
    """What the network makes of a colour, by hand."""
    powers = [math.exp(10 * each / 255) for each in colour]
    return [each / sum(powers) for each in powers]


@dataclass
class Split:
    """Pictures of one colour each; those that are None are broken."""

    colours: Sequence[Colour | None]
    labels: NDArray[np.int64]
    name: str = "test"
    asked: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.colours)

    def name_of(self, index: int) -> str:
        return f"colour {index}"

    def image(self, index: int) -> Image:
        self.asked.append(index)
        colour = self.colours[index]
        if colour is None:
            raise ImageError(
                self.name_of(index), expected="a picture", got="none", fix="paint another"
            )
        return PIL.Image.new("RGB", (8, 8), colour)


@dataclass
class Data:
    """A data set of one split."""

    test: Split
    class_names: tuple[str, ...] = NAMES
    name: str = "paint"

    @property
    def train(self) -> Split:
        return Split(self.test.colours[:1], self.test.labels[:1], "train")


def palette(count: int = 60, seed: int = 0) -> Split:
    """Colours and labels at random."""
    random = np.random.default_rng(seed)
    colours = [(int(r), int(g), int(b)) for r, g, b in random.integers(0, 256, (count, 3))]
    return Split(colours, random.integers(0, 3, count))
