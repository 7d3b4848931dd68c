"""A head whose classes are mixtures of another head's logits: no and yes, texts, other pictures."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from seewhy import evidence
from seewhy.heads.head import Head


@dataclass(frozen=True, eq=False)
class Mixed:
    """A head whose logits are `logits @ weights.T * factor` of another head's.

    Attributes:
        head: the other one, with D logits.
        weights: the mixtures, the same for every picture, shape (C, D).
        factor: one number for each picture, shape (B,), or None for 1.
    """

    head: Head
    weights: Float[Tensor, "all_classes logits"]
    factor: Float[Tensor, " batch"] | None = None

    @property
    def kind(self) -> str:
        """The other head's; a factor of each picture is a scale that is held."""
        is_held = self.factor is not None and self.head.kind in ("linear", "class-maps")
        return "normalised" if is_held else self.head.kind

    def rows(
        self,
        model: nn.Module,
        features: evidence.Features,
        classes: Int[Tensor, "batch k"] | None = None,
        mixtures: Float[Tensor, "batch k all_classes"] | None = None,
    ) -> tuple[evidence.Rows, evidence.PerClass]:
        """As `Head.rows`: those of classes, or of mixtures of all classes."""
        if classes is not None:
            mixed = self.weights[classes]
        else:
            assert mixtures is not None, "either classes or mixtures"
            mixed = mixtures @ self.weights
        if self.factor is not None:
            mixed = mixed * self.factor[:, None, None]
        return self.head.rows(model, features, mixtures=mixed)
