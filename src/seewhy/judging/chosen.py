"""The methods that are judged, by name: those of METHODS, and the baselines."""

from __future__ import annotations

from collections.abc import Iterable

from seewhy.errors import InputError
from seewhy.methods import METHODS, Method
from seewhy.metrics.baselines import BASELINES
from seewhy.wording import near_or


def named(names: Iterable[str]) -> dict[str, Method]:
    """The methods and baselines of these names, in this order.

    Raises:
        InputError: there is no such method, or none was named.
    """
    every, wanted = {**METHODS, **BASELINES}, list(names)
    for name in wanted or [""]:
        if name not in every:
            raise InputError(
                f"method '{name}'",
                expected="the name of a method, or of a baseline",
                got="an unknown one",
                fix=near_or(name, every, f"choose from {', '.join(every)}"),
            )
    return {name: every[name] for name in wanted}
