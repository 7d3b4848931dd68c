"""From one number for each channel of a pixel to one number for the pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from seewhy.errors import InputError

Reduction = Literal["sum", "abs-max"]

REDUCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda values: values.sum(1),
    "abs-max": lambda values: values.abs().amax(1),
}


def reduced(
    values: Float[Tensor, "batch channel height width"], how: Reduction
) -> Float[Tensor, "batch height width"]:
    """Reduce the channels of each pixel, to float32.

    Args:
        values: one number for each channel of each pixel.
        how: "sum" keeps the sign, so that what speaks for a class and what speaks against it stay
            apart; "abs-max" is the largest magnitude, as Simonyan et al. have it.

    Raises:
        InputError: there is no such way.
    """
    if how not in REDUCTIONS:
        expected = " or ".join(map(repr, REDUCTIONS))
        raise InputError("channels", expected=expected, got=repr(how), fix="choose one of these")
    return REDUCTIONS[how](values.detach().float())
