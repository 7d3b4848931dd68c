"""`Explanation`: the one value that crosses boundaries: logits, classes, maps, certificate."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from seewhy import tasks
from seewhy.errors import FileError
from seewhy.evidence import accumulation_dtype, total_evidence, without_gradients
from seewhy.files import write_whole
from seewhy.finer.views import Views
from seewhy.geometry import Geometry
from seewhy.results import CAM, NOT_ADDITIVE, quantity
from seewhy.tasks import Task

if TYPE_CHECKING:
    from PIL.Image import Image

    from seewhy.results import ClassEvidence, PictureEvidence, Prediction

FORMAT = "seewhy-explanation"
VERSION = 2


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why a classifier gave B pictures their logits, for k classes each.

    `total_evidence(maps) + bias` adds up to `target`, which is the logit of each class, or the
    margin or log-odds if the evidence is `against` something.

    Attributes:
        logits: all logits as the model computed them, shape (B, C).
        classes: the classes explained, shape (B, k).
        maps: raw, signed evidence in logits on the feature grid, shape (B, k, *S).
        bias: what lies nowhere in the picture, in logits, shape (B, k).
        target: what evidence and bias are to add up to, shape (B, k).
        certificate: how far they are from it, over the scale of the picture's logits, (B, k).
        tolerance: the largest certificate that rounding explains, at the precision of the pass.
        kind: the kind of the head: "linear", "class-maps", "normalised", "pooled", "first-order"
            or "none"; the first four promise that evidence and bias add up.
        against: the class that the evidence is measured against, "others", or None.
        geometry: what preprocessing did to each picture; None for inputs that came as tensors.
        class_names: the names of all C classes, if known.
        task: what the logits mean: "single-label", "multi-label", "binary", "regression" (then
            they are quantities in units of their own, and so are maps and bias), or "similarity".
        views: what was averaged, if maps, bias and target are means over several passes. Logits
            and probabilities are those of the plain pass all the same.
        method: how the maps were made, in words.
    """

    logits: Float[Tensor, "batch all_classes"]
    classes: Int[Tensor, "batch classes"]
    maps: Float[Tensor, "batch classes *spatial"]
    bias: Float[Tensor, "batch classes"]
    target: Float[Tensor, "batch classes"]
    certificate: Float[Tensor, "batch classes"]
    tolerance: float
    kind: str
    against: int | str | None = None
    geometry: tuple[Geometry | None, ...] = ()
    class_names: tuple[str, ...] | None = None
    task: Task = "single-label"
    views: Views | None = None
    method: str = CAM

    def __repr__(self) -> str:
        best = [self._decision(index) for index in range(min(3, len(self)))]
        more = ["..."] if len(self) > len(best) else []
        return (
            f"Explanation(predicted {', '.join(best + more)}; {self.kind} maps"
            f" {tuple(self.maps.shape)} of {self.logits.shape[1]} classes, {self._how_well()})"
        )

    def _decision(self, index: int) -> str:
        best = self.prediction(index)
        if best is not None:
            return f"{best.name} {best.probability:.1%}"
        first = int(self.classes[index, 0])
        return f"{self.name(first)} {float(self.logits[index, first]):.3g}"

    def _how_well(self) -> str:
        if not self.is_additive:
            return f"residual up to {float(self.residual_share.max()):.0%} of a logit less its bias"
        worst = float(self.certificate.max())
        return f"certificate {worst:.0e}, rounding explains {self.tolerance:.0e}"

    def __len__(self) -> int:
        return self.logits.shape[0]

    @functools.cached_property
    def probabilities(self) -> Float[Tensor, "batch all_classes"]:
        """Softmax or sigmoids of the logits, as `task` says; NaN for a regression, shape (B, C)."""
        wide = self.logits.to(accumulation_dtype(self.logits.dtype))
        with without_gradients():
            return tasks.probabilities(wide, self.task)

    @property
    def evidence(self) -> Float[Tensor, "batch classes"]:
        """The mean of each map: what the picture contributes, in logits, shape (B, k)."""
        return total_evidence(self.maps)

    @property
    def residual(self) -> Float[Tensor, "batch classes"]:
        """What evidence and bias leave of the target, in logits, shape (B, k)."""
        return self.target - self.evidence - self.bias

    @property
    def residual_share(self) -> Float[Tensor, "batch classes"]:
        """The residual's magnitude over that of what the evidence was to be, shape (B, k).

        That is the target less the bias; where both are zero, so is the share.
        """
        left, whole = self.residual.abs(), (self.target - self.bias).abs()
        return torch.where(left == 0, 0.0, left / whole)

    @property
    def is_additive(self) -> bool:
        """Whether maps of this kind are to add up: if not, see `residual`."""
        return self.kind not in NOT_ADDITIVE

    @property
    def adds_up(self) -> torch.Tensor:
        """Which maps are exact, shape (B, k), boolean. NaN never is."""
        return self.certificate <= self.tolerance

    @property
    def is_exact(self) -> bool:
        """Whether every map adds up; one with NaN never does."""
        return all(one <= self.tolerance for each in self.certificate.tolist() for one in each)

    @property
    def positive(self) -> torch.Tensor:
        """Which of the classes explained have a probability above 0.5, shape (B, k), boolean."""
        return self.probabilities.gather(1, self.classes) > 0.5

    @property
    def quantity(self) -> str:
        """What evidence and bias add up to, in a word: "logit", "output" or "similarity"."""
        return quantity(self.task)

    def name(self, class_id: int) -> str:
        """The name of a class; `class 3` (or `output 3`) where the model has no names."""
        if self.class_names is not None:
            return self.class_names[class_id]
        return f"{'class' if self.quantity == 'logit' else self.quantity} {int(class_id)}"

    def upsample(self, size: tuple[int, ...]) -> Float[Tensor, "batch classes *size"]:
        """The maps at another resolution (height, width), still in logits.

        Bilinear (linear, trilinear) with half-pixel centres, as `align_corners=False`.
        """
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[self.maps.ndim - 2]
        return F.interpolate(self.maps, size=size, mode=mode, align_corners=False)

    def picture(self, index: int, image: Image, path: str = "") -> PictureEvidence:
        """One picture's evidence as plain numbers, for `render` and `report`.

        Args:
            index: which picture of the batch.
            image: the upright original.
            path: where it came from, or a name.
        """
        from seewhy.results import PictureEvidence

        geometry = self.geometry[index] if self.geometry else None
        return PictureEvidence(
            path=path,
            image=image,
            geometry=geometry or Geometry.identity(image.size),
            classes=self.class_evidence(index),
            against=self.against_name,
            predicted=self.prediction(index),
        )

    def prediction(self, index: int) -> Prediction | None:
        """The most probable of all classes, for one picture of the batch; a regression has none."""
        from seewhy.results import Prediction

        if self.quantity != "logit":
            return None
        probability, class_id = self.probabilities[index].max(0)
        return Prediction(self.name(int(class_id)), float(probability))

    def class_evidence(self, index: int) -> tuple[ClassEvidence, ...]:
        """The numbers and the map of each class explained, for one picture of the batch."""
        from seewhy.results import MEAN, ClassEvidence

        ids = self.classes[index].tolist()
        own = [None] * len(ids) if self.views is None else self.views.plain[index].tolist()
        word = self.quantity if self.views is None else MEAN + self.quantity
        maps = self.maps[index].float().cpu().numpy()
        probabilities = self.probabilities[index, self.classes[index]]
        sums = (self.target, self.evidence, self.bias, self.certificate)
        columns = [column.tolist() for column in (probabilities, *(each[index] for each in sums))]
        return tuple(
            replace(
                ClassEvidence(class_id, self.name(class_id), *numbers),
                quantity=word,
                kind=self.kind,
                plain_logit=plain,
            )
            for plain, class_id, *numbers in zip(own, ids, *columns, maps, strict=True)
        )

    @property
    def against_name(self) -> str | None:
        """The name of what the evidence is measured against, "others", or None."""
        return self.name(self.against) if isinstance(self.against, int) else self.against

    def save(self, path: str | Path) -> Path:
        """Write everything to one safetensors file; what is no tensor goes in its JSON header.

        The file appears whole or not at all.

        Raises:
            FileError: it cannot be written.
        """
        from safetensors.torch import save

        tensors = {name: _packed(getattr(self, name)) for name in _TENSORS}
        tensors |= {} if self.views is None else {_PLAIN: _packed(self.views.plain)}
        header = {
            "format": FORMAT,
            "version": VERSION,
            "tolerance": self.tolerance,
            "kind": self.kind,
            "method": self.method,
            "against": self.against,
            "geometry": [g and g.to_json() for g in self.geometry],
            "class_names": self.class_names,
            "task": self.task,
            "views": self.views and self.views.to_json(),
        }
        return write_whole(path, [save(tensors, {FORMAT: json.dumps(header)})])

    @classmethod
    def load(cls, path: str | Path) -> Explanation:
        """Read what `save` wrote, bit for bit.

        Raises:
            FileError: there is no such file, or it is damaged or of another kind.
        """
        from safetensors import SafetensorError

        unlike = (OSError, SafetensorError, LookupError, TypeError, AttributeError, ValueError)
        try:
            return cls(**_read_fields(path))
        except FileError:
            raise
        except unlike as error:
            raise FileError(
                str(path),
                expected="a file that Explanation.save wrote",
                got="no such file" if isinstance(error, FileNotFoundError) else "something else",
                fix="check the path",
            ) from error


_FIELDS = ("logits", "classes", "maps", "bias", "target", "certificate")
_TENSORS = (*_FIELDS, "probabilities")  # for whoever reads the file without seewhy
_PLAIN = "plain"


def _packed(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def _read_fields(path: str | Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(os.fspath(path), framework="pt") as file:
        header = json.loads(file.metadata()[FORMAT])
        if header["version"] > VERSION:
            raise FileError(
                str(path),
                expected=f"version {VERSION} or older",
                got=f"version {header['version']}",
                fix="update seewhy",
            )
        tensors = {name: file.get_tensor(name) for name in _FIELDS}
        views = header.get("views")
        views = views and Views.from_json(views, file.get_tensor(_PLAIN))
    names = header["class_names"]
    return {
        **tensors,
        "tolerance": float(header["tolerance"]),
        "kind": header["kind"],
        "method": header.get("method", CAM),  # version 1 knew no other
        "against": header["against"],
        "geometry": tuple(g and Geometry.from_json(g) for g in header["geometry"]),
        "class_names": None if names is None else tuple(names),
        "task": header.get("task", "single-label"),
        "views": views,
    }
