"""What one explained picture says, as plain numbers: what `render`, `report` and the CLI show.

No torch here: a result can be drawn, written and read where no network runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from seewhy.images import Geometry
    from seewhy.regions import Region


# The kinds of head whose maps do not promise to add up, and how all the others' are made.
NOT_ADDITIVE = ("first-order", "none")
CAM = "class activation map"
REFINED = "refined: where the object is, not the evidence"


@dataclass(frozen=True)
class ClassEvidence:
    """The evidence for one class on one picture.

    Attributes:
        id: the class's index among the model's outputs.
        name: its name, or the index as text where the model has no names.
        probability: the model's probability for it, 0 to 1; NaN where there is none.
        logit: the logit that the model returned (with `against`: the margin or log-odds).
        evidence: the mean of `map`; `evidence + bias` adds up to `logit`, but for the residual.
        bias: the part of the logit that lies nowhere in the picture.
        certificate: deviation of `evidence + bias` from `logit`, over the scale of the logits.
        map: raw, signed evidence in logits on the feature grid, shape (height, width), float32.
        quantity: what the model gives there: a "logit", or an "output" or "similarity" that is
            none; then `logit`, `evidence`, `bias` and `map` are in its units. "mean ..." before it
            where all of these are means over several passes.
        regions: where on the original picture that lies; None where nobody looked for it.
        kind: of the head, see `Explanation`; "first-order" and "none" leave a residual.
        plain_logit: of a mean, what the model gives in a plain pass.
        refined: where the object is, from 0 to 1 on a finer grid, see `Refined`: no evidence, and
            no part of the sum. `regions` are then of this map. None where nobody asked.
    """

    id: int
    name: str
    probability: float
    logit: float
    evidence: float
    bias: float
    certificate: float
    map: NDArray[np.float32]
    quantity: str = "logit"
    regions: tuple[Region, ...] | None = None
    kind: str = "linear"
    plain_logit: float | None = None
    refined: NDArray[np.float32] | None = None

    @property
    def is_additive(self) -> bool:
        """Whether evidence and bias are to add up to the logit."""
        return self.kind not in NOT_ADDITIVE

    @property
    def residual(self) -> float:
        """What evidence and bias leave of the logit."""
        return self.logit - self.evidence - self.bias

    @property
    def residual_share(self) -> float:
        """Its magnitude as a share of the logit less the bias."""
        whole = abs(self.logit - self.bias)
        return abs(self.residual) / whole if whole else float(self.residual != 0)

    @property
    def verdict(self) -> str:
        """In words, how well evidence and bias add up."""
        if self.is_additive:
            return deviation(self.certificate)
        if not math.isfinite(self.residual):
            return f"{words_for(self.kind)}: not shown to add up"
        left = f"{self.residual:.{decimals(self.logit)}f}"
        return f"{words_for(self.kind)}: leaves {left} ({100 * self.residual_share:.0f} %)"

    def to_json(self) -> dict[str, object]:
        """All but the map, for a JSON document."""
        found = self.regions
        boxes = {} if found is None else {"boxes": [region.to_json() for region in found]}
        finer = {} if self.refined is None else {"grid": self.refined.shape, "is": REFINED}
        own = {} if self.plain_logit is None else {"plain_logit": finite(self.plain_logit)}
        return {
            "id": self.id,
            "name": self.name,
            "probability": finite(self.probability),
            "logit": finite(self.logit),
            "evidence": finite(self.evidence),
            "bias": finite(self.bias),
            "certificate": finite(self.certificate),
            "kind": self.kind,
            "residual": finite(self.residual),
            "residual_share": finite(self.residual_share),
            **boxes,
            **own,
            **({"refined": finer} if finer else {}),
        }


@dataclass(frozen=True)
class Prediction:
    """The class that a model gives the largest logit, whichever classes are explained.

    Attributes:
        name: its name, or its index as text.
        probability: the model's probability for it, 0 to 1.
    """

    name: str
    probability: float


@dataclass(frozen=True)
class PictureEvidence:
    """One picture, and the evidence for each class asked for, in the order asked for.

    Attributes:
        path: where the picture came from, or a name for it.
        image: the upright picture, RGB, in its original size.
        geometry: how `image` became the network's input; the maps cover the prepared input.
        classes: one entry a class.
        against: the class (or "others") that the evidence is measured against, if any.
        predicted: the most probable of all the model's classes, if that is known.
    """

    path: str
    image: Image
    geometry: Geometry
    classes: tuple[ClassEvidence, ...]
    against: str | None = None
    predicted: Prediction | None = None

    @property
    def whole(self) -> str:
        """What evidence and bias add up to, in words."""
        return whole(self.against, self.quantity)

    @property
    def quantity(self) -> str:
        """What the model gives: see `ClassEvidence`."""
        return self.classes[0].quantity if self.classes else "logit"


MEAN = "mean "  # before a quantity that is one over several passes


def whole(against: str | None, quantity: str = "logit") -> str:
    """The name of the sum: the logit, the margin over a class, or against all others at once.

    Against the others it is the log-odds of the class plus the entropy of the softmax over them.
    What is no logit has a difference in place of a margin. Means stay means.
    """
    mean = MEAN if quantity.startswith(MEAN) else ""
    quantity = quantity.removeprefix(MEAN)
    margin = "margin" if quantity == "logit" else "difference"
    return mean + {None: quantity, "others": "log-odds + entropy"}.get(against, margin)


def quantity(task: str) -> str:
    """What a model of this task gives, in a word."""
    return {"regression": "output", "similarity": "similarity"}.get(task, "logit")


def unit(quantity: str) -> str:
    """The unit of the evidence for such a quantity, with a space before it, or nothing."""
    return " logits" if quantity.removeprefix(MEAN) == "logit" else ""


def percent(probability: float) -> str:
    """Return "62.1 %", or nothing where there is no probability."""
    return "" if math.isnan(probability) else f"{100 * probability:.1f} %"


def words_for(kind: str) -> str:
    """What a kind of head is called where its name alone would say nothing."""
    return "not additive" if kind == "none" else kind


def deviation(certificate: float) -> str:
    """In words, how well evidence and bias add up."""
    if not math.isfinite(certificate):
        return "not shown to add up"
    return f"adds up to {certificate:.0e}" if certificate else "adds up exactly"


def finite(value: float) -> float | None:
    """Return `value`, or None (JSON has no NaN) where it is not a finite number."""
    return float(value) if math.isfinite(value) else None


def decimals(*values: float) -> int:
    """Return the digits after the point that show `values`: two, more where all are small."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return min(8, max(2, 2 - math.floor(math.log10(largest)))) if largest > 0 else 2


def rounded(total: float, evidence: float, bias: float, digits: int) -> tuple[float, float, float]:
    """The three numbers as they are shown: rounded so that what is printed adds up, too.

    Where evidence and bias add up to the total, but their rounded values do not, the one that
    lies nearer to the other side goes there. What really does not add up is not made to.
    """
    unit = 10.0**-digits
    parts = (total, evidence, bias)
    if not all(map(math.isfinite, parts)) or abs(total - evidence - bias) > unit / 10:
        return parts
    shown = [round(value / unit) for value in parts]
    gap = shown[0] - shown[1] - shown[2]
    lost = [gap * (value / unit - units) for value, units in zip(parts, shown, strict=True)]
    shown[1 if lost[1] >= lost[2] else 2] += gap
    return shown[0] * unit, shown[1] * unit, shown[2] * unit
