"""What the tail between pooled features and logits is made of, and how it folds into one head.

The tail is read backwards, logits first. Every step is affine, or a LayerNorm whose scale is held.
Folded, a logit is `row_scale[c] * W[c] @ (column_scale * norm(pooled)) + bias[c]`: only `W` is
large, and it stays where it is in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from seewhy.graft.graph import Graph

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """`scale * x + shift`, channel by channel; both are (channels,)."""

    scale: Vector
    shift: Vector

    @classmethod
    def of(cls, channels: int, scale: Any = 1.0, shift: Any = 0.0) -> Affine:
        """Make one of numbers or vectors."""
        return cls(*(np.broadcast_to(np.float64(each), (channels,)) for each in (scale, shift)))

    def after(self, inner: Affine) -> Affine:
        """Return this step behind another, as one."""
        return Affine(self.scale * inner.scale, self.scale * inner.shift + self.shift)

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return bool((self.scale == 1).all() and not self.shift.any())


@dataclass(frozen=True)
class Quantised:
    """How 8-bit weights become numbers: `(w - zero) * scale`.

    Attributes:
        scale: the tensor's name; one number, or one for each entry along `axis`.
        zero: the tensor's name, or None for 0.
        axis: of the weights as they are stored; None for one number.
    """

    scale: str
    zero: str | None
    axis: int | None


@dataclass(frozen=True)
class Matrix:
    """The weights of a linear layer, as they lie in the file.

    Attributes:
        name: of the tensor that is gathered from.
        shape: of that tensor: (C, K, 1, ...) or (K, C).
        is_by_class: whether its first axis is that of the classes.
        quantised: how to read it where it is of 8 bits.
        whole: the name of the tensor that the model multiplies with, in numbers.
        whole_is_by_class: the same of that one.
        array: (C, K), where it is no tensor of the file but a product of several.
    """

    name: str
    shape: tuple[int, ...]
    is_by_class: bool
    quantised: Quantised | None = None
    whole: str = ""
    whole_is_by_class: bool = True
    array: Vector | None = None

    @property
    def classes(self) -> int:
        """C."""
        return self.shape[0] if self.is_by_class else self.shape[1]

    @property
    def channels(self) -> int:
        """K."""
        return self.shape[1] if self.is_by_class else self.shape[0]

    def numbers(self, graph: Graph) -> Vector:
        """Return the weights, shape (C, K)."""
        if self.array is not None:
            return self.array
        values = np.asarray(graph.value(self.whole), np.float64)
        values = values.reshape(values.shape[:2])
        return values if self.whole_is_by_class else values.T


@dataclass(frozen=True)
class Norm:
    """LayerNorm over the channels, without its weights (they are an `Affine` behind it).

    Attributes:
        epsilon: what it adds to the variance.
        reads: the name of the tensor that it normalises.
    """

    epsilon: float
    reads: str


Step = Affine | Matrix | Norm


@dataclass(frozen=True)
class Folded:
    """The whole tail.

    Attributes:
        matrix: W, or None where features are class maps already.
        norm: held LayerNorm, or None.
        row_scale: (C,).
        column_scale: (K,); of no use without W.
        bias: (C,).
    """

    matrix: Matrix | None
    norm: Norm | None
    row_scale: Vector
    column_scale: Vector
    bias: Vector


def fold(graph: Graph, steps: Sequence[Step], classes: int) -> Folded | str:
    """Fold steps, the one at the logits first; or say why that cannot be."""
    outer, rest = _leading_affine(steps, classes)
    matrix: Matrix | None = None
    inner = Affine.of(classes)
    while rest and isinstance(rest[0], Matrix):
        matrix, outer = _joined(graph, matrix, inner, outer, rest[0])
        inner, rest = _leading_affine(rest[1:], matrix.channels)
    norm = rest[0] if rest and isinstance(rest[0], Norm) else None
    if norm is not None:
        before, rest = _leading_affine(rest[1:], len(inner.scale))
        if not before.is_identity:
            return "a scale or shift before its LayerNorm"
    if rest:
        return "linear layers before its LayerNorm" if norm else "an order of layers it cannot fold"
    if matrix is None:
        return "a LayerNorm but no linear layer" if norm else Folded(
            None, None, outer.scale, np.ones(classes), outer.shift
        )  # fmt: skip
    bias = outer.shift
    if inner.shift.any():
        bias = bias + outer.scale * (matrix.numbers(graph) @ inner.shift)
    return Folded(matrix, norm, outer.scale, inner.scale, bias)


def _leading_affine(steps: Sequence[Step], channels: int) -> tuple[Affine, Sequence[Step]]:
    """Fold the affine steps at the front, and return what is behind them."""
    folded = Affine.of(channels)
    for number, step in enumerate(steps):
        if not isinstance(step, Affine):
            return folded, steps[number:]
        folded = folded.after(step)
    return folded, ()


def _joined(
    graph: Graph, outer: Matrix | None, between: Affine, after: Affine, inner: Matrix
) -> tuple[Matrix, Affine]:
    """Multiply a matrix with the one before it, where there are two; `between` lies between."""
    if outer is None:
        return inner, after
    left = outer.numbers(graph)
    product = (left * between.scale) @ inner.numbers(graph)
    shift = after.shift + after.scale * (left @ between.shift)
    return (
        Matrix("", product.shape, is_by_class=True, array=product),
        Affine(after.scale, shift),
    )
