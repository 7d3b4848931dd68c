"""Attention rollout: whom the token that is read attended to, through all layers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from seewhy.methods.passes import of_classes, undisturbed
from seewhy.methods.relevance import (
    as_maps,
    differentiable_attention,
    tokens_read,
    walked_back,
    watched_logits,
    with_tokens,
)
from seewhy.methods.tokens import Tokens, by_head


def attention_rollout(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """How much of what is read came from each patch, by attention alone, (B, H, W), in shares.

    Each layer passes on half of a token and half of what it attends to, the heads averaged. The
    patches' shares and those of class tokens and registers add up to 1; the map knows nothing of
    the class, which only says that some logit is to be read.

    One forward pass, and a backward pass through what follows the last attention, which tells the
    tokens that are read. Once for a network and a size, four pictures of noise go through it.

    Args:
        model: a transformer whose layers attend to all patches.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).

    Raises:
        ModelError: its attention is over windows, channels or several grids, or cannot be seen.

    Source:
        Abnar and Zuidema, Quantifying Attention Flow in Transformers, ACL 2020, section 3.
    """
    with undisturbed(model, images, classes) as network, torch.enable_grad():
        return with_tokens(network, images, partial(_rollout, network, images, classes))


def _rollout(network: nn.Module, images: Tensor, classes: Tensor, tokens: Tokens) -> Tensor:
    means: list[Tensor] = []
    last: list[Tensor] = []

    def see(weights: Tensor, layer: int) -> Tensor:
        means.append(by_head(weights.detach().float(), len(images)).mean(1))
        if layer < len(tokens.kinds) - 1:
            return weights
        last.append(differentiable_attention(weights))
        return last[0]

    logits = watched_logits(network, images, tokens, see, len(images))
    (gradient,) = torch.autograd.grad(of_classes(logits, classes).sum(), last)
    read = tokens_read(by_head(gradient, len(images)), tokens)
    kept, taken = walked_back(read, means, tokens, own=0.5, attended=0.5)
    return as_maps((kept + taken)[:, 0], tokens, images)
