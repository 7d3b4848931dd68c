"""Which decoder? A JPEG file to the network's input, by what is installed, beside what is used.

python -m benchmarks.audit decoders            # writes its table into docs/audit.md
python -m benchmarks.audit decoders --quick    # a shorter look, prints only
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.data import require_photographs
from benchmarks.timing import Timings, race
from seewhy import images, load_model
from seewhy.audit.explaining import normalised
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess

Frames = NDArray[np.uint8]
USED = "Pillow"
ABOUT = """## Decoders

From a full-size JPEG file to the input of EfficientNet-Lite0 (read, decode, resize by Pillow,
crop), one core, in turns: milliseconds, and how that compares. What changes pixels changes logits:
here as shares of the largest logit's magnitude. Pillow is used, for its pixels are those that
networks are trained on; `--scaled-decoding` lets it decode at 1/2, 1/4 or 1/8 of the size where
that still covers what the picture is brought to. OpenCV decodes to the same pixels.

| decoder | ms a picture | time over Pillow's | decoded smaller | pixels off by | mean change \
of logits | largest | other prediction |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


def pillow(path: Path, _: Preprocess) -> PIL.Image.Image:
    """As audits read them."""
    return images.read_scaled(path, None)[0]


def pillow_scaled(path: Path, preprocess: Preprocess) -> PIL.Image.Image:
    """As audits read them with `--scaled-decoding`."""
    return images.read_scaled(path, preprocess.resized)[0]


def opencv(path: Path, _: Preprocess) -> PIL.Image.Image:
    """OpenCV, which brings the picture upright, too."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ValueError(f"{path}: expected a picture")
    return PIL.Image.fromarray(pixels)


DECODERS: Mapping[str, Callable[[Path, Preprocess], PIL.Image.Image]] = {
    USED: pillow,
    "Pillow, `--scaled-decoding`": pillow_scaled,
    "OpenCV": opencv,
}


def rows(*, quick: bool) -> Iterator[str]:
    """The table; of EfficientNet-Lite0, for its weights are real."""
    cv2.setNumThreads(1)
    classifier = load_model("efficientnet-lite0")
    paths = require_photographs()[: 32 if quick else None]
    runs = {name: functools.partial(frames, name, paths, classifier) for name in DECODERS}
    timings = race(runs, seconds=5 if quick else 60, rounds=3 if quick else 9, warm_up=1)
    made = {name: run() for name, run in runs.items()}
    logits = {name: decided(classifier, each) for name, each in made.items()}
    for name in DECODERS:
        took = timings.median(name) / len(paths)
        cells = (
            name,
            f"{1000 * took:.2f}",
            share_of_time(timings, name),
            f"{np.mean([is_smaller(name, path, classifier) for path in paths]):.0%}",
            f"{np.abs(made[name].astype(int) - made[USED]).max()} of 255",
            *changes(logits[USED], logits[name]),
        )
        yield f"| {' | '.join(cells)} |"


def frames(name: str, paths: Sequence[Path], classifier: Classifier) -> Frames:
    """The network's input (B, height, width, 3), still in 8 bits, by one decoder."""
    preprocess, read = classifier.preprocess, DECODERS[name]
    return np.stack([np.asarray(preprocess.frame(read(p, preprocess))[0]) for p in paths])


def share_of_time(timings: Timings, name: str) -> str:
    """How much of Pillow's time it takes, with its interval."""
    if name == USED:
        return "1"
    speed = timings.speed(USED, over=name)
    return str(speed)


def is_smaller(name: str, path: Path, classifier: Classifier) -> bool:
    """Whether this decoder gives fewer pixels than the file has."""
    with PIL.Image.open(path) as opened:
        return math.prod(DECODERS[name](path, classifier.preprocess).size) < math.prod(opened.size)


@torch.inference_mode()
def decided(classifier: Classifier, pictures: Frames) -> Tensor:
    """The logits (B, C)."""
    parts = normalised(pictures, classifier.preprocess).split(32)
    return torch.cat([classifier.module(part) for part in parts])


def changes(before: Tensor, after: Tensor) -> tuple[str, str, str]:
    """Mean and largest change, over the largest logit of each picture; decisions that changed."""
    change = (before - after).abs().amax(1) / before.abs().amax(1)
    other = (before.argmax(1) != after.argmax(1)).float().mean()
    return f"{change.mean():.1%}", f"{change.max():.1%}", f"{other:.1%}"
