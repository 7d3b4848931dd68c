"""Which of a model's logits each class of a data set is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seewhy.errors import DataError
from seewhy.wording import first_few


def logit_ids(
    names: tuple[str, ...],
    model_names: tuple[str, ...] | None,
    count: int | None,
    *,
    subject: str,
    model: str = "the model",
) -> NDArray[np.int64]:
    """Return the logit of each class: by name where both have names, else by number.

    Case, underscores and hyphens do not matter. A model may have more classes than the data, but
    where names are known on one side only, as many: nobody could tell which ones are missing.

    Args:
        names: of the data's classes, by label; "0", "1" and so on where they have none.
        model_names: of the model's logits, if they are known.
        count: the number of logits, if it is known.
        subject: what the data are called, for messages.
        model: what the model is called.

    Raises:
        DataError: the model does not have these classes.
    """
    numbers = tuple(map(str, range(len(names))))
    if model_names and names != numbers:
        places = {_plain(name): place for place, name in reversed([*enumerate(model_names)])}
        missing = [name for name in names if _plain(name) not in places]
        if not missing:
            return np.array([places[_plain(name)] for name in names], np.int64)
        raise DataError(
            subject,
            expected=f"classes of {model}, such as {first_few(model_names)}",
            got=f"{len(missing)} that it does not have: {first_few(missing)}",
            fix="take a model of these classes, or give it the data's names as its class names",
        )
    have = len(names)
    if count is not None and (have > count or (have < count and names != numbers)):
        raise DataError(
            subject,
            expected=f"the {count} classes of {model}",
            got=f"{have}: {first_few(names)}",
            fix=f"take a model of {have} classes, or train one",
        )
    return np.arange(have, dtype=np.int64)


def _plain(name: str) -> str:
    """A name without what people write in different ways."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
