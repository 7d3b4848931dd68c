"""A little classifier and little pictures, for audits that take no time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

CLASSES = ("cat", "dog", "owl", "fox", "bee")
SIZE = (24, 16)


class Tiny(nn.Module):
    """Two convolutions, and then what `head` makes of (B, 8, 4, 6)."""

    def __init__(self, head: Callable[[Tiny, Tensor], Tensor], outputs: int = 5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.head = head
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, outputs)
        self.maps = nn.Conv2d(8, outputs, 1)
        self.hidden = nn.Linear(8, 8)
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.4, generator=generator)
        nn.init.normal_(self.fc.weight, std=1.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self, F.relu(self.second(F.relu(self.first(x)))))


HEADS: Mapping[str, Callable[[Tiny, Tensor], Tensor]] = {
    "linear": lambda net, x: net.fc(x.mean((2, 3))),
    "class-maps": lambda net, x: net.maps(x).mean((2, 3)),
    "normalised": lambda net, x: net.fc(F.layer_norm(x.mean((2, 3)), (8,))),
    "pooled": lambda net, x: net.fc(x.amax((2, 3))),
    "first-order": lambda net, x: net.fc(F.gelu(net.hidden(x.mean((2, 3))))),
}


def classifier(head: str = "linear", outputs: int = 5, **others: Any) -> Classifier:
    """A network of five classes that takes pictures of 24 x 16."""
    names = CLASSES if outputs == 5 else None
    preprocess = Preprocess(size=SIZE, crop=0.8)
    given = {"preprocess": preprocess, "class_names": names, "num_classes": outputs, **others}
    return Classifier("tiny", Tiny(HEADS[head], outputs).eval(), **given)


def picture(number: int, width: int = 40, height: int = 30) -> PIL.Image.Image:
    """Smooth colours, other ones for every number."""
    random = np.random.default_rng(number)
    coarse = random.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize((width, height))


def lay_out(root: Path, count: int = 10) -> Path:
    """A folder for each of three classes, with JPEGs and PNGs of several sizes."""
    for number in range(count):
        folder = root / CLASSES[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        suffix = "png" if number % 4 == 0 else "jpg"
        picture(number, 30 + number % 7, 20 + number % 5).save(folder / f"{number:04d}.{suffix}")
    return root


def content(run: Path) -> dict[str, str]:
    """What is in a store, without the time of its making."""
    shards = sorted((run / "shards").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shards}
