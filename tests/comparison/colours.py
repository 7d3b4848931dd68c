"""A classifier of colours whose maps are known: red, green, blue and dark, pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

NAMES = ("red", "green", "blue", "dark")
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "dark": (0, 0, 0)}
SIDE = 8


class Colours(nn.Module):
    """A feature for each channel, one for the lack of all; the logits are 20 times their means."""

    def __init__(self, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.conv, self.activation = nn.Conv2d(3, 4, 1), activation or nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.cat([torch.eye(3), -torch.ones(1, 3)])[:, :, None, None])
            self.conv.bias = nn.Parameter(torch.tensor([0.0, 0.0, 0.0, 1.0]))
            self.fc.weight.copy_(20 * torch.eye(4))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.activation(self.conv(x)).mean((2, 3)))
        return logits


class Flat(nn.Module):
    """The same classes by a dense layer over all pixels: only for one size, and without ReLU."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(3 * SIDE * SIDE, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(F.silu(x).flatten(1))
        return logits


def classifier(
    module: nn.Module | None = None, names: tuple[str, ...] | None = NAMES
) -> Classifier:
    raw = Preprocess((SIDE, SIDE), 1.0, "squash", "nearest", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Classifier("colours", (module or Colours()).eval(), raw, names, 4)


def plain(name: str) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), COLOURS[name])


def halves(left: str, right: str, *, share: float = 0.5) -> Image.Image:
    """A picture of two colours, side by side."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, : round(SIDE * share)] = COLOURS[left]
    pixels[:, round(SIDE * share) :] = COLOURS[right]
    return Image.fromarray(pixels)
