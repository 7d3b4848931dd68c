"""`figure`: from a model and pictures to a `Figure`: choose, then explain the chosen ones only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from PIL.Image import Image

from seewhy import tasks
from seewhy.errors import InputError
from seewhy.explainer import explain
from seewhy.explanation import Explanation
from seewhy.figures.figure import Cell, Figure, Share
from seewhy.figures.select import Show, Wish, select
from seewhy.figures.source import Source, source_of
from seewhy.heads import Head, cached_head
from seewhy.models import Classifier

if TYPE_CHECKING:
    from seewhy.render import Style

_TINY = 64  # pixels of the network's input: such pictures are printed small
_ROWS, _COLUMNS, _COLUMNS_OF_TINY = 4, 3, 5
_BATCH = 16


def figure(
    model: Classifier,
    pictures: Any,
    *,
    show: Show = "random",
    rows: int | None = None,
    columns: int | None = None,
    seed: int = 0,
    split: str = "test",
    against: int | str | None = None,
    style: Style = "positive",
    scale: Literal["all", "picture"] = "all",
    title: str | None = None,
    dark: bool = False,
    on_progress: Callable[[int], object] | None = None,
) -> Figure:
    """Choose some pictures of many, and set each beside the evidence for what was predicted.

    Args:
        model: what `load_model` gives.
        pictures: a data set (what `load_dataset` gives), one of its splits, or pictures without
            labels: paths, Pillow pictures, arrays (H, W, 3).
        show: "random"; "mistakes", the most confident first; "narrowest", the smallest margin
            between the two most probable classes first; or a class, or several: pictures of it at
            random, or, where no labels are known, those predicted to be.
        rows: of the grid, 4 by default; fewer if there are not so many pictures.
        columns: of the grid; by default 5 for networks of tiny pictures, 3 for others.
        seed: of what is random.
        split: which split of a data set.
        against: measure the evidence against this class, or against all "others" at once.
        style: "positive", or "signed": also the evidence against the class.
        scale: one scale for "all" maps, or for each "picture" its own.
        title: above it.
        dark: light letters on a dark ground.
        on_progress: told how many more of the pictures are decided, where all have to be.

    Raises:
        HeadNotFound: the model has no head whose maps are exact.
        CertificateError: evidence and bias do not add up to the logits.
        DataError: the labels are of classes that the model does not have.
        ClassError: a class that the model does not have.
        InputError: there is nothing to show, or an option has no meaning; or no class is
            predicted: the model gives quantities.
    """
    _check_numbers(rows=rows, columns=columns)
    head = cached_head(model.module, model.example())
    _check_grid(head.grid, model.name)
    model, source = _fitted(model, head, source_of(pictures, split), show)
    is_tiny = max(model.preprocess.size) <= _TINY
    wide = columns or (_COLUMNS_OF_TINY if is_tiny else _COLUMNS)
    wish = Wish(show, (rows or _ROWS) * wide, seed)
    selection = select(model, source, wish, on_progress)
    return Figure(
        cells=tuple(_cells(model, source, selection.images, against)),
        columns=min(wide, len(selection.images)),
        model=model.name,
        chosen=selection.words,
        style=style,
        scale=scale,
        with_second=show == "narrowest",
        title=title,
        dark=dark,
        skipped=selection.skipped,
    )


def _fitted(model: Classifier, head: Head, source: Source, show: Show) -> tuple[Classifier, Source]:
    """The model with what its outputs mean, and the pictures with their labels in its order.

    Labels side by side are told apart from the class of a picture: such a model may be right with
    others than the one that the data know.
    """
    task = tasks.task_of(model.task, head.num_classes, head.activation, model.class_names)
    if task == "regression":
        _refuse("figure", "classes to predict", "a regression", "draw with seewhy explain --out")
    model = replace(model, task=task)
    if task == "multi-label":
        if show in ("mistakes", "narrowest"):
            expected, got = "classes that exclude each other", "labels side by side"
            _refuse(f"show {show}", expected, got, "choose random, or a label")
        return model, replace(source, labels=None, class_names=model.class_names)
    names, count = tasks.outcomes(task, head.num_classes, model.class_names)
    return model, source.fitted_to(model.name, names, count)


def _refuse(what: str, expected: str, got: str, fix: str) -> None:
    raise InputError(what, expected=expected, got=got, fix=fix)


def _cells(
    model: Classifier, source: Source, images: dict[int, Image], against: int | str | None
) -> Sequence[Cell]:
    """The chosen pictures, explained a few at a time."""
    cells: list[Cell] = []
    waiting = iter(images.items())
    while batch := dict(islice(waiting, _BATCH)):
        result = explain(
            model,
            list(batch.values()),
            against=against,
            class_names=source.class_names,
        )
        cells.extend(
            _cell(result, index, image, source, row)
            for index, (row, image) in enumerate(batch.items())
        )
    return cells


def _cell(result: Explanation, index: int, image: Image, source: Source, row: int) -> Cell:
    probabilities = result.probabilities[index]

    def share(class_id: int) -> Share:
        return Share(class_id, result.name(class_id), float(probabilities[class_id]))

    best, *others = probabilities.topk(min(2, len(probabilities))).indices.tolist()
    second = share(others[0]) if others else None
    label = None if source.labels is None else int(source.labels[row])
    return Cell(
        picture=result.picture(index, image, source.pictures.name_of(row)),
        margin=float(probabilities[best]) - (second.probability if second else 0),
        second=second,
        truth=None if label is None else share(label),
    )


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise InputError(name, expected="1 or more", got=str(value), fix="pass another number")


def _check_grid(grid: Sequence[int], model: str) -> None:
    if len(grid) != 2:
        raise InputError(
            f"model {model}",
            expected="feature maps with height and width, to draw over pictures",
            got=f"a grid of {' x '.join(map(str, grid))}",
            fix="take a model of pictures",
        )
