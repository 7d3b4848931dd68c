"""What an engine is: something that runs a network and returns its logits and its feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from torch import Tensor, nn

from seewhy.errors import InputError, ModelError
from seewhy.heads import Head, Seen

Precision = Literal["float32", "bfloat16", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# The largest certificate that rounding explains. With 8-bit integers in the network its head still
# computes in float32, from the features that the maps are made of.
TOLERANCES: Mapping[Precision, float] = {
    "float32": 1e-5,
    "bfloat16": 2e-2,
    "float16": 2e-3,
    "int8": 1e-5,
}


@runtime_checkable
class Engine(Protocol):
    """Runs a network: a batch of prepared pictures in, what the head reads out.

    An engine keeps the weights that the network had when the engine was made.
    """

    @property
    def name(self) -> str:
        """Its name in `seewhy.engines.ENGINES`."""

    @property
    def precision(self) -> Precision:
        """The numbers that the network computes with."""

    def describe(self) -> dict[str, str]:
        """What its results depend on: `engine`, `precision`, `library`, `threads` and the like."""

    def __call__(self, batch: Tensor) -> Seen:
        """Logits (B, C) and feature maps (B, K, *S) in float32, of pictures (B, channel, *size).

        Raises:
            InputError: the batch is not what the engine was made for.
            ModelError: the engine cannot run.
        """


@dataclass(frozen=True, eq=False)
class Order:
    """The engine that is wanted.

    Attributes:
        model: the network.
        head: its head.
        precision: the numbers to compute with.
        threads: how many threads to compute with.
        batch: how many pictures will mostly come together.
        example: a batch like those to come; also what integers are calibrated on.
    """

    model: nn.Module
    head: Head
    precision: Precision
    threads: int
    batch: int
    example: Tensor

    def require_precision(self, engine: str, *known: Precision) -> None:
        """Refuse a precision that an engine does not have.

        Raises:
            InputError: with those it has.
        """
        if self.precision not in known:
            raise InputError(
                f"engine {engine}",
                expected=f"a precision of {', '.join(known)}",
                got=self.precision,
                fix="choose one of these, or another engine",
            )

    def require_steps(self, engine: str) -> None:
        """Refuse a head that has to be read anew in each pass, which only PyTorch can do.

        Raises:
            ModelError: naming the engine that can.
        """
        if self.head.plan is not None:
            raise ModelError(
                f"engine {engine}",
                expected="a head of kind linear, class-maps or normalised",
                got=f"one of kind {self.head.kind}, which is read anew in each pass",
                fix='use the engine "torch"',
            )


def require_tensor(engine: str, batch: Any) -> Tensor:
    """See that pictures came as one tensor (B, channel, *size).

    Raises:
        InputError: they did not.
    """
    if isinstance(batch, Tensor) and batch.ndim > 2 and len(batch):
        return batch
    raise InputError(
        f"engine {engine}",
        expected="a batch of pictures (B, channel, height, width)",
        got=_kind(batch),
        fix="pass one tensor, or leave the engine out",
    )


def require_size(engine: str, batch: Any, size: tuple[int, ...]) -> Tensor:
    """See that pictures have the shape (channel, *size) that an engine was made for.

    Raises:
        InputError: they have another.
    """
    pictures = require_tensor(engine, batch)
    if tuple(pictures.shape[1:]) == size:
        return pictures
    raise InputError(
        f"engine {engine}",
        expected=f"a batch of pictures (B, {', '.join(map(str, size))})",
        got=_kind(batch),
        fix="make the engine with an example of this size",
    )


def _kind(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
