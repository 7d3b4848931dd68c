"""What outputs mean: classes that exclude each other, labels side by side, yes or no, quantities.

| task | the outputs are | probabilities |
| --- | --- | --- |
| `single-label` | classes, of which one is right | softmax |
| `multi-label` | labels, of which any number may be right | a sigmoid each |
| `binary` | one logit `z`: for "yes" `z`, for "no" `-z` | sigmoid, and what is left of 1 |
| `regression` | quantities, in units of their own | none: NaN |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seewhy.classes import class_ids
from seewhy.errors import ClassError, InputError
from seewhy.heads import Head
from seewhy.heads.mixed import Mixed
from seewhy.wording import near_or

Task = Literal["single-label", "multi-label", "binary", "regression", "similarity"]
QUANTITIES: tuple[Task, ...] = ("regression", "similarity")  # that have no probabilities

# The tasks of models, with the functions that a model may apply to its logits itself.
_APPLIED: dict[Task, tuple[str | None, ...]] = {
    "single-label": (None, "softmax", "log_softmax"),
    "multi-label": (None, "sigmoid"),
    "binary": (None, "sigmoid"),
    "regression": (None,),
}

NO_AND_YES = ("no", "yes")


def task_of(
    wanted: str | None, count: int, activation: str | None, names: Sequence[str] | None
) -> Task:
    """The task of a model: the one that the user names, or what the model itself shows.

    Args:
        wanted: the user's word for it.
        count: the number of logits.
        activation: what the model applies to them, see `Head`.
        names: of the classes, if known; two names for one logit are those of no and yes.

    Raises:
        InputError: there is no such task, or the model is of another.
        ClassError: there are more or fewer names than classes.
    """
    shown = _shown(count, activation, names)
    is_plain = wanted == "single-label" and count == 1  # a softmax of one logit is always sure
    task = shown if wanted is None or is_plain else _named(wanted, count, activation)
    expected = 2 if task == "binary" else count
    if names is not None and len(names) != expected:
        either = ", or two: for no and for yes" if count == 1 else ""
        raise ClassError(
            "class_names",
            expected=f"{expected}, one for each logit{either}",
            got=str(len(names)),
            fix="name the outputs in their order",
        )
    return task


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """The probability of each class, in the shape (B, C) of the logits; NaN where there is none."""
    if task in QUANTITIES:
        return torch.full_like(logits, float("nan"))
    return logits.softmax(1) if task == "single-label" else logits.sigmoid()


def ids_of(
    classes: Any, logits: Tensor, task: Task, names: tuple[str, ...] | None
) -> Int[Tensor, "batch k"]:
    """The classes asked for, as `explain` takes them, as ids for each picture, shape (B, k).

    Raises:
        ClassError: a class that the model does not have, or "positive" without probabilities.
    """
    if isinstance(classes, str) and classes not in (names or ()):
        if classes == "predicted" and task == "regression":
            classes = "all"
        elif classes == "positive":
            classes = f"top{_most_positive(probabilities(logits, task), task)}"
    return class_ids(classes, logits, names)


def outcomes(
    task: Task, count: int, names: tuple[str, ...] | None
) -> tuple[tuple[str, ...] | None, int]:
    """The names and the number of what can be explained, of a model with `count` logits."""
    return (names or NO_AND_YES, 2) if task == "binary" else (names, count)


def no_and_yes(head: Head, logits: Float[Tensor, "batch one"]) -> tuple[Mixed, Tensor]:
    """One logit as two: that of "no", 0, is what speaks against "yes", 1."""
    return Mixed(head, logits.new_tensor([[[-1.0], [1.0]]])), torch.cat([-logits, logits], 1)


def require_others(count: int, task: Task, against: int | str) -> None:
    """See that there is something to measure the evidence against.

    Raises:
        ClassError: there is one logit only, or the others are no alternatives.
    """
    if task == "regression" and against == "others":
        raise ClassError(
            "against",
            expected="classes that exclude each other",
            got="the outputs of a regression",
            fix="measure against one of them",
        )
    if task != "binary" and (count > 1 or against != "others"):
        return
    is_yes = task == "binary"
    raise ClassError(
        "against",
        expected="a model with at least two logits",
        got=f"one logit, which {'is for yes and against no already' if is_yes else _NO_OTHERS}",
        fix="leave against out" if is_yes else 'leave against="others" out',
    )


_NO_OTHERS = "has no others"


def _most_positive(probabilities: Tensor, task: Task) -> int:
    if task == "regression":
        raise ClassError(
            "classes",
            expected='outputs, as in "all" or 0',
            got='"positive", which asks for probabilities',
            fix="a regression has none",
        )
    return max(1, int((probabilities > 0.5).sum(1).max()))


def _shown(count: int, activation: str | None, names: Sequence[str] | None) -> Task:
    if count == 1:
        return "binary" if names is not None and len(names) == 2 else "multi-label"
    return "multi-label" if activation == "sigmoid" else "single-label"


def _named(wanted: str, count: int, activation: str | None) -> Task:
    known: dict[str, Task] = {task: task for task in _APPLIED}
    if wanted not in known:
        raise InputError(
            f"task '{wanted}'",
            expected=f"one of {', '.join(known)}",
            got="an unknown name",
            fix=near_or(str(wanted), known, "choose one of these"),
        )
    if wanted == "binary" and count != 1:
        raise InputError(
            "task 'binary'",
            expected="a model with one logit",
            got=f"one with {count}",
            fix="leave task out: two logits are two classes",
        )
    if activation not in _APPLIED[known[wanted]]:
        raise InputError(
            f"task '{wanted}'",
            expected="a model that returns what fits it",
            got=f"one that applies {activation} to its logits",
            fix="leave task out, or take that function off the model",
        )
    return known[wanted]
