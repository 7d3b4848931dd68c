"""Maps of pictures with true boxes, batch by batch: whatever makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from seewhy.datasets.boxed import Boxed
from seewhy.datasets.matching import logit_ids
from seewhy.errors import DataError, ImageError, InputError
from seewhy.explainer import explain
from seewhy.geometry import Size
from seewhy.methods import choose
from seewhy.methods.passes import at_once
from seewhy.models import Classifier
from seewhy.models.cost import cost
from seewhy.refinement import Refined, refine
from seewhy.wording import near_or

CAM, REFINED = "cam", "refined"


@dataclass(frozen=True)
class How:
    """How maps are made.

    Attributes:
        method: "cam", "refined", or a name in `METHODS`.
        resolution: of the evidence's grid; for "cam".
        flip: average with mirrored pictures; for "cam" and "refined".
        scales: average over sizes; for "cam" and "refined".

    Raises:
        InputError: on construction: no such method, or options that it does not have.
    """

    method: str = CAM
    resolution: int = 1
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.method != REFINED and self.method not in choose():
            known = (REFINED, *choose())
            raise InputError(
                f"method '{self.method}'",
                expected=f"one of {', '.join(known)}",
                got="none of these",
                fix=near_or(self.method, known, "choose from that list"),
            )
        is_plain = not self.flip and self.scales == (1.0,)
        if self.resolution != 1 and self.method != CAM:
            self._refuse("resolution", CAM)
        if not is_plain and self.method not in (CAM, REFINED):
            self._refuse("flip and scales", f"{CAM} and {REFINED}")

    def _refuse(self, option: str, methods: str) -> None:
        fix = "leave the option out"
        raise InputError(option, expected=f"method {methods}", got=self.method, fix=fix)

    def __str__(self) -> str:
        parts = [self.method]
        parts += [f"resolution {self.resolution}"] if self.resolution != 1 else []
        parts += ["mirrored"] if self.flip else []
        parts += [f"scales {', '.join(map(str, self.scales))}"] if self.scales != (1.0,) else []
        return ", ".join(parts)


class Finder:
    """Shows the whole of each picture to a network, squashed, and asks for maps of its class.

    Args:
        model: what `load_model` gives.
        data: the pictures.
        how: what kind of maps.
        usual: (width, height) of the pass that costs are compared with; the model's own if None.

    Attributes:
        skipped: a line for each picture that was left out so far.
        work: the multiply-adds of a picture's maps over those of a plain pass at the usual size;
            None for methods that only count passes.

    Raises:
        DataError: the model does not have these classes.
    """

    def __init__(self, model: Classifier, data: Boxed, how: How, usual: Size | None = None) -> None:
        self.usual = usual or model.preprocess.size
        self.model, self.data, self.how = whole(model), data, how
        self.skipped = list(data.skipped)
        self.work: float | None = None
        self._logits = _logits_of(data, self.model)

    def read(self, indices: Sequence[int]) -> tuple[list[int], list[Image]]:
        """The pictures that can be used, and which of the indices they are."""
        kept, pictures = [], []
        for index in indices:
            try:
                self._check_label(index)
                pictures.append(self.data.image(index))
                kept.append(index)
            except (DataError, ImageError) as problem:
                self.skipped.append(str(problem))
        return kept, pictures

    def batches(self) -> Iterator[tuple[int, list[int], list[Image]]]:
        """How many items each batch took, those of them that can be used, and their pictures."""
        size = at_once(self.model.example(1))
        for start in range(0, len(self.data), size):
            indices = range(start, min(start + size, len(self.data)))
            yield (len(indices), *self.read(indices))

    def maps(self, pictures: Sequence[Image], kept: Sequence[int]) -> Tensor:
        """The map of each picture's class, (n, h, w), on whatever grid the method has."""
        inputs = self.inputs(pictures)
        ids = torch.from_numpy(self._logits[self.data.labels[list(kept)]]).to(inputs.device)
        return _MAKERS.get(self.how.method, _by_method)(self, inputs, ids)

    def guesses(self, pictures: Sequence[Image], top: int) -> NDArray[np.int64]:
        """The classes that the model thinks most likely, the first first, (n, top), by logit."""
        plain = explain(self.model.module, self.inputs(pictures), f"top{top}", strict=False)
        found: NDArray[np.int64] = plain.classes.cpu().numpy()
        return found

    def labels(self, kept: Sequence[int]) -> NDArray[np.int64]:
        """The true classes by logit."""
        found: NDArray[np.int64] = self._logits[self.data.labels[list(kept)]]
        return found

    def note_work(self, multiply_adds: float) -> None:
        """Note what the maps of a picture cost."""
        if self.work is None:
            usual = replace(self.model, preprocess=replace(self.model.preprocess, size=self.usual))
            self.work = multiply_adds / cost(self.model.module, usual.example(1)).multiply_adds

    def inputs(self, pictures: Sequence[Image]) -> Tensor:
        """Pictures as the network takes them, (n, channel, height, width)."""
        arrays = [self.model.preprocess(picture)[0] for picture in pictures]
        return torch.from_numpy(np.stack(arrays)).to(self.model.example(1))

    def _check_label(self, index: int) -> None:
        label, count = self.data.items[index].label, len(self._logits)
        if label >= count:
            raise DataError(
                self.data.name_of(index),
                expected=f"a label from 0 to {count - 1}",
                got=str(label),
                fix="correct the row, or take a model of these classes",
            )


def whole(model: Classifier) -> Classifier:
    """The same, but that it sees the whole of each picture, squashed: all boxes lie in its view."""
    preprocess = replace(model.preprocess, mode="squash", crop=1.0)
    return replace(model, preprocess=preprocess)


def _logits_of(data: Boxed, model: Classifier) -> NDArray[np.int64]:
    """The logit of each label."""
    if data.class_names is None:
        return np.arange(model.num_classes or int(data.labels.max()) + 1, dtype=np.int64)
    names, count = model.class_names, model.num_classes
    return logit_ids(data.class_names, names, count, subject=f"data {data.name}", model=model.name)


def _cam(finder: Finder, inputs: Tensor, ids: Tensor) -> Tensor:
    how, network = finder.how, finder.model.module
    options: dict[str, Any] = {"flip": how.flip, "scales": how.scales, "resolution": how.resolution}
    result = explain(network, inputs, ids[:, None], **options)
    if finder.work is None:
        passes = 1.0 if result.views is None else result.views.cost
        finder.note_work(passes * cost(network, inputs[:1]).multiply_adds)
    return result.maps[:, 0]


def _refined(finder: Finder, inputs: Tensor, ids: Tensor) -> Tensor:
    how = finder.how
    others = [scale for scale in how.scales if scale != 1.0]
    result: Refined = refine(
        finder.model.module, inputs, ids[:, None], flip=how.flip, scales=others
    )
    finder.note_work(result.multiply_adds)
    return result.refined[:, 0]


def _by_method(finder: Finder, inputs: Tensor, ids: Tensor) -> Tensor:
    (method,) = choose([finder.how.method]).values()
    return method.function(finder.model.module, inputs, ids)


_MAKERS: dict[str, Callable[[Finder, Tensor, Tensor], Tensor]] = {CAM: _cam, REFINED: _refined}
