"""What finer maps are wished for, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from seewhy.errors import InputError
from seewhy.finer.views import How
from seewhy.wording import near_or

RESOLUTIONS = (1, 2, 4)


@dataclass(frozen=True)
class Wish:
    """How fine the maps are to be, and over what they are averaged; see `explain`.

    Raises:
        InputError: a value that makes no sense.
    """

    resolution: int = 1
    how: str = "auto"
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.resolution not in RESOLUTIONS:
            raise _bad("resolution", "1, 2 or 4", self.resolution, "choose one of them")
        if self.how not in get_args(How):
            choices = get_args(How)
            fix = near_or(str(self.how), choices, "choose one of them")
            raise _bad("how", " or ".join(map(repr, choices)), self.how, fix)
        if not self.scales or not all(map(_is_scale, self.scales)):
            raise _bad("scales", "numbers from 0.1 to 10", self.scales, "try (0.8, 1.0, 1.25)")

    @property
    def is_plain(self) -> bool:
        """Whether it is for nothing but one plain pass."""
        return self.resolution == 1 and not self.flip and self.scales == (1.0,)


def wish(resolution: int, how: str, flip: bool, scales: Sequence[float] | None) -> Wish:
    """What the arguments of `explain` wish for.

    Raises:
        InputError: a value that makes no sense.
    """
    numbers = (1.0,) if scales is None else tuple(dict.fromkeys(map(float, scales)))
    return Wish(resolution, how, flip, numbers)


def _is_scale(scale: float) -> bool:
    return math.isfinite(scale) and 0.1 <= scale <= 10


def _bad(name: str, expected: str, got: object, fix: str) -> InputError:
    return InputError(name, expected=expected, got=repr(got), fix=fix)
