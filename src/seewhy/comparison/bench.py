"""Methods at work: their maps on the same pictures, and what comes of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from seewhy.comparison.cost import Run, race
from seewhy.comparison.look import Eye, Seen
from seewhy.comparison.mosaics import CELLS, mosaic
from seewhy.comparison.result import Mean, Shown
from seewhy.methods import Method
from seewhy.methods.passes import undisturbed
from seewhy.metrics.localisation import class_difference, grid_pointing
from seewhy.results import Prediction

Maps = Mapping[str, np.ndarray]
Progress = Callable[[float], object]


class Bench:
    """Methods at work on one model, and how far they are.

    Args:
        eye: the model and the pictures.
        methods: by name.
        on_progress: told the share that is done, from 0 to 1.
        rounds: how many pictures, mosaics and rounds of timing there will be.
    """

    def __init__(
        self, eye: Eye, methods: Mapping[str, Method], on_progress: Progress, rounds: int
    ) -> None:
        self.eye, self.methods, self.on_progress = eye, methods, on_progress
        self.total, self.done = rounds * len(methods), 0

    def step(self) -> None:
        """One method has done one thing."""
        self.done += 1
        self.on_progress(self.done / self.total)

    def maps(self, image: Tensor, classes: Sequence[int]) -> dict[str, np.ndarray]:
        """Every method's maps (k, H, W) of one picture (1, C, H, W) for k classes."""
        found = {}
        ids = torch.tensor(classes, device=image.device)
        images = image.expand(len(classes), -1, -1, -1)
        for name, method in self.methods.items():
            found[name] = method.function(self.eye.model.module, images, ids).cpu().numpy()
            self.step()
        return found

    def costs(self, subject: Seen, rounds: int, seed: int) -> tuple[float, dict[str, float]]:
        """The median seconds of a forward pass, and of each method, on one picture."""
        module = self.eye.model.module
        image = self.eye.load(subject.row)[None]
        ids = torch.tensor(subject.classes[:1], device=image.device)
        contenders = {
            name: _awaited(partial(method.function, module, image, ids), image.device)
            for name, method in self.methods.items()
        }
        with undisturbed(module, image, ids) as network:
            forward = _awaited(torch.no_grad()(partial(network, image)), image.device)
            return race(forward, contenders, rounds=rounds, seed=seed, on_step=self.step)

    def differences(
        self, subjects: Sequence[Seen], shown: int
    ) -> tuple[dict[str, Mean], list[Shown]]:
        """How different the maps of each picture's two top classes are; and the first pictures."""
        found: dict[str, list[float]] = {name: [] for name in self.methods}
        kept: list[Shown] = []
        for subject in subjects:
            image = self.eye.load(subject.row)
            maps = self.maps(image[None], subject.classes)
            for name, (first, second) in maps.items():
                found[name].append(class_difference(first, second))
            if len(kept) < shown:
                kept.append(self._shown(image, subject, maps))
        return {name: Mean.of(values) for name, values in found.items()}, kept

    def pointing(
        self, hands: Sequence[tuple[int, ...]], sure: Mapping[int, Seen]
    ) -> tuple[dict[str, Mean | None], list[Shown]]:
        """How each method plays the grid pointing game; and the first mosaic."""
        found: dict[str, list[float]] = {name: [] for name in self.methods}
        kept: list[Shown] = []
        for hand in hands:
            image = mosaic(torch.stack([self.eye.load(row) for row in hand]))
            classes = [sure[row].classes[0] for row in hand]
            maps = self.maps(image, classes)
            for name, each in maps.items():
                found[name].append(grid_pointing(list(each)))
            kept = kept or [self._shown_mosaic(image[0], classes, maps)]
        return {name: Mean.of(values) if hands else None for name, values in found.items()}, kept

    def _shown(self, image: Tensor, subject: Seen, maps: Maps) -> Shown:
        name = self.eye.source.pictures.name_of(subject.row)
        classes = self._decided(subject.classes, subject.probabilities)
        return Shown(name, self.eye.pixels(image), classes, maps)

    def _shown_mosaic(self, image: Tensor, classes: Sequence[int], maps: Maps) -> Shown:
        """With the maps for its first and last picture, which lie across."""
        every = self.eye.probabilities(image[None])[0]
        ends = (0, len(CELLS) - 1)
        two = self._decided(
            [classes[end] for end in ends], [float(every[classes[end]]) for end in ends]
        )
        of_two = {name: each[list(ends)] for name, each in maps.items()}
        cells = tuple(CELLS[end] for end in ends)
        return Shown("mosaic", self.eye.pixels(image), two, of_two, cells)

    def _decided(
        self, classes: Sequence[int], probabilities: Sequence[float]
    ) -> tuple[Prediction, Prediction]:
        first, second = (
            Prediction(self.eye.name(class_id), probability)
            for class_id, probability in zip(classes, probabilities, strict=True)
        )
        return first, second


def _awaited(run: Run, device: torch.device) -> Run:
    """The same, not over before the device has done what it was told."""

    def to_the_end() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return to_the_end
