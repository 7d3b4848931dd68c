"""`Refined`: a picture of where the object is, beside the evidence that it was made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from seewhy.explanation import Explanation
from seewhy.results import REFINED

if TYPE_CHECKING:
    from PIL.Image import Image

    from seewhy.results import ClassEvidence

WORDS = REFINED
_LEGIBLE = 330  # pixels that the words take


@dataclass(frozen=True, eq=False, repr=False)
class Refined:
    """Where the object of each class is, as far as the network tells: no longer the evidence.

    Attributes:
        refined: maps (B, k, h, w) on a finer grid, 1 where it is most likely and 0 where it is
            least; 0 everywhere where nothing speaks for the class. They are no logits, and add up
            to nothing.
        raw: the evidence of the plain pass, with its certificate.
        multiply_adds: what one picture cost, all passes and the spreading.
        passes: the same, over one plain pass of pictures of this size.
        power: of the likeness, for each look and picture, (L, B).
    """

    refined: Float[Tensor, "batch classes height width"]
    raw: Explanation
    multiply_adds: int
    passes: float
    power: Float[Tensor, "looks batch"]

    def __len__(self) -> int:
        return len(self.refined)

    def __repr__(self) -> str:
        grid = " x ".join(map(str, self.refined.shape[2:]))
        return f"Refined({WORDS}; {grid}, {self.passes:.2f} passes' work; raw={self.raw!r})"

    def upsample(self, size: tuple[int, int]) -> Float[Tensor, "batch classes height width"]:
        """The refined maps at another resolution (height, width), bilinearly."""
        return F.interpolate(self.refined, size=size, mode="bilinear", align_corners=False)

    def class_evidence(self, index: int) -> tuple[ClassEvidence, ...]:
        """The evidence for each class on one picture of the batch, its refined map beside it."""
        maps = self.refined[index].float().cpu().numpy()
        entries = self.raw.class_evidence(index)
        return tuple(replace(each, refined=map_) for each, map_ in zip(entries, maps, strict=True))

    def draw(self, index: int, image: Image, place: int = 0) -> Image:
        """A picture with its evidence on the left, the refined map on the right, and what is which.

        Args:
            index: which picture of the batch.
            image: the upright original.
            place: which of the k classes.
        """
        from seewhy import render

        geometry = self.raw.geometry[index] if self.raw.geometry else None
        name = self.raw.name(int(self.raw.classes[index, place]))
        columns = []
        for maps, words in ((self.raw.maps, f"evidence for {name}"), (self.refined, WORDS)):
            map_ = maps[index, place].float().cpu().numpy()
            laid = render.overlay(image, map_, geometry)
            width = max(laid.width, _LEGIBLE)
            columns.append(
                render.arrange([laid, render.written([words], width=width)], down=True, gap=4)
            )
        return render.arrange(columns, down=False, gap=8, margin=8)
