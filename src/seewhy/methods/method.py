"""`Method`: one way to say where in a picture a class comes from, and what is to be known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn


class MapFunction(Protocol):
    """What every method is: a function from a model, pictures and classes to maps."""

    def __call__(self, model: nn.Module, images: Tensor, classes: Tensor, /) -> Tensor:
        """Return one map for each picture.

        Args:
            model: the network; it is left as it was.
            images: prepared pictures (B, C, H, W).
            classes: the class to explain in each picture, (B,).

        Returns:
            maps (B, H, W), float32, raw and signed.
        """


@dataclass(frozen=True)
class Method:
    """A method, and what a reader of its maps has to know.

    Attributes:
        function: makes the maps.
        summary: what a map of it shows, in one line.
        source: the paper that it comes from.
        passes: what it costs by construction, F for a forward and B for a backward pass.
        unit: what the numbers in its maps are; two methods' numbers cannot be compared.
    """

    function: MapFunction
    summary: str
    source: str
    passes: str
    unit: str
