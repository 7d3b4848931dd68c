"""What was found in a graph: where the features are, and how they become logits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from seewhy.graft.steps import Folded

if TYPE_CHECKING:
    from seewhy.graft.graph import Graph

Kind = Literal["linear", "class-maps", "normalised"]

# The largest deviation, over the scale of the logits, that rounding explains; as `seewhy.rounding`.
TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2, "int8": 5e-2}


@dataclass(frozen=True)
class OnnxHead:
    """The head of an ONNX model: pooling and linear layer, by the names of its tensors.

    Attributes:
        kind: "linear", "class-maps" or "normalised" (its scale is held).
        output: the graph's output that it was found behind.
        logits: the tensor of the logits, before softmax or sigmoid.
        features: the tensor that is pooled.
        spatial: the axes of `features` that are pooled.
        channel: its axis of channels.
        grid: entries along the spatial axes in the run that it was found with.
        channels: K.
        num_classes: C.
        pooling: the operator that pools, such as GlobalAveragePool.
        is_sum: whether it sums and does not average.
        path: the operators from pooling to logits.
        precision: the coarsest type on that path; "int8" where a tensor there is quantised.
        tail: the linear layer and what else is between.
    """

    kind: Kind
    output: str
    logits: str
    features: str
    spatial: tuple[int, ...]
    channel: int
    grid: tuple[int, ...]
    channels: int
    num_classes: int
    pooling: str
    is_sum: bool
    path: tuple[str, ...]
    precision: str
    tail: Folded = field(repr=False)
    graph: Graph = field(repr=False, compare=False)

    @property
    def layout(self) -> str:
        """Either "channels first" or "channels last"."""
        return "channels first" if self.channel == 1 else "channels last"

    @property
    def tolerance(self) -> float:
        """The largest deviation that rounding explains, over the scale of the logits."""
        return TOLERANCES[self.precision]

    @property
    def bias(self) -> NDArray[np.float64]:
        """(C,): what lies nowhere in the picture."""
        return self.tail.bias

    def weights(self) -> NDArray[np.float64]:
        """Return W with all scales in it, shape (C, K); of class maps, a diagonal matrix."""
        if self.tail.matrix is None:
            return np.diag(self.tail.row_scale)
        numbers = self.tail.matrix.numbers(self.graph)
        return self.tail.row_scale[:, None] * numbers * self.tail.column_scale

    def describe(self) -> dict[str, Any]:
        """Return what was found, as plain values."""
        return {
            "kind": self.kind,
            "output": self.output,
            "logits": self.logits,
            "features": self.features,
            "layout": self.layout,
            "grid": list(self.grid),
            "channels": self.channels,
            "classes": self.num_classes,
            "pooling": self.pooling,
            "path": list(self.path),
            "precision": self.precision,
        }
