"""`faithfulness`: several methods and all metrics on the same pictures, beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.comparison.look import Eye, Seen
from seewhy.errors import InputError, ModelError, SeewhyError
from seewhy.explainer import explain
from seewhy.explanation import Explanation
from seewhy.figures.source import source_of
from seewhy.judging.chosen import named
from seewhy.judging.result import Faithfulness, MeanCurve
from seewhy.methods import Method
from seewhy.methods.passes import at_once
from seewhy.metrics.baselines import BASELINES
from seewhy.metrics.faithfulness.asked import Answer, Asked, Precision
from seewhy.metrics.faithfulness.completeness import Completeness, completeness
from seewhy.metrics.faithfulness.confidence import AREA, check_area
from seewhy.metrics.faithfulness.removal import STEPS, Curve
from seewhy.metrics.faithfulness.table import Measured, Metric, Settings
from seewhy.metrics.faithfulness.table import choose as choose_metrics
from seewhy.metrics.scores import Scores, joined
from seewhy.models import Classifier
from seewhy.tasks import Task, task_of

PICTURES = 100
AT_MOST = 25  # pictures between two steps of the progress bar
USUAL = ("cam", "gradient", "gradient-x-input", "guided-backprop", "deconvnet")

Progress = Callable[[float], object]


def faithfulness(
    model: Classifier,
    pictures: Any,
    methods: Iterable[str] | None = None,
    *,
    metrics: Iterable[str] | None = None,
    count: int = PICTURES,
    steps: int = STEPS,
    area: float = AREA,
    seed: int = 0,
    task: Task | None = None,
    precision: Precision = "float32",
    answer: Answer | None = None,
    on_progress: Progress = lambda _share: None,
) -> Faithfulness:
    """Ask whether the evidence in maps is real: change pictures where it lies, and ask again.

    The class explained is the one that the model predicts: of labels beside each other the most
    probable; of one logit "yes", whatever it says; of a regression the first output. Pictures are
    taken at random where there are more than `count`. A random map, a Gaussian in the middle and an
    edge detector are judged beside the methods, always.

    Args:
        model: what `load_model` gives.
        pictures: a data set, one of its splits, or a list of pictures.
        methods: names in `METHODS`; a few that cost one forward and one backward pass if None.
            Those that the network does not allow are left out, with the reason.
        metrics: names in `seewhy.metrics.faithfulness.METRICS`; all of them if None.
        count: how many pictures, at most.
        steps: of deletion and insertion.
        area: of sufficiency: the share of the pixels that stay.
        seed: of what is chosen at random.
        task: what the outputs mean, where the model itself does not show it, see `explain`. Of a
            regression the output itself is watched, in its own unit, and the metrics that ask for
            probabilities are left out.
        precision: of the passes over changed pictures, see `Asked`; maps are made as ever.
        answer: runs these passes in the model's place: any function of a batch of prepared pictures
            that gives the same logits, such as an engine.
        on_progress: told the share that is done, from 0 to 1.

    Raises:
        InputError: no such method or metric, or a number that makes no sense.
        DataError: no picture can be read.
        ModelError: none of the methods can be used on this network.

    Source:
        Each metric names its own, see `seewhy.metrics.faithfulness`.
    """
    for name, value in (("count", count), ("steps", steps)):
        if value < 1:
            raise InputError(name, expected="1 or more", got=str(value), fix="pass a larger number")
    check_area(area)
    meant = meant_by(model, task)
    settings, measures = (
        Settings(steps, area, seed, meant, precision),
        choose_metrics(metrics, meant),
    )
    source = source_of(pictures).fitted_to(model.name, model.class_names, model.num_classes)
    eye = Eye(model, source, task=meant)
    asked = Asked(answer or model.module, meant, precision)
    court = _Court(eye, asked, with_baselines(methods), measures, settings)
    subjects = subjects_of(eye, count, seed)
    batches = list(chunks(subjects, at_once(model.example(1))))
    for number, batch in enumerate(batches, 1):
        court.judge(*loaded(eye, batch))
        on_progress(number / len(batches))
    return Faithfulness(
        model=model.name,
        what=source.what,
        scores=court.scores(),
        baselines=tuple(BASELINES),
        curves=court.curves(),
        completeness=_completeness(eye, batches),
        refused=court.refused,
        settings=settings,
        skipped=tuple(eye.skipped),
    )


def meant_by(model: Classifier, wanted: Task | None = None) -> Task:
    """What the outputs mean; one logit for yes and no is a label like others: "yes"."""
    wanted = wanted or model.task
    count = model.num_classes or (1 if wanted == "binary" else 2)
    found = task_of(wanted, count, None, None)
    return "multi-label" if found == "binary" else found


def with_baselines(names: Iterable[str] | None) -> dict[str, Method]:
    """The methods of these names, the usual ones if None, and after them all baselines.

    Raises:
        InputError: there is no such method, or none was named.
    """
    chosen = named(USUAL if names is None else names)
    methods = {name: method for name, method in chosen.items() if name not in BASELINES}
    return {**methods, **BASELINES}


def subjects_of(eye: Eye, count: int, seed: int) -> list[Seen]:
    """The pictures to judge on, with the model's predictions."""
    rows = np.random.default_rng(seed).permutation(len(eye.source)).tolist()
    if len(rows) <= count:
        rows.sort()
    seen = list(islice(eye.look(iter(rows)), count))
    eye.require_any(seen)
    return seen


def chunks(seen: Sequence[Seen], size: int) -> Iterator[Sequence[Seen]]:
    """Some at a time: as many as fit, but not so many that nobody sees how far it is."""
    size = min(size, AT_MOST)
    for start in range(0, len(seen), size):
        yield seen[start : start + size]


def loaded(eye: Eye, batch: Sequence[Seen]) -> tuple[Tensor, Tensor]:
    """The prepared pictures and their predicted classes."""
    images = torch.stack([eye.load(each.row) for each in batch])
    return images, torch.tensor([each.classes[0] for each in batch], device=images.device)


def _completeness(eye: Eye, batches: Sequence[Sequence[Seen]]) -> Completeness | None:
    """How well the maps of `explain` add up; None where it gives none."""

    def explanations() -> Iterator[Explanation]:
        for batch in batches:
            images, classes = loaded(eye, batch)
            yield explain(eye.model.module, images, classes[:, None])

    try:
        return completeness(explanations())
    except SeewhyError:
        return None


class _Court:
    """Methods that are judged, batch after batch.

    Args:
        eye: the model and the pictures.
        asked: whom the metrics ask.
        methods: by name, the baselines among them.
        metrics: by name.
        settings: of these.
    """

    def __init__(
        self,
        eye: Eye,
        asked: Asked,
        methods: Mapping[str, Method],
        metrics: Mapping[str, Metric],
        settings: Settings,
    ) -> None:
        self.eye, self.methods, self.metrics = eye, dict(methods), metrics
        self.asked, self.settings = asked, settings
        self.refused: dict[str, str] = {}
        self._scores: dict[tuple[str, str], list[Scores]] = {}
        self._curves: dict[str, dict[str, list[Curve]]] = {}

    def judge(self, images: Tensor, classes: Tensor) -> None:
        """Make the maps of one batch, and measure them."""
        measures = {
            name: metric.begin(self.settings, self.asked, images, classes)
            for name, metric in self.metrics.items()
        }
        for name, method in list(self.methods.items()):
            maps = self._maps(name, method, images, classes)
            if maps is not None:
                for metric, measure in measures.items():
                    self._keep(name, metric, measure(maps))

    def _maps(self, name: str, method: Method, images: Tensor, classes: Tensor) -> Tensor | None:
        """A method's maps; None, and the method is out, if the network does not allow it.

        Raises:
            ModelError: no method is left but the baselines.
        """
        try:
            return method.function(self.eye.model.module, images, classes)
        except ModelError as problem:
            self.refused[name] = str(problem)
            del self.methods[name]
            if self.methods.keys() <= BASELINES.keys():
                raise
            return None

    def _keep(self, name: str, metric: str, found: Measured) -> None:
        self._scores.setdefault((name, metric), []).append(found.scores)
        for curve, drawn in found.curves.items():
            self._curves.setdefault(curve, {}).setdefault(name, []).append(drawn)

    def scores(self) -> dict[str, dict[str, Scores]]:
        """Of each method, for each metric."""
        return {
            name: {metric: joined(self._scores[name, metric]) for metric in self.metrics}
            for name in self.methods
        }

    def curves(self) -> dict[str, dict[str, MeanCurve]]:
        """The mean curves, by name, of each method."""
        return {
            curve: {name: _mean(parts) for name, parts in each.items()}
            for curve, each in self._curves.items()
        }


def _mean(parts: Sequence[Curve]) -> MeanCurve:
    every = np.concatenate([part.probabilities for part in parts])
    return MeanCurve(parts[0].shares, every.mean(0))
