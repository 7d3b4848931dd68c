"""A network that counts colours, and audits of pictures for which all answers are known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.audit.findings import Finding, Place
from seewhy.audit.local import Wish, run
from seewhy.audit.opened import open_audit
from seewhy.audit.revisit import Revisit, revisit
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

SIDE, CELL = 16, 4
GROUP, OTHERS, STRANGERS = 30, 40, 50
BOX = (0, 0, CELL, CELL)


class Colours(nn.Module):
    """Logit of "warm": 40 times the mean red and green; of "blue": 4 times blue, plus 0.1."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 3, 1, bias=False)
        self.fc = nn.Linear(3, 2)
        with torch.no_grad():
            self.colours.weight.copy_((2 * torch.eye(3) - 1)[:, :, None, None])
            self.fc.weight.copy_(torch.tensor([[40.0, 40.0, 0.0], [0.0, 0.0, 4.0]]))
            self.fc.bias.copy_(torch.tensor([0.0, 0.1]))

    def forward(self, x: Tensor) -> Tensor:
        counted = F.avg_pool2d(F.relu(self.colours(x)), CELL)
        logits: Tensor = self.fc(counted.mean((2, 3)))
        return logits


def net() -> Classifier:
    """The network, for pictures as they are."""
    plain = Preprocess(size=(SIDE, SIDE), crop=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Classifier("colours", Colours().eval(), plain, ("warm", "blue"), 2)


def audited(folder: Path, *, others: str, group: str = "square") -> Revisit:
    """An audit: pictures with a red square in the corner, other warm ones, then blue ones.

    Args:
        folder: for pictures and audit.
        others: "green" all over, or a green "square" anywhere else.
        group: in place of the red "square" alone: the square "on green", or a "tint", red all over
            and a little more in the middle.
    """
    made_of = {"square": _square(0, (0, 0)), "on green": _on_green(), "tint": _tinted()}
    pictures = folder / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for number in range(GROUP + OTHERS + STRANGERS):
        if number < GROUP:
            made = made_of[group]
        elif number < GROUP + OTHERS:
            x, y = rng.integers(1, SIDE // CELL, 2) * CELL
            made = _square(1, (int(x), int(y))) if others == "square" else _all_over(1, 16)
        else:
            made = _all_over(2, 110 + number % 30)
        PIL.Image.fromarray(made).save(pictures / f"{number:03d}.png")
    run(pictures, net(), folder / "run", Wish(batch_size=32, threads=1, engine="torch"))
    return revisit(open_audit(folder / "run"), net())


def finding(number: int = 1, *, localised: bool = True, count: int = GROUP) -> Finding:
    """The pictures with the red square."""
    place = Place(((1.0,),), (0.1, 0.1), 1.0, localised, 0.06, 0.5)
    return Finding(
        number,
        "group",
        0,
        "warm",
        tuple(range(count)),
        (0, 1),
        count / (GROUP + OTHERS),
        None,
        None,
        place,
        1.0,
        ("the same corner",),
        direction=(2.5, -2.5, 0.0),
    )


def _all_over(channel: int, value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    picture[..., channel] = value
    return picture


def _tinted() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = _all_over(0, 16)
    picture[CELL : 2 * CELL, CELL : 2 * CELL, 0] = 40
    return picture


def _on_green() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = _all_over(1, 16)
    picture[:CELL, :CELL] = (255, 0, 0)
    return picture


def _square(channel: int, at: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = _all_over(2, 0)
    x, y = at
    picture[y : y + CELL, x : x + CELL] = np.eye(3, dtype=np.uint8)[channel] * 255
    return picture
