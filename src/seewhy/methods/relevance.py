"""From matrices of attention, and the tokens that the logits are read from, to one map.

What is read is walked back, layer by layer, to the patches: a row vector times one matrix after
another, which needs no matrix of all tokens against all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.evidence import without_autocast
from seewhy.methods.attentions import SeeAttention
from seewhy.methods.constants import OnlyThePicture
from seewhy.methods.passes import logits_of
from seewhy.methods.tokens import Kind, Tokens, by_head, cached_tokens, forget_tokens, refused

# Is given the attention of one layer and its number; returns what the network goes on with.
SeeLayer = Callable[[Tensor, int], Tensor]


class OutdatedError(Exception):
    """The attention is not what was found out about it: the network was rebuilt since."""


def with_tokens(network: nn.Module, images: Tensor, run: Callable[[Tokens], Tensor]) -> Tensor:
    """What `run` makes of the network's tokens; they are looked for anew where it was rebuilt.

    Raises:
        ModelError: it is no transformer whose attention can be followed.
    """
    for _ in range(2):
        try:
            return run(cached_tokens(network, images))
        except OutdatedError:
            forget_tokens(network)
    raise refused("one whose attention differs from picture to picture")


def watched_logits(
    network: nn.Module, images: Tensor, tokens: Tokens, see: SeeLayer, batch: int
) -> Tensor:
    """The logits (batch, C) of one forward pass in which `see` sees each layer's attention.

    In the graph are only what `see` returns, where that requires a gradient, and what follows.
    """
    layers = 0

    def checked(_scores: Tensor, weights: Tensor) -> Tensor:
        nonlocal layers
        layers += 1
        if layers > len(tokens.kinds):  # of no use to the logits
            return weights
        if tuple(by_head(weights, len(images)).shape[2:]) != tokens.shapes[layers - 1]:
            raise OutdatedError
        return see(weights, layers - 1)

    with OnlyThePicture(), SeeAttention(checked):
        logits = logits_of(network(images.detach().clone()), batch)
    if layers != len(tokens.shapes):
        raise OutdatedError
    return logits


def differentiable_attention(weights: Tensor) -> Tensor:
    """The same attention, with which a gradient can be taken."""
    return weights if weights.requires_grad else weights.detach().requires_grad_()


def tokens_read(gradient: Tensor, tokens: Tokens) -> Tensor:
    """The tokens that the logits are read from, as shares of 1, (B, 1, tokens).

    After the last layer of attention tokens no longer mix: those whose attention there makes a
    difference to the logit are the ones that are read.

    Args:
        gradient: of the logits with respect to the last layer's attention, (B, heads, queries,
            keys).
        tokens: what is known of them.

    Raises:
        ModelError: no token is read.
    """
    is_read = (gradient != 0).any(3).any(1, keepdim=True).float()
    if not bool(is_read.any(2).all()):
        raise refused("one whose logits do not depend on its attention (last weights of zero?)")
    if tokens.kinds[-1] in ("join", "class"):  # one query, which is the first token
        return F.pad(is_read, (0, gradient.shape[3] - 1))
    return is_read / is_read.sum(2, keepdim=True)


def walked_back(
    read: Tensor, matrices: Sequence[Tensor], tokens: Tokens, *, own: float, attended: float
) -> tuple[Tensor, Tensor]:
    """How much of each of the first layer's tokens is in what is read, both (B, 1, tokens).

    Args:
        read: shares of the last layer's tokens (B, 1, tokens).
        matrices: for each layer, how much each query takes from each key, (B, queries, keys).
        tokens: what is known of them.
        own: the weight of what a token keeps of itself in each layer.
        attended: the weight of what it takes from the others.

    Returns:
        What was kept all the way, and what was taken at least once.
    """
    kept, taken = read, torch.zeros_like(read)
    with without_autocast(read.device.type):
        for matrix, kind in zip(reversed(matrices), reversed(tokens.kinds), strict=True):
            asking = (kept + taken)[..., : matrix.shape[1]]  # a class token alone comes first
            kept, taken = (_kept(each, kind, own) for each in (kept, taken))
            taken = taken + (1.0 if kind == "pool" else attended) * asking @ matrix
            if kind == "join":  # before, there was no class token
                kept, taken = kept[..., 1:], taken[..., 1:]
    return kept, taken


def _kept(shares: Tensor, kind: Kind, own: float) -> Tensor:
    """What the tokens keep of themselves: all of it, where they do not attend."""
    if kind == "pool":
        return torch.zeros_like(shares)
    if kind == "self":
        return own * shares
    return torch.cat((own * shares[..., :1], shares[..., 1:]), -1)


def as_maps(values: Tensor, tokens: Tokens, images: Tensor) -> Tensor:
    """The patches' values, of (B, tokens), brought to the size of the pictures, (B, H, W)."""
    grid = values[:, list(tokens.patches)].unflatten(1, tokens.grid).float()
    size = tuple(images.shape[2:])
    return F.interpolate(grid[:, None], size, mode="bilinear", align_corners=False)[:, 0]
