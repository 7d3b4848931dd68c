"""What the model makes of the pictures: its two most probable classes for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from seewhy import tasks
from seewhy.errors import DataError, ImageError, ModelError
from seewhy.figures.source import Source
from seewhy.methods.passes import at_once, logits_of, undisturbed
from seewhy.models import Classifier
from seewhy.tasks import QUANTITIES, Task
from seewhy.wording import first_few


@dataclass(frozen=True)
class Seen:
    """A picture that the model was shown.

    Attributes:
        row: its number among all pictures.
        classes: the two most probable ones; the same twice where there is one alone.
        probabilities: of these.
        is_right: whether the first is the true one; None where that is not known.
    """

    row: int
    classes: tuple[int, int]
    probabilities: tuple[float, float]
    is_right: bool | None

    def is_sure(self, confidence: float) -> bool:
        """Whether it was recognised with this probability at least, and not wrongly."""
        return self.probabilities[0] >= confidence and self.is_right is not False


@dataclass(frozen=True)
class Eye:
    """A model and pictures, prepared when they are asked for.

    Attributes:
        model: whom to ask.
        source: the pictures.
        skipped: a line for each that could not be read so far.
        task: what the model's outputs mean: labels beside each other, too, may be looked at, and
            quantities, of which the first is taken.
    """

    model: Classifier
    source: Source
    skipped: list[str] = field(default_factory=list)
    task: Task = "single-label"

    def load(self, row: int) -> Tensor:
        """One prepared picture, (C, H, W), on the model's device.

        Raises:
            ImageError: it cannot be read.
        """
        array, _ = self.model.preprocess(self.source.pictures.image(row))
        return torch.from_numpy(array).to(self.model.example(1))

    def name(self, class_id: int) -> str:
        """What a class is called: by the model, else by the data set."""
        names = self.source.class_names
        return names[class_id] if names else self.model.class_name(class_id)

    def pixels(self, prepared: Tensor) -> UInt8[NDArray[np.uint8], "height width 3"]:
        """What the network saw: a prepared picture (C, H, W) as pixels again."""
        how = self.model.preprocess
        mean, std = (prepared.new_tensor(v)[:, None, None] for v in (how.mean, how.std))
        values = ((prepared * std + mean) * 255).round().clamp(0, 255)
        pixels: NDArray[np.uint8] = values.expand(3, -1, -1).permute(1, 2, 0).byte().cpu().numpy()
        return pixels

    def look(self, rows: Iterator[int]) -> Iterator[Seen]:
        """Show the model pictures, some at a time; those that cannot be read are left out."""
        some = at_once(self.model.example(1))
        batch: dict[int, Tensor] = {}
        for row in rows:
            try:
                batch[row] = self.load(row)
            except ImageError as problem:
                self.skipped.append(str(problem))
            if len(batch) == min(some, 64):
                yield from self._judged(batch)
                batch = {}
        if batch:
            yield from self._judged(batch)

    def _judged(self, batch: dict[int, Tensor]) -> Iterator[Seen]:
        probabilities = self.probabilities(torch.stack(list(batch.values())))
        best = probabilities.topk(min(2, probabilities.shape[1]))
        for row, classes, values in zip(
            batch, best.indices.tolist(), best.values.tolist(), strict=True
        ):
            labels = self.source.labels if self.task == "single-label" else None
            is_right = None if labels is None else bool(labels[row] == classes[0])
            yield Seen(row, (classes[0], classes[-1]), (values[0], values[-1]), is_right)

    def probabilities(self, images: Tensor) -> Tensor:
        """The model's probabilities for prepared pictures, (B, classes).

        Of quantities, which have none, it is the first of them alone, (B, 1).

        Raises:
            ModelError: it has fewer classes than a choice needs, or returns what is not finite.
        """
        classes = torch.zeros(len(images), dtype=torch.long)
        with undisturbed(self.model.module, images, classes) as network, torch.no_grad():
            logits = logits_of(network(images), len(images)).float()
        is_one = logits.shape[1] < 2 and self.task == "single-label"
        if is_one or not bool(torch.isfinite(logits).all()):
            raise ModelError(
                f"model {self.model.name}",
                expected="finite logits of two classes at least",
                got="one logit" if is_one else "NaN or infinite ones",
                fix="compare on a model of several classes" if is_one else "check its weights",
            )
        return logits[:, :1] if self.task in QUANTITIES else tasks.probabilities(logits, self.task)

    def require_any(self, seen: list[Seen]) -> None:
        """See that there is a picture at all.

        Raises:
            DataError: none could be read.
        """
        if not seen:
            raise DataError(
                self.source.what,
                expected="pictures that can be read",
                got=f"none of {len(self.source)}: {first_few(self.skipped, count=1)}",
                fix="pass other pictures",
            )
