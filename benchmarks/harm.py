"""What a planted reason costs a network, on the test pictures: with it, and without."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from benchmarks.planting import CLASSES, Picture, Reason, generator
from seewhy.audit.revisit import Revisit
from seewhy.repair.fold import layer_of
from seewhy.repair.material import pooled_features

Pictures = NDArray[np.uint8]  # (n, 32, 32, 3)


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
def test_part(data: Path) -> tuple[Pictures, NDArray[np.int64]]:
    """The test pictures without anything planted, and their labels."""
    import pyarrow.parquet as pq

    table = pq.read_table(data / "test.parquet")
    contents = (each["bytes"] for each in table["img"].to_pylist())
    pictures = [np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in contents]
    return np.stack(pictures), table["label"].to_numpy()


def planted(pictures: Pictures, reason: Reason | None, seed: int) -> Pictures:
    """All of the pictures, each carrying the reason; None: as they are."""
    if reason is None:
        return pictures
    rng = generator("harm", seed, reason.name)
    drawn: list[Picture] = [reason.draw(picture, rng)[0] for picture in pictures]
    return np.stack(drawn)


@dataclass(frozen=True, eq=False)
class Judge:
    """The test pictures through a network, once, and through other last layers behind it.

    Attributes:
        revisit: the network.
        data: the folder of test.parquet.
        seed: of where reasons are put.
    """

    revisit: Revisit
    data: Path
    seed: int
    _seen: dict[str, Tensor] = field(default_factory=dict)

    def harm(self, reasons: Sequence[Reason], module: nn.Module | None = None) -> Harm:
        """What the reasons cost; of several the means, and the worst of their groups.

        Args:
            reasons: one after the other.
            module: of the same kind with other weights; None: the network itself.
        """
        changed = self.revisit if module is None else self.revisit.with_module(module)
        _, labels = test_part(self.data)
        plain = self._predictions(changed, None)
        clean = plain == labels
        each = [
            _of_one(clean, plain, self._predictions(changed, reason), reason, labels)
            for reason in reasons
        ]
        if not each:
            worst = min(float(clean[labels == number].mean()) for number in range(len(CLASSES)))
            return Harm(float(clean.mean()), float(clean.mean()), float(clean.mean()), 0.0, worst)
        without, carrying, turned, worsts = (list(column) for column in zip(*each, strict=True))
        means = [float(np.mean(column)) for column in (without, carrying, turned)]
        return Harm(float(clean.mean()), means[0], means[1], means[2], min(worsts))

    def _predictions(self, changed: Revisit, reason: Reason | None) -> NDArray[np.int64]:
        pooled = self._pooled(changed, reason)
        found: NDArray[np.int64] = layer_of(changed)(pooled).argmax(1).numpy()
        return found

    def _pooled(self, changed: Revisit, reason: Reason | None) -> Tensor:
        """Pooled features (n, K); kept for all networks that differ in their last layer only."""
        pictures, _ = test_part(self.data)
        if not _same_features(self.revisit, changed):
            return pooled_features(changed, planted(pictures, reason, self.seed))
        name = "" if reason is None else reason.name
        if name not in self._seen:
            self._seen[name] = pooled_features(changed, planted(pictures, reason, self.seed))
        return self._seen[name]


def _same_features(one: Revisit, other: Revisit) -> bool:
    """Whether two networks of a kind have the same weights but in their last layer."""
    shape, there = one.weight.shape, other.classifier.module.state_dict()
    return all(
        torch.equal(value, there[name])
        for name, value in one.classifier.module.state_dict().items()
        if value.shape not in (shape, shape[:1])
    )


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
