"""The parameter randomisation test: does a map change when the network forgets what it learned?

A method whose maps stay much the same when layers are redrawn at random shows the picture, or the
network's architecture, and not what the network learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from seewhy.comparison.look import Eye
from seewhy.errors import InputError, ModelError, SeewhyError
from seewhy.figures.source import source_of
from seewhy.judging.chosen import named
from seewhy.judging.faithfulness import chunks, loaded, meant_by, subjects_of
from seewhy.judging.reinitialise import check_order, copied, layers_of, randomised
from seewhy.methods import Method
from seewhy.methods.passes import at_once
from seewhy.metrics.scores import Scores
from seewhy.metrics.similarity import MEASURES
from seewhy.models import Classifier

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from numpy.typing import NDArray

VERSION = 1
PICTURES = 16
USUAL = ("cam", "gradient", "guided-backprop", "deconvnet")

Progress = Callable[[float], object]


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture and its maps, for the figure.

    Attributes:
        name: what the picture is called.
        of: the class explained.
        pixels: what the network saw, (H, W, 3).
        maps: by method: of the network as it is, then after each layer, (1 + L, H, W); NaN where
            there was none.
    """

    name: str
    of: str
    pixels: UInt8[NDArray[np.uint8], "height width 3"]
    maps: Mapping[str, Float[NDArray[np.float32], "steps height width"]]


@dataclass(frozen=True, eq=False, repr=False)
class Randomisation:
    """What became of maps as a network's layers were redrawn.

    Attributes:
        model: its name.
        what: the pictures, in words.
        n: how many.
        order: "cascading" or "independent".
        layers: their names, from the logits down.
        similarity: by method and measure: to the map of the network as it is, after each layer.
        shown: one picture with its maps.
        refused: why other methods could not be used.
        seed: of the draws.
    """

    model: str
    what: str
    n: int
    order: str
    layers: tuple[str, ...]
    similarity: Mapping[str, Mapping[str, tuple[Scores, ...]]]
    shown: Shown
    refused: Mapping[str, str]
    seed: int

    def __repr__(self) -> str:
        return (
            f"Randomisation({self.order}, {len(self.layers)} layers of {self.model},"
            f" {', '.join(self.similarity)})"
        )

    def table(self) -> str:
        """The numbers as a table in Markdown, with what they mean below it."""
        from seewhy.judging.randomisation_table import table

        return table(self)

    def save(self, path: str | Path) -> Path:
        """Draw the maps and the curves as PNG, PDF or SVG.

        Raises:
            InputError: the path ends in none of these.
            FileError: it cannot be written.
        """
        from seewhy.judging.randomisation_figure import save

        return save(self, Path(path))

    def to_json(self) -> dict[str, object]:
        """All numbers, for a JSON document."""
        return {
            "version": VERSION,
            "model": self.model,
            "pictures": self.what,
            "count": self.n,
            "order": self.order,
            "seed": self.seed,
            "layers": list(self.layers),
            "methods": [
                {
                    "method": name,
                    "similarity": {
                        measure: [scores.to_json() for scores in each]
                        for measure, each in measures.items()
                    },
                }
                for name, measures in self.similarity.items()
            ],
            "refused": dict(self.refused),
        }


def randomisation_test(
    model: Classifier,
    pictures: Any,
    methods: Iterable[str] | None = None,
    *,
    order: str = "cascading",
    count: int = PICTURES,
    seed: int = 0,
    on_progress: Progress = lambda _share: None,
) -> Randomisation:
    """Redraw a network's layers, one after the other, and see whether maps follow.

    The class explained is the one that the network as it is predicts; of quantities, the first. All
    is done on a copy. Similarities are Spearman's rank correlation of the signed maps and of their
    magnitudes, and the structural similarity of the magnitudes, each a mean over the pictures.

    Args:
        model: what `load_model` gives.
        pictures: a data set, one of its splits, or a list of pictures.
        methods: names in `METHODS`, or of the baselines; cam, the gradient, guided backpropagation
            and the deconvnet if None. Those that the network does not allow are left out.
        order: "cascading" redraws each layer in addition to those above it, from the logits down;
            "independent" each alone.
        count: how many pictures, at most.
        seed: of the draws, and of the choice of pictures.
        on_progress: told the share that is done, from 0 to 1.

    Raises:
        InputError: no such method or order, or a number that makes no sense.
        DataError: no picture can be read.
        ModelError: none of the methods can be used, or the model cannot be copied.

    Source:
        Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 4.
    """
    if count < 1:
        raise InputError("count", expected="1 or more", got=str(count), fix="pass 16, say")
    check_order(order)
    chosen = named(USUAL if methods is None else methods)
    source = source_of(pictures).fitted_to(model.name, model.class_names, model.num_classes)
    eye = Eye(model, source, task=meant_by(model))
    subjects = subjects_of(eye, count, seed)
    batches = list(chunks(subjects, at_once(model.example(1))))
    trial = _Trial(model, chosen, order, seed)
    for number, batch in enumerate(batches):

        def so_far(share: float, done: int = number) -> None:
            on_progress((done + share) / len(batches))

        trial.run(*loaded(eye, batch), so_far)
    first = subjects[0]
    return Randomisation(
        model=model.name,
        what=source.what,
        n=len(subjects),
        order=order,
        layers=trial.layers,
        similarity=trial.similarity(),
        shown=Shown(
            source.pictures.name_of(first.row),
            eye.name(first.classes[0]),
            eye.pixels(eye.load(first.row)),
            trial.shown,
        ),
        refused=trial.refused,
        seed=seed,
    )


class _Trial:
    """Maps of the network as it is, and of its copies that forget.

    Args:
        model: the network.
        methods: by name.
        order: in which its layers are redrawn.
        seed: of the draws.
    """

    def __init__(
        self, model: Classifier, methods: Mapping[str, Method], order: str, seed: int
    ) -> None:
        self.model, self.methods = model, dict(methods)
        self.order, self.seed = order, seed
        image = model.example(1)
        self.layers = tuple(layer.name for layer in layers_of(copied(model.module), image))
        self.refused: dict[str, str] = {}
        self.shown: dict[str, np.ndarray] = {}
        self._found: dict[str, list[np.ndarray]] = {}

    def run(self, images: Tensor, classes: Tensor, on_progress: Progress) -> None:
        """Put one batch of pictures through the test."""
        before = self._first(images, classes)
        found: dict[str, list[np.ndarray]] = {name: [] for name in before}
        shown = {name: [maps[0].cpu().numpy()] for name, maps in before.items()}
        copies = randomised(self.model.module, images[:1], self.order, seed=self.seed)
        for number, (_, network) in enumerate(copies, 1):
            for name, maps in before.items():
                after = _maps_or_nan(self.methods[name], network, images, classes)
                found[name].append(_similarities(maps, after))
                shown[name].append(after[0].cpu().numpy())
            on_progress(number / len(self.layers))
        for name, each in found.items():
            self._found.setdefault(name, []).append(np.stack(each))
            self.shown.setdefault(name, np.stack(shown[name]))

    def _first(self, images: Tensor, classes: Tensor) -> dict[str, Tensor]:
        """The maps of the network as it is; what it does not allow is out.

        Raises:
            ModelError: it allows no method.
        """
        found = {}
        for name, method in list(self.methods.items()):
            try:
                found[name] = method.function(self.model.module, images, classes)
            except ModelError as problem:
                self.refused[name] = str(problem)
                del self.methods[name]
                if not self.methods:
                    raise
        return found

    def similarity(self) -> dict[str, dict[str, tuple[Scores, ...]]]:
        """By method and measure: the scores after each layer."""
        return {name: _by_measure(np.concatenate(each, 2)) for name, each in self._found.items()}


def _maps_or_nan(method: Method, network: Any, images: Tensor, classes: Tensor) -> Tensor:
    """A network of random weights may have no map: then it is NaN."""
    try:
        return method.function(network, images, classes)
    except SeewhyError:
        return images.new_full((len(images), *images.shape[2:]), math.nan)


def _similarities(first: Tensor, second: Tensor) -> np.ndarray:
    """By each measure, (measures, B)."""
    found = [measure(first, second).double().cpu().numpy() for measure in MEASURES.values()]
    return np.stack(found)


def _by_measure(values: np.ndarray) -> dict[str, tuple[Scores, ...]]:
    """From (layers, measures, B)."""
    return {
        name: tuple(Scores(layer[number]) for layer in values)
        for number, name in enumerate(MEASURES)
    }
