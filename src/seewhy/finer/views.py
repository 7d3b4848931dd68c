"""`Views`: what was averaged, what it cost, and what the plain pass gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

How = Literal["auto", "dilate", "shift"]


@dataclass(frozen=True, eq=False)
class Views:
    """The views of each picture whose maps and logits an explanation averages.

    Attributes:
        resolution: how many times as many cells each side of the grid has; 1 for the usual ones.
        how: by which means: "dilate" or "shift", or None at resolution 1.
        flip: whether mirrored pictures are among them.
        scales: the sizes of the pictures among them, as parts of the usual side.
        count: how many views there are of each picture.
        cost: the multiply-adds of all passes over those of a plain one.
        plain: what a plain pass gives in place of the mean, (B, k): the model's own logits.
    """

    resolution: int
    how: Literal["dilate", "shift"] | None
    flip: bool
    scales: tuple[float, ...]
    count: int
    cost: float
    plain: Float[Tensor, "batch classes"]

    def describe(self) -> str:
        """In a line, such as `the mean of 4 views (resolution 2, dilated), 1.9 passes' work`."""
        parts = [f"resolution {self.resolution}, {_DONE[self.how]}"] if self.how else []
        parts += ["mirrored"] if self.flip else []
        parts += [f"scales {', '.join(map(str, self.scales))}"] if self.scales != (1.0,) else []
        return f"the mean of {self.count} views ({'; '.join(parts)}), {self.cost:.1f} passes' work"

    def to_json(self) -> dict[str, Any]:
        """All but the tensor, for a JSON document."""
        return {
            "resolution": self.resolution,
            "how": self.how,
            "flip": self.flip,
            "scales": list(self.scales),
            "count": self.count,
            "cost": self.cost,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], plain: Tensor) -> Views:
        """Read what `to_json` wrote."""
        return cls(**{**data, "scales": tuple(map(float, data["scales"]))}, plain=plain)


_DONE = {"dilate": "dilated", "shift": "shifted"}
