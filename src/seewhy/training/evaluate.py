"""How well a classifier does on a part of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.datasets import Dataset, Pixels, Split, logit_ids
from seewhy.datasets.memory import fits_in_memory
from seewhy.errors import DataError, InputError
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess
from seewhy.training.augment import normalise
from seewhy.training.logits import logits_of
from seewhy.wording import first_few

BATCH = 256
TOP = 5


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised.

    Attributes:
        name: of the class.
        count: its pictures.
        correct: how many of them it was predicted for.
    """

    name: str
    count: int
    correct: int

    @property
    def accuracy(self) -> float:
        """Share of its pictures; NaN where there are none."""
        return self.correct / self.count if self.count else float("nan")


@dataclass(frozen=True)
class Evaluation:
    """How well a classifier does.

    Attributes:
        split: which part of the data set it was shown.
        count: pictures that could be read.
        correct: of these, those whose class was predicted.
        top5: those whose class was among the five likeliest; None for ten classes or fewer.
        loss: mean cross-entropy, in nats.
        classes: the same, class by class.
        skipped: one line for each picture that could not be read.
    """

    split: str
    count: int
    correct: int
    top5: int | None
    loss: float
    classes: tuple[ClassScore, ...]
    skipped: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of the pictures whose class was predicted."""
        return self.correct / self.count

    @property
    def top5_accuracy(self) -> float | None:
        """Share of the pictures whose class was among the five likeliest."""
        return None if self.top5 is None else self.top5 / self.count

    def account(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            **asdict(self),
            "accuracy": self.accuracy,
            "top5_accuracy": self.top5_accuracy,
            "classes": [
                {**asdict(each), "accuracy": each.accuracy if each.count else None}
                for each in self.classes
            ],
            "skipped": list(self.skipped),
        }


def evaluate(
    classifier: Classifier,
    data: Dataset,
    split: str = "test",
    *,
    batch_size: int = BATCH,
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Show a classifier a part of a data set, in float32 and without augmentation.

    Classes are matched by name, where the model and the data have the same names in another order.

    Args:
        classifier: what `load_model` returned.
        data: what `load_dataset` returned.
        split: "test" or "train".
        batch_size: pictures at once.
        on_progress: told how many more pictures are done.

    Raises:
        DataError: the classes are not the model's, or no picture can be read.
        InputError: there is no such split.
    """
    part = _part(data, split)
    logit_of = match(classifier, data)
    total = _Total(len(data.class_names))
    with _as_it_was(classifier.module):
        for pixels in chunks(part, classifier.preprocess, batch_size):
            for start in range(0, len(pixels), batch_size):
                stop = start + batch_size
                pictures = torch.from_numpy(pixels.images[start:stop])
                logits = run(classifier.module, pictures, classifier.preprocess)
                labels = torch.from_numpy(pixels.labels[start:stop])
                total.add(logits, labels, logit_of[labels])
                if on_progress:
                    on_progress(len(labels))
            total.skipped.extend(pixels.skipped)
    return total.evaluation(part.name, data)


def match(classifier: Classifier, data: Dataset) -> Tensor:
    """Return which logit each class of the data has: (classes,), int64.

    Raises:
        DataError: the model does not have these classes.
    """
    names, count = classifier.class_names, classifier.num_classes
    ids = logit_ids(data.class_names, names, count, subject=f"data {data.name}")
    return torch.from_numpy(ids)


def run(module: nn.Module, pictures: Tensor, preprocess: Preprocess) -> Tensor:
    """Return the logits (B, classes) of uint8 pictures (B, height, width, 3), on the CPU."""
    weight = next(module.parameters())
    inputs = normalise(pictures.to(weight.device), preprocess.mean, preprocess.std)
    with torch.inference_mode():
        return logits_of(module(inputs.to(weight.dtype))).float().cpu()


def accuracy(module: nn.Module, pixels: Pixels, preprocess: Preprocess) -> float:
    """Return the share of pictures whose class a network predicts; logits are in their order."""
    right = 0
    with _as_it_was(module):
        for start in range(0, len(pixels), BATCH):
            pictures = torch.from_numpy(pixels.images[start : start + BATCH])
            predicted = run(module, pictures, preprocess).argmax(1).numpy()
            right += int((predicted == pixels.labels[start : start + BATCH]).sum())
    return right / len(pixels)


def chunks(split: Split, preprocess: Preprocess, batch_size: int) -> Iterator[Pixels]:
    """Give a split in one piece, if it fits into memory, else in batches."""
    if fits_in_memory(split.nbytes(preprocess)):
        yield split.load(preprocess)
        return
    for start in range(0, len(split), batch_size):
        yield split.batch(np.arange(start, min(start + batch_size, len(split))), preprocess)


@contextmanager
def _as_it_was(module: nn.Module) -> Iterator[None]:
    """Put a network into eval mode, and back into the mode that each part was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class _Total:
    """Sums over batches."""

    def __init__(self, num_classes: int) -> None:
        self.count, self.correct = torch.zeros(num_classes), torch.zeros(num_classes)
        self.top, self.loss = 0, 0.0
        self.num_logits = 0
        self.skipped: list[str] = []

    def add(self, logits: Tensor, labels: Tensor, targets: Tensor) -> None:
        """Count a batch: `labels` are the data's classes, `targets` the logits they belong to."""
        right = logits.argmax(1) == targets
        self.count += torch.bincount(labels, minlength=len(self.count))
        self.correct += torch.bincount(labels[right], minlength=len(self.correct))
        likeliest = logits.topk(min(TOP, logits.shape[1])).indices
        self.top += int((likeliest == targets[:, None]).any(1).sum())
        self.loss += float(F.cross_entropy(logits.double(), targets, reduction="sum"))
        self.num_logits = logits.shape[1]

    def evaluation(self, split: str, data: Dataset) -> Evaluation:
        counts = zip(data.class_names, self.count.tolist(), self.correct.tolist(), strict=True)
        count = int(self.count.sum())
        if not count:
            raise DataError(
                f"data {data.name}, {split}",
                expected="pictures that can be read",
                got=f"none: {first_few(self.skipped, count=1)}",
                fix="check where they came from",
            )
        return Evaluation(
            split=split,
            count=count,
            correct=int(self.correct.sum()),
            top5=self.top if self.num_logits > 2 * TOP else None,
            loss=self.loss / count,
            classes=tuple(ClassScore(name, int(n), int(right)) for name, n, right in counts),
            skipped=tuple(self.skipped),
        )


def _part(data: Dataset, split: str) -> Split:
    parts = {"train": data.train, "test": data.test}
    if split not in parts:
        raise InputError("split", expected="train or test", got=repr(split), fix="pass one of them")
    return parts[split]
