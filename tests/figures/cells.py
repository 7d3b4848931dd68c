"""Figures made by hand, no network in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw
from PIL.Image import Image

from seewhy.figures.figure import Cell, Figure, Share
from seewhy.preprocess import Preprocess
from seewhy.results import ClassEvidence, PictureEvidence, Prediction


def scene(width: int, height: int, seed: int = 0) -> Image:
    """A picture whose every quarter looks different, drawn without antialiasing."""
    sky, land = [(70, 110, 160), (210, 170, 90)], [(90, 130, 70), (60, 60, 90)]
    image = PIL.Image.new("RGB", (width, height), sky[seed % 2])
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, height // 2, width, height), fill=land[seed // 2 % 2])
    draw.ellipse((width // 8, height // 8, width // 2, height // 2), fill=(230, 190, 60))
    draw.rectangle((width * 5 // 8, height // 3, width * 7 // 8, height * 7 // 8), fill="firebrick")
    return image


def bump(row: float, column: float, height: float, cells: int = 8) -> NDArray[np.float32]:
    """A hill in a map, the ground below zero."""
    y, x = np.mgrid[:cells, :cells]
    hill = height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4) - height / 4
    return np.asarray(hill, dtype=np.float32)


def cell(
    image: Image,
    evidence: NDArray[np.float32],
    name: str = "cat",
    probability: float = 0.621,
    truth: str | None = None,
    preprocess: Preprocess | None = None,
    against: str | None = None,
) -> Cell:
    """What a network may have said; it was wrong where the truth is another."""
    _, geometry = (preprocess or Preprocess((32, 32), 1.0))(image)
    mean = float(evidence.mean())
    about = ClassEvidence(3, name, probability, mean - 0.5, mean, -0.5, 2e-7, evidence)
    rest = (1 - probability) * 0.75
    return Cell(
        PictureEvidence("a.png", image, geometry, (about,), against, Prediction(name, probability)),
        margin=probability - rest,
        second=Share(5, truth if truth and truth != name else "dog", rest),
        truth=_truth(truth, name, probability, rest),
    )


def _truth(truth: str | None, name: str, probability: float, rest: float) -> Share | None:
    if truth is None:
        return None
    return Share(3, truth, probability) if truth == name else Share(5, truth, rest)


def figure(cells: list[Cell], columns: int = 2, **options: Any) -> Figure:
    return Figure(
        tuple(cells), columns, "resnet20", "4 of 20 pictures, at random (seed 0)", **options
    )


def four(**options: Any) -> Figure:
    """Right, wrong, weak, and none at all."""
    tiny = [scene(32, 32, seed) for seed in range(4)]
    return figure(
        [
            cell(tiny[0], bump(2, 2, 60), "cat", 0.9996, "cat"),
            cell(tiny[1], bump(5, 6, 45), "automobile", 0.873, "truck"),
            cell(tiny[2], bump(4, 2, 12), "ship", 0.41, "ship"),
            cell(tiny[3], -np.abs(bump(4, 4, 20)), "frog", 0.2, "airplane"),
        ],
        **options,
    )
