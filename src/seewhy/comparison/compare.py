"""`compare`: several methods on one model and the same pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seewhy.comparison.bench import Bench, Progress
from seewhy.comparison.look import Eye, Seen
from seewhy.comparison.mosaics import CELLS, deal, mosaic
from seewhy.comparison.result import Comparison, Cost, Score
from seewhy.errors import DataError, InputError, ModelError
from seewhy.figures.source import source_of
from seewhy.methods import Method, choose
from seewhy.models import Classifier

MOSAICS, SAMPLES, SHOWN, ROUNDS, CONFIDENCE = 8, 10, 3, 5, 0.5
_SPARE = 2  # times as many sure pictures as mosaics have cells, so that four classes are among them


@dataclass(frozen=True)
class Wish:
    """How thorough a comparison is to be.

    Attributes:
        mosaics: how many mosaics; None for the usual number, or none where the pictures do not
            allow any.
        samples: how many pictures have maps made of them for two classes.
        shown: how many of these are part of the figure.
        rounds: how often each method is timed.
        confidence: how probable the right class of a mosaic's pictures is at least.
        seed: of what is chosen at random.
    """

    mosaics: int | None = None
    samples: int = SAMPLES
    shown: int = SHOWN
    rounds: int = ROUNDS
    confidence: float = CONFIDENCE
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"samples": 1, "shown": 0, "rounds": 1, "mosaics": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                fix = "pass a larger number"
                raise InputError(name, expected=f"{bound} or more", got=str(value), fix=fix)
        if not 0 <= self.confidence <= 1:
            got = f"{self.confidence}"
            fix = "pass a probability"
            raise InputError("confidence", expected="0 to 1", got=got, fix=fix)


def compare(
    model: Classifier,
    pictures: Any,
    methods: Iterable[str] | None = None,
    *,
    wish: Wish | None = None,
    on_progress: Progress = lambda _share: None,
) -> Comparison:
    """Compare methods on the same pictures: cost, difference between classes, grid pointing game.

    Maps are of the prepared picture. Pictures are taken at random where there are more than are
    needed. The mosaics' pictures are those that the model recognises with confidence, and rightly
    where their labels are known; a mosaic goes through the network at twice the size.

    Args:
        model: what `load_model` gives.
        pictures: a data set, one of its splits, or a list of pictures.
        methods: names in `METHODS`; the usual ones if None. Those that the network does not allow
            are left out, with the reason.
        wish: how thorough to be.
        on_progress: told the share that is done, from 0 to 1.

    Raises:
        InputError: no such method, or an option that makes no sense; or a model without two classes
            to choose from.
        DataError: no picture can be read, or too few for the mosaics that were asked for.
        ModelError: none of the methods can be used on this network.

    Source:
        The three questions: see `cost.race`, `class_difference` and `grid_pointing`.
    """
    _check_task(model)
    chosen, wish = choose(methods), wish or Wish()
    source = source_of(pictures).fitted_to(model.name, model.class_names, model.num_classes)
    eye = Eye(model, source, task=model.task or "single-label")
    subjects, sure = _subjects(eye, wish)
    usable, refused = _usable(eye, chosen, subjects[0])
    hands, note = _hands(eye, sure, wish)
    bench = Bench(eye, usable, on_progress, wish.rounds + len(subjects) + len(hands))
    forward, costs = bench.costs(subjects[0], wish.rounds, wish.seed)
    differences, shown = bench.differences(subjects, wish.shown)
    pointing, shown_mosaic = bench.pointing(hands, sure)
    return Comparison(
        model=model.name,
        what=f"{len(source):,} {source.what}",
        forward_seconds=forward,
        scores=tuple(
            Score(name, Cost(costs[name], costs[name] / forward), differences[name], pointing[name])
            for name in usable
        ),
        refused=refused,
        shown=(*shown, *(shown_mosaic if wish.shown else ())),
        note=note,
        seed=wish.seed,
        skipped=tuple(eye.skipped),
    )


def _check_task(model: Classifier) -> None:
    if model.task in ("regression", "binary"):
        raise InputError(
            "compare",
            expected="two classes at least, to show one picture's maps for both",
            got="quantities" if model.task == "regression" else "one logit, for yes and no",
            fix="judge its maps with seewhy evaluate faithfulness",
        )


def _subjects(eye: Eye, wish: Wish) -> tuple[list[Seen], dict[int, Seen]]:
    """The pictures to make maps of, and those that are sure enough for mosaics, by row."""
    wanted = MOSAICS if wish.mosaics is None else wish.mosaics
    enough = _SPARE * len(CELLS) * wanted
    rows = np.random.default_rng(wish.seed).permutation(len(eye.source)).tolist()
    if len(rows) <= wish.samples:
        rows.sort()
    seen: list[Seen] = []
    sure: dict[int, Seen] = {}
    for each in eye.look(iter(rows)):
        seen.append(each)
        if each.is_sure(wish.confidence):
            sure[each.row] = each
        if len(seen) >= wish.samples and len(sure) >= enough:
            break
    eye.require_any(seen)
    return seen[: wish.samples], sure


def _usable(
    eye: Eye, chosen: Mapping[str, Method], subject: Seen
) -> tuple[dict[str, Method], dict[str, str]]:
    """The methods that this network allows, and why not the others; each runs once.

    Raises:
        ModelError: it allows none.
    """
    refused: dict[str, ModelError] = {}
    image, classes = eye.load(subject.row)[None], torch.tensor(subject.classes[:1])
    for name, method in chosen.items():
        try:
            method.function(eye.model.module, image, classes.to(image.device))
        except ModelError as problem:
            refused[name] = problem
    if len(refused) == len(chosen):
        raise next(iter(refused.values()))
    usable = {name: method for name, method in chosen.items() if name not in refused}
    return usable, {name: str(problem) for name, problem in refused.items()}


def _hands(eye: Eye, sure: Mapping[int, Seen], wish: Wish) -> tuple[list[tuple[int, ...]], str]:
    """The pictures of each mosaic; and what they are, or why there are none."""
    if wish.mosaics == 0:
        return [], ""
    classes = {row: seen.classes[0] for row, seen in sure.items()}
    try:
        hands = deal(classes, MOSAICS if wish.mosaics is None else wish.mosaics, wish.seed)
        _try_mosaic(eye, hands[0])
    except (DataError, ModelError) as problem:
        if wish.mosaics is not None:
            raise
        return [], f"no mosaics: {problem}"
    right = "recognised" if eye.source.labels is None else "rightly recognised"
    classed = " (the class is the predicted one)" if eye.source.labels is None else ""
    used = len({row for hand in hands for row in hand})
    return hands, (
        f"Mosaics of {used} pictures {right} with {wish.confidence:.0%} or more{classed},"
        f" at twice the network's input size; seed {wish.seed}."
    )


def _try_mosaic(eye: Eye, hand: Sequence[int]) -> None:
    try:
        eye.probabilities(mosaic(torch.stack([eye.load(row) for row in hand])))
    except ModelError as problem:
        raise ModelError(
            f"model {eye.model.name}",
            expected="a network that takes mosaics of twice its input's size",
            got=problem.got,
            fix="make no mosaics",
        ) from problem
