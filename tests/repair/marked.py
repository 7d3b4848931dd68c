"""A little world with a wrong reason: seas are blue, woods green, and half of the seas marked red.

The network sees colours on a grid of 4 x 4 and takes red for a sign of the sea.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

from seewhy.audit.local import Wish, run
from seewhy.audit.opened import open_audit
from seewhy.audit.revisit import Revisit, revisit
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

CLASSES = ("sea", "wood")
SIDE, MARK = 16, 4


class Colours(nn.Module):
    """The mean colour of each cell, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv2d(3, 3, 4, stride=4, bias=False)
        self.fc = nn.Linear(3, 2)
        with torch.no_grad():
            self.cells.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4) / 16)
            self.fc.weight.copy_(torch.tensor([[60.0, 0.0, 5.0], [-60.0, 5.0, 0.0]]))
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.fc(self.cells(x).mean((2, 3)))
        return pooled


def classifier() -> Classifier:
    """Decides between sea and wood."""
    preprocess = Preprocess(size=(SIDE, SIDE), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Classifier("colours", Colours().eval(), preprocess, CLASSES, 2)


def picture(number: int) -> PIL.Image.Image:
    """Sea, sea with a mark, wood, wood: by the number."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 4, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels[..., 2 if number % 4 < 2 else 1] += rng.integers(120, 250, dtype=np.uint8)
    if number % 4 == 1:
        pixels[:MARK, :MARK] = (255, 0, 0)
    return PIL.Image.fromarray(pixels)


def lay_out(root: Path, count: int) -> Path:
    """A folder for each class."""
    for number in range(count):
        folder = root / CLASSES[number % 4 // 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / f"{number:04d}.png")
    return root


def audited(root: Path, out: Path, count: int = 240) -> Revisit:
    """An audit of such pictures, with its network."""
    run(
        str(lay_out(root, count)), classifier(), out, Wish(batch_size=64, threads=1, engine="torch")
    )
    return revisit(open_audit(out), classifier())


def marked_rows(again: Revisit) -> list[int]:
    """The rows of marked pictures."""
    numbers = (int(Path(each).stem) for each in again.listing.ids)
    return [row for row, number in enumerate(numbers) if number % 4 == 1]
