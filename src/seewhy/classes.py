"""Which classes to explain: from an id, a name, "predicted", "top5", "all" to ids."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seewhy.errors import ClassError

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
    if wanted == "all":
        return None
    if wanted == "predicted":
        return 1
    top = re.fullmatch(r"top(\d+)", wanted) if isinstance(wanted, str) else None
    if top and int(top[1]) > 0:
        return min(int(top[1]), count)
    each = [wanted] if isinstance(wanted, int | str) else list(wanted)
    if not each:
        raise ClassError("classes", expected="at least one", got="none", fix='try "top5"')
    return tuple(class_id(one, names, count) for one in each)


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
        if classes.ndim == 2:
            return _checked_ids(classes, batch, count).to(logits.device)
        classes = classes.tolist()
    parsed = parse_classes(classes, names, count)
    if isinstance(parsed, int):
        return logits.topk(parsed).indices
    ids = range(count) if parsed is None else parsed
    return torch.tensor(tuple(ids), device=logits.device).expand(batch, -1)


def class_id(wanted: int | str, names: tuple[str, ...] | None, count: int) -> int:
    """The id of a class given by id or by name: exact, then whatever its case, then by a part.

    Raises:
        ClassError: there is no such class, or the name fits several.
    """
    if isinstance(wanted, str) and not wanted.lstrip("-").isdigit():
        return _id_of_name(wanted, names)
    number = int(wanted)
    if not 0 <= number < count:
        raise ClassError(
            f"class {number}",
            expected=f"an id from 0 to {count - 1}",
            got=str(number),
            fix="pick a class that the model has",
        )
    return number


def _id_of_name(wanted: str, names: tuple[str, ...] | None) -> int:
    if names is None:
        raise ClassError(
            f"class {wanted!r}",
            expected="an id, for this model's class names are not known",
            got="a name",
            fix="pass ids, or class_names",
        )
    folded = [name.casefold() for name in names]
    for matches in (
        [i for i, name in enumerate(names) if name == wanted],
        [i for i, name in enumerate(folded) if name == wanted.casefold()],
        [i for i, name in enumerate(folded) if wanted.casefold() in name],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            found = ", ".join(f"{names[i]} ({i})" for i in matches[:5])
            raise ClassError(
                f"class {wanted!r}", expected="one class", got=found, fix="use its full name or id"
            )
    raise ClassError(
        f"class {wanted!r}",
        expected="a class that the model knows",
        got=f"none of that name{_near(wanted, names)}",
        fix="check the spelling, or use the class's id",
    )


def _near(wanted: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    return f" (near: {', '.join(near)})" if near else ""


def _checked_ids(classes: Tensor, batch: int, count: int) -> Tensor:
    import torch

    is_integer = not classes.is_floating_point() and not classes.is_complex()
    if classes.shape[0] != batch or not is_integer or classes.dtype == torch.bool:
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
