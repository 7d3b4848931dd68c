"""What a network costs: its parameters, and the multiply-adds of one picture."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from seewhy.errors import ModelError
from seewhy.heads import arguments, unwrap
from seewhy.observe import copied, find_tensors, in_eval_mode, run_eagerly
from seewhy.wording import complaint


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: how many numbers are learned; what layers share counts once.
        multiply_adds: of convolutions, matrix products and attention, for one picture.
    """

    parameters: int
    multiply_adds: int

    def __str__(self) -> str:
        return f"{short(self.parameters)} parameters, {short(self.multiply_adds)} multiply-adds"


def cost(model: nn.Module, example: Any) -> Cost:
    """Count a network's parameters and the multiply-adds of one picture, in evaluation mode.

    A multiply-add is one product and one sum, which papers on efficient networks call a FLOP and
    torch counts as two. Additions of biases, pooling and activations are not counted, as they are
    not in the papers.

    Args:
        model: any `nn.Module`; it is left as it was.
        example: an input that it accepts, as for `find_head`. The count is divided by its batch.

    Raises:
        InputError: the example holds no tensor.
        ModelError: the model cannot run on it.
    """
    model = unwrap(model)
    args, kwargs = arguments(example)
    shape = next(tensor.shape for _, tensor in find_tensors((args, kwargs)))
    args, kwargs = copied((args, dict(kwargs)))
    with (
        in_eval_mode(model),
        run_eagerly(),
        torch.inference_mode(mode=False),
        torch.no_grad(),
        _attention_step_by_step(),
        FlopCounterMode(display=False, custom_mapping=_ON_A_CPU) as counter,
    ):
        try:
            model(*args, **kwargs)
        except Exception as error:
            raise ModelError(
                type(model).__name__,
                expected="a model that runs on the example",
                got=f"{complaint(error)} (input {tuple(shape)})",
                fix="check the example's shape (has it a batch axis?), dtype and device",
            ) from error
    pictures = shape[0] if shape else 1
    return Cost(parameter_count(model), counter.get_total_flops() // (2 * pictures))


@contextlib.contextmanager
def _attention_step_by_step() -> Iterator[None]:
    """Keep transformers from running fused operations, which the counter does not know."""
    was_fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fused)


def _attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """The FLOPs of attention: each query with each key, and the values weighed by that."""
    *batch, queries, width = query
    return 2 * math.prod(batch) * queries * key[-2] * (width + value[-1])


# Of the ways that torch computes attention, its counter leaves out the one for processors.
_ON_A_CPU = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}  # noqa: SLF001


def parameter_count(model: nn.Module) -> int:
    """How many numbers of a network are learned."""
    return sum(parameter.numel() for parameter in model.parameters())


def short(count: int) -> str:
    """A large number in three digits: 61,100,840 is "61.1 M"."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 0.9995 * size:
            return f"{count / size:#.3g}".rstrip(".") + f" {unit}"
    return str(count)
