"""`localisation`: do maps find the object? Measured on pictures with true boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray
from PIL.Image import Image

from seewhy.datasets.boxed import Boxed
from seewhy.errors import DataError
from seewhy.geometry import Size
from seewhy.judging.finding import Finder, How
from seewhy.localize import Map
from seewhy.metrics.box_accuracy import (
    BoxAccuracy,
    gt_known_accuracy,
    localisation_error,
    max_box_acc,
    max_box_acc_v2,
    tune_threshold,
)
from seewhy.metrics.boxes import Overlaps, both_overlaps
from seewhy.metrics.centre import centre_map
from seewhy.metrics.estimate import Estimate
from seewhy.metrics.pointing import energy_in_boxes, pointing_hits
from seewhy.models import Classifier

TOP = 5
CENTRE = "centre"

Progress = Callable[[int], object]


@dataclass(frozen=True, eq=False, repr=False)
class Findings:
    """What the maps of one method found, picture by picture.

    Attributes:
        largest: the IoU of the largest component's box with the truth, at each threshold.
        best: the same for the best box of all components.
        pointing: whether the strongest cell lies in a true box, (n,).
        energy: the share of positive evidence in the true boxes, (n,).
    """

    largest: Overlaps
    best: Overlaps
    pointing: Bool[NDArray[np.bool_], " n"]
    energy: Float64[NDArray[np.float64], " n"]

    def of(self, pictures: NDArray[np.intp]) -> Findings:
        """Those of some of the pictures."""
        return Findings(
            self.largest.of(pictures),
            self.best.of(pictures),
            self.pointing[pictures],
            self.energy[pictures],
        )


@dataclass(frozen=True, eq=False, repr=False)
class Measures:
    """All measures of one method on some pictures.

    Attributes:
        max_box_acc_v2: its thresholds are the best ones for these very pictures.
        max_box_acc: the same.
        gt_known: at a threshold that was chosen on other pictures.
        top1_error: the same; None for a baseline, which names no class.
        top5_error: the same.
        pointing: the pointing game, without tolerance.
        energy: the energy-based pointing game.
    """

    max_box_acc_v2: BoxAccuracy
    max_box_acc: BoxAccuracy
    gt_known: Estimate
    top1_error: Estimate | None
    top5_error: Estimate | None
    pointing: Estimate
    energy: Estimate

    def to_json(self) -> dict[str, object]:
        """For a JSON document."""
        return {name: value and value.to_json() for name, value in vars(self).items()}


@dataclass(frozen=True, eq=False, repr=False)
class Localisation:
    """How well the maps of one method find objects; and somebody who always points to the middle.

    Attributes:
        model: its name.
        data: the name of the pictures' source.
        how: what kind of maps.
        size: (width, height) of the network's input.
        work: see `Finder`.
        n: how many pictures there were.
        threshold: of the box, by method; chosen on one half of the pictures.
        whole: by method, the measures on all pictures.
        other: by method, those on the half that nothing was chosen on.
        order: the pictures, from the best box to the worst.
        overlap: the IoU of the box of each picture, at that threshold, (n,).
        pictures: which items of the data these are, (n,).
        split_seed: of the halves.
        skipped: a line for each picture that was left out.
    """

    model: str
    data: str
    how: How
    size: tuple[int, int]
    work: float | None
    n: int
    threshold: Mapping[str, float]
    whole: Mapping[str, Measures]
    other: Mapping[str, Measures]
    order: Int64[NDArray[np.int64], " n"]
    overlap: Float64[NDArray[np.float64], " n"]
    pictures: Int64[NDArray[np.int64], " n"]
    split_seed: int
    skipped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Localisation({self.how} of {self.model} on {self.n} pictures of {self.data})"

    def to_json(self) -> dict[str, object]:
        """All numbers, for a JSON document."""
        return {
            "version": 1,
            "model": self.model,
            "data": self.data,
            "method": self.how.method,
            "resolution": self.how.resolution,
            "flip": self.how.flip,
            "scales": list(self.how.scales),
            "size": list(self.size),
            "passes": self.work,
            "count": self.n,
            "split_seed": self.split_seed,
            "threshold": dict(self.threshold),
            "all": {name: each.to_json() for name, each in self.whole.items()},
            "other_half": {name: each.to_json() for name, each in self.other.items()},
            "skipped": list(self.skipped),
        }


def localisation(
    model: Classifier,
    data: Boxed,
    how: How | None = None,
    *,
    usual: Size | None = None,
    split_seed: int = 0,
    on_progress: Progress = lambda _count: None,
) -> Localisation:
    """Measure how well maps of the true class find its objects.

    The network sees the whole of each picture, squashed to its input. Half of the pictures, drawn
    at random, choose the threshold of the box for GT-known accuracy and the localisation errors;
    these are reported on the other half. MaxBoxAcc and MaxBoxAccV2 take the best threshold of the
    pictures that they are reported on: that is how they are defined.

    Args:
        model: what `load_model` gives.
        data: see `load_boxes`.
        how: what kind of maps; plain CAM if None.
        usual: (width, height) of the pass that costs are compared with; the model's own if None.
        split_seed: of the halves.
        on_progress: told how many more pictures are done.

    Raises:
        DataError: fewer than four pictures can be used, or the model does not have these classes.
        Also what the method raises.

    Source:
        see `metrics/box_accuracy.py` and `metrics/pointing.py`.
    """
    finder = Finder(model, data, how or How(), usual)
    found = _look(finder, on_progress)
    count = len(found.kept)
    if count < 4:
        got, fix = f"{count}", "check the boxes and the labels"
        name = f"data {data.name}"
        raise DataError(name, expected="four pictures that can be used", got=got, fix=fix)
    choosing, rest = halves(count, split_seed)
    methods = found.findings()
    guesses, labels = np.concatenate(found.guesses), np.concatenate(found.labels)
    classes = model.num_classes or int(max(guesses.max(), labels.max())) + 1
    thresholds = {name: tune_threshold(each.largest.of(choosing)) for name, each in methods.items()}

    def measured(name: str, on: NDArray[np.intp]) -> Measures:
        named = None if name == CENTRE else (guesses[on], labels[on], classes)
        return measures(methods[name].of(on), thresholds[name], named)

    own = finder.how.method
    overlap = methods[own].largest.at(thresholds[own])
    return Localisation(
        model=model.name,
        data=data.name,
        how=finder.how,
        size=model.preprocess.size,
        work=finder.work,
        n=count,
        threshold=thresholds,
        whole={name: measured(name, np.arange(count)) for name in methods},
        other={name: measured(name, rest) for name in methods},
        order=np.argsort(-overlap, kind="stable"),
        overlap=overlap,
        pictures=np.array(found.kept),
        split_seed=split_seed,
        skipped=tuple(finder.skipped),
    )


def halves(count: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two halves of so many pictures, drawn at random: one to choose on, one to report on."""
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[: count // 2]), np.sort(order[count // 2 :])


def measures(
    found: Findings,
    threshold: float,
    named: tuple[Int64[NDArray[np.int64], "n k"], Int64[NDArray[np.int64], " n"], int] | None,
) -> Measures:
    """All measures.

    Args:
        found: on some pictures.
        threshold: of the box, for the measures that do not choose their own.
        named: the classes guessed, the true ones and how many there are; None where nothing
            guesses.
    """
    overlap = found.largest.at(threshold)
    errors: dict[int, Estimate | None] = {1: None, TOP: None}
    if named is not None:
        guessed, labels, classes = named
        # Only a guess that is the true class can be right, and its box is that of the true class.
        boxes = np.where(guessed == labels[:, None], overlap[:, None], 0.0)
        for top in errors:
            top_of = min(top, guessed.shape[1])
            errors[top] = localisation_error(
                guessed, labels, boxes, num_classes=classes, top=top_of
            )
    return Measures(
        max_box_acc_v2=max_box_acc_v2(found.best),
        max_box_acc=max_box_acc(found.largest),
        gt_known=gt_known_accuracy(overlap),
        top1_error=errors[1],
        top5_error=errors[TOP],
        pointing=Estimate.of_mean(found.pointing),
        energy=Estimate.of_mean(found.energy),
    )


@dataclass
class _Found:
    """What was found so far."""

    own: str
    kept: list[int] = field(default_factory=list)
    guesses: list[NDArray[np.int64]] = field(default_factory=list)
    labels: list[NDArray[np.int64]] = field(default_factory=list)
    parts: dict[str, list[Findings]] = field(default_factory=dict)

    def findings(self) -> dict[str, Findings]:
        """By method: its own, then the baseline."""
        return {name: all_findings(self.parts[name]) for name in (self.own, CENTRE)}


def _look(finder: Finder, on_progress: Progress) -> _Found:
    found = _Found(finder.how.method)
    for count, kept, pictures in finder.batches():
        if kept:
            found.kept += kept
            found.guesses.append(finder.guesses(pictures, _top(finder.model)))
            found.labels.append(finder.labels(kept))
            maps = list(finder.maps(pictures, kept).float().cpu().numpy())
            middle = [centre_map(finder.model.preprocess.size)] * len(kept)
            for name, these in ((found.own, maps), (CENTRE, middle)):
                part = findings_of(these, finder, kept, pictures)
                found.parts.setdefault(name, []).append(part)
        on_progress(count)
    return found


def _top(model: Classifier) -> int:
    return min(TOP, model.num_classes or TOP)


def findings_of(
    maps: Sequence[Map], finder: Finder, kept: Sequence[int], pictures: Sequence[Image]
) -> Findings:
    """What maps of some pictures found.

    Args:
        maps: of the true classes, (h, w) each, over the whole picture.
        finder: of the model and the data.
        kept: which items of the data the pictures are.
        pictures: as `Finder.read` gives them.
    """
    truths = [finder.data.items[index].boxes for index in kept]
    frame, size = [picture.size for picture in pictures], finder.model.preprocess.size
    largest, best = both_overlaps(maps, truths, frame=frame, size=size)
    return Findings(
        largest,
        best,
        pointing_hits(maps, truths, frame=frame, size=size),
        energy_in_boxes(maps, truths, frame=frame, size=size),
    )


def all_findings(parts: Sequence[Findings]) -> Findings:
    """What was found in several batches of pictures, as one."""
    return Findings(
        _of_all([part.largest for part in parts]),
        _of_all([part.best for part in parts]),
        np.concatenate([part.pointing for part in parts]),
        np.concatenate([part.energy for part in parts]),
    )


def _of_all(parts: list[Overlaps]) -> Overlaps:
    first = parts[0]
    values = np.concatenate([part.values for part in parts])
    cut = sum(part.cut for part in parts)
    return Overlaps(values, first.thresholds, first.components, first.convention, cut)
