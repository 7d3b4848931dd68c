"""The model as metrics ask it: what runs it, how exactly, and what its outputs mean."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seewhy.errors import InputError
from seewhy.methods.passes import require_prepared, undisturbed
from seewhy.tasks import QUANTITIES, Task
from seewhy.wording import near_or

# prepared pictures (M, C, H, W) to logits (M, classes): a tensor, or what holds it as "logits"
Answer = Callable[[Tensor], Any]

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, eq=False)
class Asked:
    """A model, and how it is asked. Every metric takes one in place of the model.

    Attributes:
        model: any classifier; or any function of a batch of prepared pictures that gives its
            logits, such as an engine, which is then run as it is.
        task: what the outputs mean, see `seewhy.tasks`: the probability is a softmax or a sigmoid;
            of "binary" class 0 is "no" and class 1 "yes"; of a regression the output itself is
            watched, in its own unit.
        precision: "bfloat16" lets PyTorch compute convolutions and products in that type: several
            times as fast where the processor can; probabilities of a trained network were off by
            0.002 in the median, 0.03 at most.

    Raises:
        InputError: there is no such task or precision.
    """

    model: nn.Module | Answer
    task: Task = "single-label"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        """See that these are among the known."""
        _require("task", self.task, get_args(Task))
        _require("precision", self.precision, PRECISIONS)

    @classmethod
    def of(cls, model: Askable) -> Asked:
        """A bare model as one of classes that exclude each other."""
        return model if isinstance(model, Asked) else cls(model)

    def require_probabilities(self, metric: str) -> None:
        """Refuse a metric that asks how sure the model is, where it is not a matter of that.

        Raises:
            InputError: the outputs are quantities.
        """
        if self.task in QUANTITIES:
            raise InputError(
                f"metric '{metric}'",
                expected="a model that gives probabilities",
                got=f"one of task {self.task}",
                fix="choose deletion, insertion, road or infidelity",
            )

    @contextlib.contextmanager
    def running(self, images: Tensor, classes: Tensor) -> Iterator[Answer]:
        """What gives the logits of more batches like this one, without gradients.

        Raises:
            InputError, ClassError: pictures or classes of the wrong form.
            ModelError: whatever the network raises within.
        """
        if not isinstance(self.model, nn.Module):
            require_prepared(images, classes)
            with torch.no_grad():
                yield self.model
            return
        is_less = self.precision == "bfloat16"
        with (
            undisturbed(self.model, images, classes) as network,
            torch.no_grad(),
            torch.autocast(images.device.type, torch.bfloat16, enabled=is_less),
        ):
            yield _ChannelsLast(network) if images.device.type == "cpu" else network


Askable = nn.Module | Asked


class _ChannelsLast:
    """Gives a network its pictures with channels last in memory, which convolutions are faster on.

    Args:
        network: most take them; one that views its features as vectors may not.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network, self.is_taken = network, True

    def __call__(self, pictures: Tensor) -> Any:
        if self.is_taken:
            try:
                return self.network(pictures.contiguous(memory_format=torch.channels_last))
            except RuntimeError:  # what else is wrong is raised again below
                self.is_taken = False
        return self.network(pictures.contiguous())


def _require(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            f"{what} '{value}'",
            expected=f"one of {', '.join(known)}",
            got="an unknown name",
            fix=near_or(str(value), known, "choose one of these"),
        )
