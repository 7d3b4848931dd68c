"""Copies of a network in which more and more layers have forgotten what they learned."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.errors import InputError, ModelError
from seewhy.heads import unwrap
from seewhy.methods.passes import undisturbed
from seewhy.wording import complaint, near_or

ORDERS = ("cascading", "independent")


@dataclass(frozen=True)
class Layer:
    """What is redrawn together: a layer with weights, and the norms that follow it.

    Attributes:
        name: of the module in the network.
        parameters: all that is redrawn.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]


def randomised(
    model: nn.Module, image: Tensor, order: str = "cascading", *, seed: int = 0
) -> Iterator[tuple[str, nn.Module]]:
    """A copy of a network whose layers are redrawn, from the logits down to the picture.

    Each weight is drawn anew from a normal distribution with the mean and the standard deviation
    of all weights of its kind in the layer: the layer forgets what it learned, and keeps its scale.
    Running means and variances of batch norm stay.

    Args:
        model: the network, which is not touched.
        image: a prepared picture (1, C, H, W), to see in which order the layers run.
        order: "cascading": each layer in addition to those above it; "independent": each alone.
        seed: of the draws.

    Yields:
        The name of the layer that is redrawn last, and the copy: the same one each time, changed.

    Raises:
        InputError: there is no such order.
        ModelError: the model cannot be copied or run, or has no weights.

    Source:
        Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 4.1 (cascading) and
        4.2 (independent).
    """
    check_order(order)
    network = copied(model)
    for number, layer in enumerate(layers_of(network, image)):
        kept = [parameter.detach().clone() for parameter in layer.parameters]
        _redraw(layer.parameters, np.random.default_rng((seed, number)))
        yield layer.name, network
        if order == "independent":
            _put_back(layer.parameters, kept)


def check_order(order: str) -> None:
    """Refuse an order that there is not.

    Raises:
        InputError: it is none.
    """
    if order not in ORDERS:
        raise InputError(
            "order",
            expected=" or ".join(ORDERS),
            got=repr(order),
            fix=near_or(order, ORDERS, "choose one of these"),
        )


def copied(model: nn.Module) -> nn.Module:
    """The original network of whatever wraps it, copied.

    Raises:
        ModelError: it cannot be copied.
    """
    try:
        with torch.inference_mode(mode=False):
            return copy.deepcopy(unwrap(model))
    except Exception as error:  # a module may hold anything
        raise ModelError(
            type(model).__name__,
            expected="a model that can be copied",
            got=complaint(error),
            fix="build it from modules and parameters alone",
        ) from error


def layers_of(network: nn.Module, image: Tensor) -> list[Layer]:
    """The layers of a network, the one that runs last first.

    A module of its own weights begins a layer if one of these has two dimensions or more; others,
    norms say, belong to the layer that ran before. What does not run is left out.

    Raises:
        ModelError: the network cannot be run, or has no weights.
    """
    layers: list[Layer] = []
    for name, module in _in_order_of_use(network, image):
        own = tuple(module.parameters(recurse=False))
        if any(parameter.ndim > 1 for parameter in own):
            layers.append(Layer(name, own))
        elif own and layers:
            before = layers.pop()
            layers.append(Layer(before.name, (*before.parameters, *own)))
    if not layers:
        raise ModelError(
            type(network).__name__,
            expected="layers with weights",
            got="none",
            fix="pass a network that learned something",
        )
    return layers[::-1]


def _in_order_of_use(network: nn.Module, image: Tensor) -> list[tuple[str, nn.Module]]:
    """The modules by the time of their first use. The hooks are on a copy, and are removed."""
    used: dict[nn.Module, None] = {}
    names = {module: name for name, module in network.named_modules()}

    def note(module: nn.Module, _given: object) -> None:
        used.setdefault(module)

    hooks = [module.register_forward_pre_hook(note) for module in names]
    try:
        classes = torch.zeros(1, dtype=torch.long)
        with undisturbed(network, image, classes) as running, torch.no_grad():
            running(image)
    finally:
        for hook in hooks:
            hook.remove()
    return [(names[module], module) for module in used]


def _redraw(parameters: Sequence[nn.Parameter], rng: np.random.Generator) -> None:
    """From numpy: PyTorch's draws may be the very ones that the network began with."""
    with torch.no_grad():
        for parameter in parameters:
            drawn = torch.from_numpy(rng.standard_normal(tuple(parameter.shape))).to(parameter)
            parameter.copy_(drawn * parameter.std(unbiased=False) + parameter.mean())


def _put_back(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)
