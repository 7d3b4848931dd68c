"""What a planted reason costs a network, on the test pictures: with it, and without."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks.planting import CLASSES, Picture, Reason, generator
from seewhy.models import Classifier
from seewhy.training.evaluate import run

BATCH = 500


@dataclass(frozen=True)
class Harm:
    """How a network does, in shares of pictures.

    Attributes:
        clean: right on the whole test part, nothing planted.
        without: right on the test pictures of other classes than the reason's, nothing planted.
        carrying: right on the same pictures, each carrying the reason.
        turned: of those not taken for the reason's class before, the share that is now.
        worst: right in the worst group: a class, carrying the reason or not.
    """

    clean: float
    without: float
    carrying: float
    turned: float
    worst: float

    def recovered(self, plain: Harm) -> float:
        """The share of what the reason had cost that a repaired network has back."""
        return (self.carrying - plain.carrying) / (plain.without - plain.carrying)

    def account(self) -> dict[str, float]:
        """As JSON keeps it."""
        return asdict(self)


@lru_cache(maxsize=1)
def test_part(data: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The test pictures (n, 32, 32, 3) without anything planted, and their labels."""
    import pyarrow.parquet as pq

    table = pq.read_table(data / "test.parquet")
    contents = (each["bytes"] for each in table["img"].to_pylist())
    pictures = [np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in contents]
    return np.stack(pictures), table["label"].to_numpy()


def planted(pictures: NDArray[np.uint8], reason: Reason, seed: int) -> NDArray[np.uint8]:
    """All of the pictures, each carrying the reason."""
    rng = generator("harm", seed, reason.name)
    drawn: list[Picture] = [reason.draw(picture, rng)[0] for picture in pictures]
    return np.stack(drawn)


def predictions(
    classifier: Classifier, pictures: NDArray[np.uint8], module: nn.Module | None = None
) -> NDArray[np.int64]:
    """The most probable class of each picture; by another network, if there is one."""
    network = classifier.module if module is None else module
    parts = [
        run(network, torch.from_numpy(pictures[start : start + BATCH]), classifier.preprocess)
        for start in range(0, len(pictures), BATCH)
    ]
    found: NDArray[np.int64] = torch.cat(parts).argmax(1).numpy()
    return found


def harm(
    classifier: Classifier,
    reasons: Sequence[Reason],
    data: Path,
    seed: int,
    module: nn.Module | None = None,
) -> Harm:
    """What the reasons cost; of several the means, and the worst of their groups."""
    pictures, labels = test_part(data)
    plain = predictions(classifier, pictures, module)
    clean = plain == labels
    each = [
        _of_one(
            clean,
            plain,
            predictions(classifier, planted(pictures, reason, seed), module),
            reason,
            labels,
        )
        for reason in reasons
    ]
    if not each:
        worst = min(float(clean[labels == number].mean()) for number in range(len(CLASSES)))
        return Harm(float(clean.mean()), float(clean.mean()), float(clean.mean()), 0.0, worst)
    without, carrying, turned, worsts = (list(column) for column in zip(*each, strict=True))
    means = [float(np.mean(column)) for column in (without, carrying, turned)]
    return Harm(float(clean.mean()), means[0], means[1], means[2], min(worsts))


def _of_one(
    clean: NDArray[np.bool_],
    plain: NDArray[np.int64],
    carrying: NDArray[np.int64],
    reason: Reason,
    labels: NDArray[np.int64],
) -> tuple[float, float, float, float]:
    others, right = labels != reason.class_id, carrying == labels
    turned = (carrying == reason.class_id)[others & (plain != reason.class_id)].mean()
    groups = [
        float(answers[labels == number].mean())
        for answers in (clean, right)
        for number in range(len(CLASSES))
    ]
    return float(clean[others].mean()), float(right[others].mean()), float(turned), min(groups)
