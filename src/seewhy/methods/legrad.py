"""LeGrad: how much more attention, layer by layer, would raise the class's logit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from seewhy.methods.passes import of_classes, undisturbed
from seewhy.methods.relevance import (
    as_maps,
    differentiable_attention,
    watched_logits,
    with_tokens,
)
from seewhy.methods.tokens import Tokens, by_head, refused


def legrad(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """How much the logit would rise with more attention to each patch, (B, H, W).

    Each layer's tokens are read as if they were the last: the network's own end makes logits of
    them. The gradient of the class's logit with respect to that layer's attention, as far as it is
    positive, is averaged over heads and queries, and then over the layers.

    One forward pass, in which the network's end sees the tokens of all layers at once, and one
    backward pass, in which each layer's gradient stays within its layer.

    Args:
        model: a transformer whose layers attend to all patches, each in a module of its own that
            hands its tokens on to the next.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).

    Raises:
        ModelError: its attention is over windows, channels or several grids, or cannot be seen;
            or its layers do not all hand on the same tokens.

    Source:
        Bousselham et al., LeGrad: An Explainability Method for Vision Transformers via Feature
        Formation Sensitivity, ICCV 2025 (arXiv:2404.03214), section 3. Intermediate tokens are
        read as the network reads its last ones; the authors' program for CLIP averages all
        tokens there. Their last step, rescaling to 0..1, is left to whoever draws the map.
    """
    with undisturbed(model, images, classes) as network, torch.enable_grad():
        return with_tokens(network, images, partial(_legrad, network, images, classes))


def _legrad(network: nn.Module, images: Tensor, classes: Tensor, tokens: Tokens) -> Tensor:
    seen: list[Tensor] = []
    layers = len(tokens.kinds)

    def see(weights: Tensor, _layer: int) -> Tensor:
        seen.append(differentiable_attention(weights))
        return seen[-1]

    with _each_layer_read(network, tokens, len(images)):
        logits = watched_logits(network, images, tokens, see, layers * len(images))
    gradients = torch.autograd.grad(of_classes(logits, classes.repeat(layers)).sum(), seen)
    of_layers = [
        by_head(gradient.float(), len(images)).clamp(min=0).mean((1, 2)) for gradient in gradients
    ]
    return as_maps(torch.stack(of_layers).mean(0), tokens, images)


@contextlib.contextmanager
def _each_layer_read(network: nn.Module, tokens: Tokens, batch: int) -> Iterator[None]:
    """Within, the last block hands on the tokens of all blocks, one after another in the batch.

    Between blocks the tokens are cut off from the graph.
    """
    if len(tokens.kinds) == 1:
        yield
        return
    blocks = _blocks(network, tokens)
    kept: list[Tensor] = []
    handed_on: list[Tensor] = []

    def before(module: nn.Module, args: Any) -> None:
        if module in blocks and len(handed_on) > 0 and not (args and args[0] is handed_on[-1]):
            raise refused("one whose layers do not hand on their tokens as they are")

    def after(module: nn.Module, _args: Any, output: Any) -> Any:
        if module not in blocks:
            return None
        first = output if isinstance(output, Tensor) else output[0]
        axis = _batch_axis(first, batch, tokens)
        kept.append(first)
        is_last = len(kept) == len(blocks)
        handed_on.append(torch.cat(kept, axis) if is_last else first.detach())
        return handed_on[-1] if isinstance(output, Tensor) else (handed_on[-1], *output[1:])

    hooks = [register_module_forward_pre_hook(before), register_module_forward_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _blocks(network: nn.Module, tokens: Tokens) -> set[nn.Module]:
    """The module around each layer of attention.

    Raises:
        ModelError: there is none, or some layers are for a class token alone.
    """
    if set(tokens.kinds) != {"self"}:
        raise refused("one with layers in which not all tokens attend")
    if None in tokens.blocks:
        raise refused("one whose layers are not modules of their own")
    return {network.get_submodule(name) for name in tokens.blocks if name is not None}


def _batch_axis(values: Any, batch: int, tokens: Tokens) -> int:
    """0 for tokens (B, N, D), 1 for tokens (N, B, D)."""
    shape = tuple(values.shape) if isinstance(values, Tensor) else ()
    for axis, wanted in enumerate([(batch, tokens.shapes[0][0]), (tokens.shapes[0][0], batch)]):
        if len(shape) == 3 and shape[:2] == wanted:
            return axis
    raise refused(f"one whose layers hand on something other than tokens, {shape}")
