"""A network with all that is needed to ask it about a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seewhy import classes

if TYPE_CHECKING:
    from seewhy.images import Preprocess
    from seewhy.tasks import Task


@dataclass(frozen=True)
class Classifier:
    """A network, how its pictures are prepared, and what its logits are called.

    Attributes:
        name: the spec that it was loaded from.
        module: the network, in eval mode, on its device.
        preprocess: how its pictures are prepared.
        class_names: the name of each logit, or None if they are not known.
        num_classes: number of logits, or None if the network did not show it.
        task: what the logits mean, where the model's source says so: see `explain`.
        shape: of its input, (C, *S), where it takes sequences or volumes in place of pictures.
    """

    name: str
    module: nn.Module
    preprocess: Preprocess
    class_names: tuple[str, ...] | None = None
    num_classes: int | None = None
    task: Task | None = None
    shape: tuple[int, ...] | None = None

    def __call__(self, batch: Tensor) -> object:
        """Return what the network returns for prepared pictures (batch, channel, height, width)."""
        return self.module(batch)

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return self._parameter.device

    def example(self, batch: int = 2) -> Tensor:
        """Return noise in the shape (batch, channel, height, width), the same at every call."""
        width, height = self.preprocess.size
        shape = self.shape or (len(self.preprocess.mean), height, width)
        noise = torch.randn((batch, *shape), generator=torch.Generator().manual_seed(0))
        return noise.to(self._parameter)

    def class_name(self, index: int) -> str:
        """Return the name of a logit; `class 3` where names are not known."""
        return self.class_names[index] if self.class_names else f"class {index}"

    def class_id(self, wanted: str | int) -> int:
        """Return the index of a class.

        Args:
            wanted: its index, also as text, or its name: exact, else in any case, else a part that
                only one name has.

        Raises:
            ClassError: there is no such class, or more than one.
        """
        return classes.class_id(wanted, self.class_names, self.num_classes)

    @property
    def _parameter(self) -> Tensor:
        return next(self.module.parameters(), torch.empty(0))


def count_logits(output: object) -> int | None:
    """Return how many classes a network's output has, where its form shows that.

    Reads a tensor (batch, classes, ...), an object or a mapping with `logits`, or the first entry
    of a tuple. Several outputs of their own names and widths are not counted.
    """
    if isinstance(output, Tensor):
        return output.shape[1] if output.ndim > 1 else None
    if hasattr(output, "logits"):
        return count_logits(output.logits)
    if isinstance(output, Mapping):
        if "logits" in output:
            return count_logits(output["logits"])
        counts = {count_logits(value) for value in output.values()} - {None}
        return counts.pop() if len(counts) == 1 else None
    if isinstance(output, (tuple, list)) and output:
        return count_logits(output[0])
    return None
