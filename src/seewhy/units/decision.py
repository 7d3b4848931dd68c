"""Which units made one decision: each one's part of the logit, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL.Image import Image

from seewhy import evidence, heads
from seewhy.errors import ModelError
from seewhy.geometry import Geometry
from seewhy.heads import Head, look
from seewhy.models import Classifier
from seewhy.observe import in_eval_mode, run_eagerly


@dataclass(frozen=True, eq=False)
class Part:
    """One unit's part of a decision.

    Attributes:
        channel: its number.
        evidence: its part of the logit: the mean of `map`.
        cell: x, y of the strongest cell.
        at: x, y of the middle of that cell, in pixels of the original picture.
        map: its evidence in logits.
    """

    channel: int
    evidence: float
    cell: tuple[int, int]
    at: tuple[float, float]
    map: Float[NDArray[np.float32], "h w"]


@dataclass(frozen=True, eq=False)
class Decision:
    """A logit taken apart: the sum of all units' evidence, and the bias.

    Attributes:
        class_id: the class.
        class_name: its name.
        logit: as the model returned it.
        bias: the part that lies nowhere in the picture.
        certificate: what the sum leaves, over the largest magnitude of a logit.
        evidence: every unit's part, (K,).
        parts: the units with the largest parts, the first ones.
        geometry: how the picture became the network's input.
    """

    class_id: int
    class_name: str
    logit: float
    bias: float
    certificate: float
    evidence: Float[NDArray[np.float32], " channel"]
    parts: tuple[Part, ...]
    geometry: Geometry

    @property
    def rest(self) -> float:
        """What all other units come to."""
        return float(self.evidence.sum(dtype=np.float64)) - sum(e.evidence for e in self.parts)


def decided_by(
    classifier: Classifier, image: Image, wanted: str | int | None = None, top: int = 5
) -> Decision:
    """Take the logit of a picture apart into its units.

    Args:
        classifier: a network with linear layers (or a norm and linear layers) after the pooling.
        image: an upright picture, as `images.read` gives it.
        wanted: the class, by id or name; the predicted one, if not given.
        top: how many units are shown with their maps.

    Raises:
        ModelError: the head has no weights of its own for the units.
        ClassError: there is no such class.
    """
    head = heads.cached_head(classifier.module, classifier.example(2))
    _require_weights(classifier, head)
    array, geometry = classifier.preprocess(image)
    batch = torch.from_numpy(array)[None].to(classifier.device)
    with torch.no_grad(), in_eval_mode(classifier.module), run_eagerly():
        seen = look(classifier.module, head, (batch,), {})
        number = int(seen.logits[0].argmax()) if wanted is None else classifier.class_id(wanted)
        ids = torch.tensor([[number]], device=seen.features.device)
        rows, bias = head.rows(classifier.module, seen.features, ids)
        maps = rows[0, 0, :, None, None] * seen.features[0].to(rows.dtype)
        parts = evidence.pooled(maps[None])[0]
    logit = float(seen.logits[0, number])
    left = abs(float(parts.double().sum()) + float(bias[0, 0]) - logit)
    largest = parts.argsort(descending=True, stable=True)[:top].tolist()
    return Decision(
        class_id=number,
        class_name=classifier.class_name(number),
        logit=logit,
        bias=float(bias[0, 0]),
        certificate=left / float(evidence.logit_scale(seen.logits)[0, 0]),
        evidence=parts.float().cpu().numpy(),
        parts=tuple(_part(each, maps[each].float().cpu().numpy(), geometry) for each in largest),
        geometry=geometry,
    )


def _part(channel: int, map_: NDArray[np.float32], geometry: Geometry) -> Part:
    y, x = (int(each) for each in np.unravel_index(map_.argmax(), map_.shape))
    prepared = ((x + 0.5) / map_.shape[1], (y + 0.5) / map_.shape[0])
    at = (
        (share * side - offset) / scale
        for share, side, offset, scale in zip(
            prepared, geometry.prepared, geometry.offset, geometry.scale, strict=True
        )
    )
    px, py = at
    return Part(channel, float(map_.mean(dtype=np.float64)), (x, y), (px, py), map_)


def _require_weights(classifier: Classifier, head: Head) -> None:
    if head.plan is not None or head.kind == "class-maps":
        raise ModelError(
            f"model {classifier.name}",
            expected="linear layers after the pooling, with a weight for each unit and class",
            got=head.describe(),
            fix="put such a head on it: seewhy.to_gap",
        )
