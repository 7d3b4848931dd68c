"""Which layer a map is made from: the one that is named, or the one that the head reads.

Where nothing is named, it is the very features that `find_head` finds, if their evidence adds up. A
network without such a head is watched: it is the last value that has positions in the picture, and
whose positions the logits depend on. No layer is chosen by its name or its kind.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor, nn

from seewhy.errors import HeadNotFound, InputError, ModelError
from seewhy.heads import Head, cached_head
from seewhy.heads.find import observed
from seewhy.methods.activations import Layer, WentAnotherWay, gradients_at
from seewhy.methods.watched import Watched
from seewhy.wording import near_or

Layers = str | nn.Module | Sequence[str | nn.Module] | None
Result = TypeVar("Result")
Shape = tuple[int, ...]

_CACHE: weakref.WeakKeyDictionary[
    nn.Module, dict[tuple[str, ...], tuple[tuple[Layer, ...], Shape]]
] = weakref.WeakKeyDictionary()


def with_layers(
    network: nn.Module, images: Tensor, wanted: Layers, run: Callable[[tuple[Layer, ...]], Result]
) -> Result:
    """What `run` makes of the layers that are wanted; they are remembered with the network.

    Args:
        network: in evaluation mode.
        images: pictures (B, C, H, W).
        wanted: names of modules, modules, or None for the layer that the head reads.
        run: is called again with layers found anew where the network was rebuilt since.

    Raises:
        InputError: a layer that the network does not have.
        ModelError: one that does not run, or has no positions in the picture.
    """
    names = named(network, wanted)
    known = _CACHE.setdefault(network, {})
    layers, shape = known.get(names, ((), ()))
    is_known = bool(layers) and (shape == images.shape[1:] or not any(map(_has_tokens, layers)))
    if is_known:
        try:
            return run(layers)
        except (WentAnotherWay, AttributeError, IndexError):
            known.pop(names)
    layers = found(network, images, names)
    result = run(layers)
    known[names] = layers, tuple(images.shape[1:])
    return result


def named(network: nn.Module, wanted: Layers) -> tuple[str, ...]:
    """The names of the layers that are wanted; none where the choice is left to us.

    Raises:
        InputError: one that the network does not have.
    """
    if wanted is None:
        return ()
    each = (wanted,) if isinstance(wanted, str | nn.Module) else tuple(wanted)
    if not each:
        raise InputError(
            "layers",
            expected="one or more layers",
            got="none",
            fix="name them, or leave `layers` out",
        )
    return tuple(_name(network, one) for one in each)


def found(network: nn.Module, images: Tensor, names: tuple[str, ...]) -> tuple[Layer, ...]:
    """The layers of these names, or the best one, from watching one pass of two pictures.

    Raises:
        ModelError: one that does not run, or has no positions in the picture.
    """
    few = images[:2].detach().clone()
    trace = observed(network, (few,), {})
    watched = Watched(trace, len(few))
    if names:
        return tuple(watched.layer(name) for name in names)
    head = _certified_head(network, few)
    if head is not None:
        return (watched.of_head(head),)
    return (_last_with_influence(network, few, list(watched.every_layer())),)


def _certified_head(network: nn.Module, images: Tensor) -> Head | None:
    """The head, where its evidence adds up: others may begin far from where they end."""
    try:
        head = cached_head(network, images)
    except HeadNotFound:
        return None
    return head if head.is_exact else None


def _last_with_influence(network: nn.Module, images: Tensor, layers: Sequence[Layer]) -> Layer:
    """The last of the layers whose positions in the picture the logits depend on.

    After the last attention of a class-token transformer, the picture's tokens lead nowhere.

    Raises:
        ModelError: there is none.
    """
    _, _, gradients = gradients_at(network, images, layers, lambda logits: logits.square().sum(1))
    for layer, gradient in zip(reversed(layers), reversed(gradients), strict=True):
        if gradient is not None and bool(layer.read(gradient).any()):
            return layer
    raise ModelError(
        "layers",
        expected="a layer with positions in the picture that the logits depend on",
        got="a network in which none was found",
        fix="name one of its layers",
    )


def _name(network: nn.Module, layer: str | nn.Module) -> str:
    """The name under which a pass knows the layer.

    Raises:
        InputError: the network does not have it.
    """
    modules: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
    module = modules.get(layer) if isinstance(layer, str) else layer
    for name, known in modules.items():
        if module is not None and known is module:
            return name
    names = [name for name in modules if name]
    subject = f"layer '{layer}'" if isinstance(layer, str) else type(layer).__name__
    fix = "see the names in model.named_modules()"
    raise InputError(
        subject,
        expected=f"one of the {len(names)} layers of the model",
        got="none of these",
        fix=near_or(layer, names, fix) if isinstance(layer, str) else fix,
    )


def _has_tokens(layer: Layer) -> bool:
    return layer.layout.grid is not None
