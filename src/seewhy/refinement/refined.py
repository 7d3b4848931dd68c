"""`Refined`: a picture of where the object is, beside the evidence that it was made from."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from seewhy.explanation import Explanation

WORDS = "refined: where the object is, not the evidence"


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
