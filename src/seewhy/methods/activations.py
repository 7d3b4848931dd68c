"""What layers give in one forward pass, and the gradient of a score with respect to it.

The backward pass ends at the first of the layers: what it gives is cut off from what came before,
and handed on as the beginning of the graph. Before it nothing is recorded, so that the gradient at
the last layer costs next to nothing, and no parameter needs or receives one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy.capture import intercept
from seewhy.errors import ModelError
from seewhy.heads.layout import Layout
from seewhy.methods.passes import logits_of
from seewhy.observe import Site, follow, replaced_at

Features = Float[Tensor, "batch channel height width"]
Score = Callable[[Tensor], Tensor]  # from logits (B, C) to one number for each picture, (B,)


@dataclass(frozen=True)
class Layer:
    """A layer as methods need it.

    Attributes:
        name: the module's, for people.
        site: where what it gives passes by.
        layout: how that tensor is read as (B, K, H, W).
    """

    name: str
    site: Site
    layout: Layout

    def read(self, tensor: Tensor) -> Features:
        """What the layer gave, or the gradient there, as (B, K, H, W): a view of it."""
        return self.layout.read(tensor)


class WentAnotherWay(ModelError):  # noqa: N818 -- named for what happened
    """The pass did not come by a layer that an earlier one came by."""


@dataclass(frozen=True)
class Seen:
    """What one forward pass gave: logits (B, C), and for each layer its features (B, K, H, W)."""

    logits: Tensor
    features: tuple[Tensor, ...]


@dataclass(frozen=True)
class Differentiated(Seen):
    """The same with the gradients of a score, of the shape of the features."""

    gradients: tuple[Tensor, ...]


@torch.no_grad()
def seen(network: nn.Module, images: Tensor, layers: Sequence[Layer]) -> Seen:
    """One forward pass without gradients.

    Raises:
        ModelError: features that are not finite.
        WentAnotherWay: it did not come by a layer.
    """
    logits, kept = _pass(network, images, layers, lambda tensor: (tensor.clone(), None))
    return Seen(logits, tuple(map(_features, layers, kept)))


def differentiated(
    network: nn.Module, images: Tensor, layers: Sequence[Layer], score: Score
) -> Differentiated:
    """One forward pass, and a backward pass from a score of the logits to the layers.

    Args:
        network: in the mode that it is to run in.
        images: pictures (B, C, H, W).
        layers: in any order; the backward pass goes to the earliest.
        score: makes one number of each picture's logits.

    Raises:
        ModelError: features or gradients that are not finite, or a layer that the logits do not
            depend on.
        WentAnotherWay: the pass did not come by a layer.
    """
    logits, kept, gradients = gradients_at(network, images, layers, score)
    for layer, gradient in zip(layers, gradients, strict=True):
        if gradient is None:
            raise ModelError(
                f"layer '{layer.name}'",
                expected="a layer on the way to the logits",
                got="one that no gradient of them reaches",
                fix="name a layer that the logits are computed from",
            )
    return Differentiated(
        logits.detach(),
        tuple(map(_features, layers, kept)),
        tuple(map(_gradients, layers, gradients)),
    )


def gradients_at(
    network: nn.Module, images: Tensor, layers: Sequence[Layer], score: Score
) -> tuple[Tensor, list[Tensor], tuple[Tensor | None, ...]]:
    """The logits, what each layer gave, and the gradient there, None where none arrives."""
    with torch.no_grad():
        logits, kept = _pass(network, images, layers, _beginning_of_graph)
    if not logits.requires_grad:  # the network may have switched gradients off up to its head
        with torch.enable_grad():
            logits, kept = _pass(network, images, layers, _beginning_of_graph)
    if not kept or not logits.requires_grad:
        return logits, kept, (None,) * len(kept)
    with torch.enable_grad():
        total = score(logits).sum()
    return logits, kept, torch.autograd.grad(total, kept, allow_unused=True)


def _beginning_of_graph(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The tensor as a leaf, unless it comes from one; and what the network is to go on with.

    That is a copy, for the network may overwrite it.
    """
    torch.set_grad_enabled(True)  # until the end of the `no_grad` around the pass
    leaf = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
    return leaf, leaf.clone()


def _pass(
    network: nn.Module,
    images: Tensor,
    layers: Sequence[Layer],
    take: Callable[[Tensor], tuple[Tensor, Tensor | None]],
) -> tuple[Tensor, list[Tensor]]:
    """The logits (B, C), and what was taken of each layer's tensor."""
    kept: dict[Site, Tensor] = {}

    def handle(site: Site, tree: Any) -> Any:
        kept[site], goes_on = take(follow(tree, site.path))
        return None if goes_on is None else replaced_at(tree, site.path, goes_on)

    sites = list(dict.fromkeys(layer.site for layer in layers))
    handlers = [functools.partial(handle, site) for site in sites]
    with intercept(network, sites, handlers):
        output = network(images.detach().clone())
    for layer in layers:
        if layer.site not in kept:
            raise WentAnotherWay(
                f"layer '{layer.name}'",
                expected="a layer that runs",
                got="a pass that never came by it",
                fix="choose another layer for these pictures",
            )
        _require_finite(layer, "features", kept[layer.site])  # says more than what it leads to
    return logits_of(output, len(images)), [kept[layer.site] for layer in layers]


def _features(layer: Layer, tensor: Tensor) -> Features:
    return _wide(layer.read(tensor.detach()))


def _gradients(layer: Layer, tensor: Tensor | None) -> Features:
    assert tensor is not None, "a layer that no gradient reaches is refused"
    _require_finite(layer, "gradients", tensor)
    return _wide(layer.read(tensor))


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _require_finite(layer: Layer, what: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(layer.read(tensor.detach())).all()):
        raise ModelError(
            f"layer '{layer.name}'",
            expected=f"finite {what}",
            got="NaN or infinite ones",
            fix="check the weights and the pictures for NaN, or compute in float32",
        )
