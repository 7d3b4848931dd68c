"""Watch one forward pass, and see every attention matrix in it, however attention is written.

Fused attention never shows its matrix, and neither does `nn.MultiheadAttention`. The mode here
computes both the long way, which gives the same numbers but for rounding, and sees what is written
out with a softmax over the keys. Nothing is set on the model.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# Is given the scores and their softmax, the attention, both (B, heads, queries, keys) or
# (B * heads, queries, keys); returns the attention that the network is to go on with.
See = Callable[[Tensor, Tensor], Tensor]


class SeeAttention(TorchFunctionMode):
    """Within, each attention matrix is handed to `see` in the moment that it is computed."""

    def __init__(self, see: See) -> None:
        super().__init__()
        self.see = see

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with self:
                return _opened(func)(*args, **kwargs)
        result = func(*args, **kwargs)
        if func in _SOFTMAXES and _is_over_keys(result, *args[1:2], **kwargs):
            return self.see(args[0], result)
        return result

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """What `scaled_dot_product_attention` computes, by its documentation."""
        if enable_gqa:
            times = query.shape[-3] // key.shape[-3]
            key, value = (each.repeat_interleave(times, -3) for each in (key, value))
        scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.mT
        if is_causal:
            attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = self.see(scores, scores.softmax(-1))
        return F.dropout(weights, dropout_p) @ value


_SOFTMAXES = {torch.softmax, Tensor.softmax, F.softmax, torch.special.softmax}


def _is_over_keys(weights: Tensor, dim: int | None = None, **_: Any) -> bool:
    return weights.ndim > 2 and dim in (-1, weights.ndim - 1)


def _opened(function: Any) -> Callable[..., Any]:
    """The same Python function of torch, as it runs where no mode watches it as a whole.

    Such a function first asks whether anyone overrides it, and then is handed over in one piece.
    In this copy the answer is no, so that what it calls can be watched.
    """
    given = {**function.__globals__, "has_torch_function": lambda _: False}
    copy = types.FunctionType(function.__code__, given, argdefs=function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
