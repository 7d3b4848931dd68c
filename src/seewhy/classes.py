"""Which classes to explain: from an id, a name, "predicted", "top5", "all" to ids."""

from __future__ import annotations

import contextlib
import functools
import operator
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from seewhy.errors import ClassError
from seewhy.wording import first_few, near_or

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor


def parse_classes(
    wanted: int | str | Sequence[int | str], names: tuple[str, ...] | None, count: int
) -> int | tuple[int, ...] | None:
    """What is to be explained, without a picture: the k largest, these ids, or all (None).

    Raises:
        ClassError: a class that the model does not have, or none at all.
    """
    if isinstance(wanted, str):
        largest = _largest(wanted)
        if largest:
            return min(largest, count)
        if wanted == "all":
            return None
    is_list = isinstance(wanted, Iterable) and not isinstance(wanted, str)
    each: list[Any] = list(wanted) if is_list else [wanted]  # type: ignore[arg-type]
    if not each:
        raise ClassError("classes", expected="at least one", got="none", fix='try "top5"')
    return tuple(class_id(one, names, count) for one in each)


@functools.lru_cache  # every batch asks
def _largest(wanted: str) -> int:
    """How many of the largest logits "predicted" or "top5" means; 0 for any other word."""
    top = re.fullmatch(r"top([1-9][0-9]*)", "top1" if wanted == "predicted" else wanted)
    return int(top[1]) if top else 0


def class_ids(
    classes: int | str | Sequence[int | str] | Tensor,
    logits: Tensor,
    names: tuple[str, ...] | None = None,
) -> Int[Tensor, "batch k"]:
    """The classes asked for, as ids for each picture, shape (B, k).

    Args:
        classes: see `explain`.
        logits: shape (B, C).
        names: of the C classes, if known.

    Raises:
        ClassError: a class that the model does not have, or a tensor of the wrong shape.
    """
    import torch

    batch, count = logits.shape
    if isinstance(classes, torch.Tensor):
        if classes.ndim >= 2:
            return _checked_ids(classes, batch, count).to(logits.device)
        classes = classes.tolist()
    parsed = parse_classes(classes, names, count)
    if isinstance(parsed, int):
        return logits.topk(parsed).indices
    ids = range(count) if parsed is None else parsed
    return torch.tensor(tuple(ids), device=logits.device).expand(batch, -1)


def class_id(wanted: SupportsIndex | str, names: Sequence[str] | None, count: int | None) -> int:
    """The id of a class.

    Args:
        wanted: its id, also as text, or its name: exact, else in any case, else a part that only
            one name has.
        names: the names of all classes, if known.
        count: the number of classes, if known.

    Raises:
        ClassError: there is no such class, or more than one.
    """
    if isinstance(wanted, str):
        name = wanted.strip()
        if name in (names or ()) or not re.fullmatch(r"-?[0-9]+", name):
            return _id_of_name(name, names or ())
        wanted = int(name)
    number = _integer(wanted)
    if number >= 0 and (count is None or number < count):
        return number
    raise ClassError(
        f"class {number}",
        expected=f"an id from 0 to {count - 1}" if count else "an id from 0 on",
        got=str(number),
        fix="choose a class that the model has",
    )


def _integer(wanted: SupportsIndex) -> int:
    """An id as Python's int: from NumPy's integers too, but not from floats or truth values."""
    if not isinstance(wanted, bool):
        with contextlib.suppress(TypeError):
            return operator.index(wanted)
    raise ClassError(
        "classes",
        expected="an id or a name",
        got=f"a {type(wanted).__name__} ({wanted})",
        fix="pass an integer, a name or a list of them",
    )


def _id_of_name(wanted: str, names: Sequence[str]) -> int:
    found = _matches(wanted, names)
    if len(found) == 1:
        return found[0]
    listed = first_few(f"{names[index]} ({index})" for index in found)
    raise ClassError(
        f"class '{wanted}'",
        expected=f"one of the model's {len(names)} classes" if names else "an id",
        got=f"{len(found)}: {listed}" if found else "an unknown name",
        fix="choose one by its id" if found or not names else near_or(wanted, names, _OTHER),
    )


_OTHER = "choose a class that the model has, by name or id"


def _matches(wanted: str, names: Sequence[str]) -> list[int]:
    """The ids under the strictest reading of `wanted` that any name satisfies."""
    folded = wanted.casefold()
    readings = (
        [index for index, name in enumerate(names) if name == wanted],
        [index for index, name in enumerate(names) if name.casefold() == folded],
        [index for index, name in enumerate(names) if folded and folded in name.casefold()],
    )
    return next((found for found in readings if found), [])


def _checked_ids(classes: Tensor, batch: int, count: int) -> Tensor:
    import torch

    is_integer = not classes.is_floating_point() and not classes.is_complex()
    if (
        classes.ndim != 2
        or classes.shape[0] != batch
        or not is_integer
        or classes.dtype == torch.bool
    ):
        raise ClassError(
            "classes",
            expected=f"integer ids of shape (B={batch}, k)",
            got=f"{str(classes.dtype).removeprefix('torch.')} of shape {tuple(classes.shape)}",
            fix="give one row of ids for each picture",
        )
    if classes.numel() == 0 or int(classes.min()) < 0 or int(classes.max()) >= count:
        raise ClassError(
            "classes",
            expected=f"ids from 0 to {count - 1}",
            got=f"{classes.flatten().tolist()[:8]}",
            fix="pick classes that the model has",
        )
    return classes.long()
