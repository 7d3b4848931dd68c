"""From a wish to pictures: decide what has to be decided, put it in order, read the first few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from PIL.Image import Image

from seewhy.classes import class_id
from seewhy.errors import ClassError, DataError, ImageError, InputError
from seewhy.figures import choice
from seewhy.figures.choice import WAYS, Decisions, Rows
from seewhy.figures.decide import decide
from seewhy.figures.source import Source
from seewhy.models import Classifier
from seewhy.wording import first_few, near_or

if TYPE_CHECKING:
    from seewhy.figures.decide import Progress

Show = str | int | Sequence[str | int]


@dataclass(frozen=True)
class Wish:
    """Which pictures are wanted.

    Attributes:
        show: one of `WAYS`, or a class, or several.
        count: how many at most.
        seed: of what is random.
    """

    show: Show
    count: int
    seed: int


@dataclass(frozen=True)
class Selection:
    """The pictures that were chosen.

    Attributes:
        images: by row of the source, in the order in which they are shown.
        words: what they are and how they were chosen.
        skipped: a line for each picture that could not be read.
    """

    images: dict[int, Image]
    words: str
    skipped: tuple[str, ...]


def select(
    model: Classifier, source: Source, wish: Wish, on_progress: Progress | None = None
) -> Selection:
    """Choose pictures; all of them go through the model only if the wish depends on it.

    Args:
        model: whom to ask.
        source: the pictures, its labels and names in the model's order.
        wish: which ones.
        on_progress: told how many more are decided.

    Raises:
        InputError: there are none such.
        DataError: none of them can be read.
    """
    classes = class_wish(wish.show, source.class_names, model.num_classes)
    if wish.show == "mistakes" and source.labels is None:
        _refuse("mistakes", "pictures with labels", "pictures without")
    decisions: Decisions | None = None
    skipped: tuple[str, ...] = ()
    if wish.show in ("mistakes", "narrowest") or (classes and source.labels is None):
        decisions, skipped = decide(model, source, on_progress)
    order = _order(source, wish, classes, decisions)
    if not len(order):
        _nothing(source, wish, classes)
    images, broken = _read(source, order, wish.count)
    shown = dict(sorted(images.items())) if wish.show == "random" else images
    return Selection(shown, _words(source, wish, classes, len(order), len(shown)), skipped + broken)


def class_wish(show: Show, names: tuple[str, ...] | None, count: int | None) -> tuple[int, ...]:
    """The classes that are to be shown, as ids; none where a way of choosing is.

    Raises:
        InputError: it is neither a way nor a class.
    """
    if isinstance(show, str) and show in WAYS:
        return ()
    if isinstance(show, str) and show not in (names or ()):
        show = [part for part in map(str.strip, show.split(",")) if part]
    wanted = [show] if isinstance(show, str | int) else list(show)
    if not wanted:
        _refuse("", f"{', '.join(WAYS)}, or a class", "nothing")
    return tuple(dict.fromkeys(_class(each, names, count) for each in wanted))


def _class(wanted: str | int, names: tuple[str, ...] | None, count: int | None) -> int:
    try:
        return class_id(wanted, names, count)
    except ClassError as problem:
        fix = near_or(str(wanted), WAYS, problem.fix)
        expected = f"{', '.join(WAYS)}, or {problem.expected}"
        raise ClassError(f"show '{wanted}'", expected=expected, got=problem.got, fix=fix) from None


def _order(source: Source, wish: Wish, classes: Sequence[int], decisions: Decisions | None) -> Rows:
    """All rows that fit the wish, the most wanted first."""
    if decisions is None and not classes:
        return choice.at_random(len(source), wish.seed)
    if decisions is None:
        assert source.labels is not None
        return choice.of_classes(source.labels, classes, wish.seed)
    if classes:
        return decisions.rows[choice.of_classes(decisions.predicted, classes, wish.seed)]
    if wish.show == "mistakes":
        assert source.labels is not None
        return choice.mistakes(decisions, source.labels)
    return choice.narrowest(decisions)


def _read(source: Source, order: Rows, count: int) -> tuple[dict[int, Image], tuple[str, ...]]:
    """The first `count` pictures that can be read, and a line for each that cannot."""
    images: dict[int, Image] = {}
    broken: list[str] = []
    for row in order.tolist():
        if len(images) == count:
            break
        try:
            images[row] = source.pictures.image(row)
        except ImageError as problem:
            broken.append(str(problem))
    if not images:
        raise DataError(
            source.what,
            expected="pictures that can be read",
            got=f"none of {len(order)}: {first_few(broken, count=1)}",
            fix="check the data",
        )
    return images, tuple(broken)


def _words(source: Source, wish: Wish, classes: Sequence[int], of: int, shown: int) -> str:
    """What is shown of what: "20 of 10,000 test pictures of cifar10, at random (seed 0)"."""
    every = f"{len(source):,} {source.what}"
    if wish.show == "mistakes":
        some = f"the {shown} most confident of {of:,}" if shown < of else f"all {of}"
        return f"{some} mistakes on {every}"
    if wish.show == "narrowest":
        some = f"the {shown} narrowest margins of" if shown < of else "all"
        return f"{some} {every}" if of > 1 else every
    which = f", {_names(source, classes)}" if classes else ""
    if shown == of:
        return f"{'all ' if of > 1 else ''}{of:,} {source.what}{which}"
    return f"{shown} of {of:,} {source.what}{which}, at random (seed {wish.seed})"


def _names(source: Source, classes: Sequence[int]) -> str:
    names = source.class_names
    listed = first_few(names[each] if names else str(each) for each in classes)
    if source.labels is None:
        return f"predicted to be {listed}"
    return f"class {listed}" if len(classes) == 1 else f"classes {listed}"


def _nothing(source: Source, wish: Wish, classes: Sequence[int]) -> NoReturn:
    every = f"{len(source):,} {source.what}"
    if classes:
        of = "" if source.labels is None else "of "
        _refuse(f"{wish.show}", f"pictures {of}{_names(source, classes)}", f"none among {every}")
    right = f"none: the model is right about all {every}"
    _refuse("mistakes", "at least one", right, "narrowest")


def _refuse(show: str, expected: str, got: str, instead: str = "random") -> NoReturn:
    subject = f"show {show}".strip()
    raise InputError(subject, expected=expected, got=got, fix=f"choose {instead} instead")
