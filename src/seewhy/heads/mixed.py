"""A head whose classes are mixtures of another head's logits: no and yes, texts, other pictures."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from seewhy import evidence
from seewhy.heads.head import Head
from seewhy.heads.tail import Tail


@dataclass(frozen=True, eq=False)
class Mixed:
    """A head whose logits are `factor * weights @ logits + offset` of another head's.

    Attributes:
        head: the other one, with D logits.
        weights: the mixtures, for every picture or for each, shape (1, C, D) or (B, C, D).
        factor: one number for each picture, shape (B,), or None for 1.
        offset: the same for every class.
    """

    head: Head
    weights: Float[Tensor, "#batch all_classes logits"]
    factor: Float[Tensor, " batch"] | None = None
    offset: float = 0.0

    @property
    def kind(self) -> str:
        """The other head's; a factor of each picture is a scale that is held."""
        is_held = self.factor is not None and self.head.kind in ("linear", "class-maps")
        return "normalised" if is_held else self.head.kind

    @property
    def method(self) -> str:
        """The other head's."""
        return self.head.method

    def maps(
        self, tail: Tail, mixtures: Float[Tensor, "batch k all_classes"]
    ) -> tuple[evidence.Maps, evidence.PerClass]:
        """As `Head.maps`."""
        mixed = mixtures @ self.weights.to(mixtures)
        if self.factor is not None:
            mixed = mixed * self.factor[:, None, None]
        maps, bias = self.head.maps(tail, mixed)
        return maps, bias + self.offset * mixtures.sum(2)

    def rows(
        self,
        model: nn.Module,
        features: evidence.Features,
        classes: Int[Tensor, "batch k"] | None = None,
        mixtures: Float[Tensor, "batch k all_classes"] | None = None,
    ) -> tuple[evidence.Rows, evidence.PerClass]:
        """As `Head.rows`: those of classes, or of mixtures of all classes."""
        if classes is not None:
            mixed, times = _of_classes(self.weights, classes), self.weights.new_ones(())
        else:
            assert mixtures is not None, "either classes or mixtures"
            mixed, times = mixtures @ self.weights, mixtures.sum(2)
        if self.factor is not None:
            mixed = mixed * self.factor[:, None, None]
        rows, bias = self.head.rows(model, features, mixtures=mixed)
        return rows, bias + self.offset * times


def _of_classes(weights: Tensor, classes: Tensor) -> Tensor:
    """The mixtures of some classes of each picture, shape (B, k, D)."""
    batch, width = len(classes), weights.shape[2]
    return weights.expand(batch, -1, -1).gather(1, classes[..., None].expand(-1, -1, width))
