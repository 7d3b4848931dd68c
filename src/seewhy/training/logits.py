"""The logits in whatever form a network returns them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from seewhy.errors import ModelError


def logits_of(output: object) -> Tensor:
    """Return the logits (B, classes) in a tensor, in `.logits`, or first in a mapping or a tuple.

    Raises:
        ModelError: there are none of this shape.
    """
    while not isinstance(output, Tensor):
        output = _inside(output)
    if output.ndim != 2:
        raise _no_logits(f"a tensor {tuple(output.shape)}")
    return output


def _inside(output: object) -> object:
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, Mapping) and output:
        return output.get("logits", next(iter(output.values())))
    if isinstance(output, (tuple, list)) and output:
        return output[0]
    raise _no_logits(type(output).__name__)


def _no_logits(got: str) -> ModelError:
    return ModelError(
        "model",
        expected="one logit a class and picture, (batch, classes)",
        got=got,
        fix="wrap the network so that it returns these",
    )
