"""Relevance by gradient-weighted attention, of Chefer, Gur and Wolf's second paper."""

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


def attention_relevance(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """How relevant each patch is to the class: attention times its gradient, (B, H, W).

    In each layer, attention is multiplied by the gradient of the class's logit with respect to it,
    what is negative is dropped, and the heads are averaged; relevance is a token's own and what
    it takes from the others. The row of the class token is the map; where patches are averaged,
    the mean of their rows. What a token owes to itself is not part of it.

    One forward pass, and a backward pass down to the first attention.

    Args:
        model: a transformer whose layers attend to all patches.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).

    Raises:
        ModelError: its attention is over windows, channels or several grids, or cannot be seen.

    Source:
        Chefer, Gur and Wolf, Generic Attention-model Explainability for Interpreting Bi-Modal and
        Encoder-Decoder Transformers, ICCV 2021, equations 5 and 6. It is not their Transformer
        Interpretability Beyond Attention Visualization, CVPR 2021, which needs layer-wise
        relevance propagation through every layer.
    """
    with undisturbed(model, images, classes) as network, torch.enable_grad():
        return with_tokens(network, images, partial(_relevance, network, images, classes))


def _relevance(network: nn.Module, images: Tensor, classes: Tensor, tokens: Tokens) -> Tensor:
    seen: list[Tensor] = []

    def see(weights: Tensor, _layer: int) -> Tensor:
        seen.append(differentiable_attention(weights))
        return seen[-1]

    logits = watched_logits(network, images, tokens, see, len(images))
    gradients = torch.autograd.grad(of_classes(logits, classes).sum(), seen)
    matrices = [
        by_head((weights.detach() * gradient).float(), len(images)).clamp(min=0).mean(1)
        for weights, gradient in zip(seen, gradients, strict=True)
    ]
    read = tokens_read(by_head(gradients[-1], len(images)), tokens)
    _, taken = walked_back(read, matrices, tokens, own=1.0, attended=1.0)
    return as_maps(taken[:, 0], tokens, images)
