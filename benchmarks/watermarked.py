"""What a watermark does to a network that nobody planted it in: EfficientNet-Lite0.

python -m benchmarks.watermarked --data ../shared/data/imagenet-samples

Whose decisions it changes, which classes they go to, and how much of the new class's evidence lies
on the letters, beside the share that the letters' box has of the picture.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import seewhy
from seewhy import images
from seewhy.models import Classifier, load_model
from seewhy.training.augment import normalise

TEXT = "stock photo"
OPACITIES = (0.3, 0.5, 0.7)
BATCH = 20
SIDE = 224


@dataclass(frozen=True)
class Look:
    """What one strength of the watermark did.

    Attributes:
        opacity: of the letters, 0 to 1.
        changed: share of the decisions.
        went: the classes that most of the changed ones went to, and how many.
        evidence: of the new classes' positive evidence, the share in the letters' box; mean.
        box: the share that the box has of the picture.
    """

    opacity: float
    changed: float
    went: tuple[tuple[str, int], ...]
    evidence: float
    box: float


def letters(opacity: float) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """A layer of translucent white letters across the middle, and their box."""
    layer = Image.new("L", (SIDE, SIDE), 0)
    font = ImageFont.load_default(size=34)
    draw = ImageDraw.Draw(layer)
    draw.text((SIDE / 2, SIDE / 2), TEXT, fill=round(255 * opacity), font=font, anchor="mm")
    x0, y0, x1, y1 = layer.getbbox() or (0, 0, SIDE, SIDE)
    return layer, (x0, y0, x1, y1)


def looks(data: Path) -> Iterator[Look]:
    """One strength after the other, on the pictures of a folder."""
    classifier = load_model("efficientnet-lite0")
    frames = [
        classifier.preprocess.frame(images.read(path))[0] for path in sorted(data.glob("*.JPEG"))
    ]
    before = _decisions(classifier, frames)
    for opacity in OPACITIES:
        yield _look(classifier, frames, before, opacity)


def _look(
    classifier: Classifier, frames: list[Image.Image], before: Tensor, opacity: float
) -> Look:
    layer, box = letters(opacity)
    white = Image.new("RGB", layer.size, "white")
    marked = [Image.composite(white, frame.convert("RGB"), layer) for frame in frames]
    after = _decisions(classifier, marked)
    moved = torch.nonzero(after != before)[:, 0].tolist()
    names = classifier.class_names or ()
    went = Counter(names[int(after[row])] for row in moved).most_common(5)
    shares = [_share_in(classifier, marked[row], int(after[row]), box) for row in moved]
    area = (box[2] - box[0]) * (box[3] - box[1]) / SIDE**2
    mean = float(np.mean(shares)) if shares else float("nan")
    return Look(opacity, len(moved) / len(frames), tuple(went), mean, area)


def _input(classifier: Classifier, frames: list[Image.Image]) -> Tensor:
    pixels = np.stack([np.asarray(frame.convert("RGB")) for frame in frames])
    preprocess = classifier.preprocess
    return normalise(torch.from_numpy(pixels), preprocess.mean, preprocess.std)


def _decisions(classifier: Classifier, frames: list[Image.Image]) -> Tensor:
    parts = range(0, len(frames), BATCH)
    with torch.inference_mode():
        found = [
            classifier.module(_input(classifier, frames[start : start + BATCH])) for start in parts
        ]
    return torch.cat(found).argmax(1)


def _share_in(
    classifier: Classifier, frame: Image.Image, number: int, box: tuple[int, int, int, int]
) -> float:
    """The share of a class's positive evidence inside a box, on the map at input size."""
    explained = seewhy.explain(classifier.module, _input(classifier, [frame]), [number])
    positive = explained.maps[:1, :1].clamp(min=0)
    large = torch.nn.functional.interpolate(positive, (SIDE, SIDE), mode="nearest")[0, 0]
    x0, y0, x1, y1 = box
    return float(large[y0:y1, x0:x1].sum() / large.sum().clamp(min=1e-12))


def lines(data: Path) -> Iterator[str]:
    """The table, as Markdown."""
    yield "| opacity | decisions changed | evidence on the letters' box | its area | they became |"
    yield "| ---: | ---: | ---: | ---: | --- |"
    for look in looks(data):
        went = ", ".join(f"{name.split(',')[0]} {count}" for name, count in look.went)
        shares = f"{look.changed:.1%} | {look.evidence:.1%} | {look.box:.1%}"
        yield f"| {look.opacity} | {shares} | {went} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/imagenet-samples"))
    for line in lines(parser.parse_args().data):
        print(line, flush=True)


if __name__ == "__main__":
    main()
