"""A small data set that can be learned in seconds, and networks of one's own to learn it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("bright", "dark", "striped")

NETS = """
import torch
from torch import nn
from torch.nn import functional as F


class Normed(nn.Module):
    "BatchNorm and dropout: all that makes it hard to go on exactly."

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        return self.linear(self.dropout(F.relu(self.norm(self.conv(x))).mean((2, 3))))


class Plain(nn.Module):
    "No norm and no dropout: its gradient is the mean over its pictures."

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        return self.linear(F.relu(self.conv(x)).mean((2, 3)))


class Dense(nn.Module):
    "Convolution, flatten, dense: what to_gap is for."

    def __init__(self, classes=3):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.classifier = nn.Linear(8 * 8 * 8, classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def dense_five():
    return Dense(5)


class Slow(Normed):
    def forward(self, x):
        import time
        time.sleep(0.02)
        return super().forward(x)
"""


def lay_out(folder: Path, *, train: int = 24, test: int = 8, side: int = 16) -> Path:
    """Write a data set with a folder for each class, `train` + `test` pictures a class.

    Returns:
        The data set; `nets.py` lies beside it.
    """
    (folder / "nets.py").write_text(NETS, encoding="utf-8")
    for part, count in (("train", train), ("test", test)):
        for number, name in enumerate(CLASSES):
            place = folder / "data" / part / name
            place.mkdir(parents=True)
            for index in range(count):
                seed = 1000 * number + index + (500 if part == "test" else 0)
                picture(name, seed=seed, side=side).save(place / f"{index:03}.png")
    return folder / "data"


def picture(name: str, *, seed: int = 0, side: int = 16) -> Image.Image:
    """A noisy picture of a class."""
    random = np.random.default_rng(seed)
    level = {"bright": 180.0, "dark": 70.0, "striped": 125.0}[name]
    pixels = random.normal(level, 25, (side, side, 3))
    if name == "striped":
        pixels[::2] += 60
        pixels[1::2] -= 60
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
