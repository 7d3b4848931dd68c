"""FullGrad: the gradient times the picture, and what every bias adds to the logit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.errors import InputError
from seewhy.methods.constants import ConstantsAdded, OnlyThePicture, Take
from seewhy.methods.passes import class_logits, differentiable

Terms = Literal["channel", "layer", "signed"]


def fullgrad(
    model: nn.Module, images: Tensor, classes: Tensor, *, terms: Terms = "channel"
) -> Tensor:
    """The full gradient, brought to the size of the picture and summed over layers, (B, H, W).

    The terms are the gradient times the picture and, for each layer, its bias times the gradient
    that comes back to it. Biases of dense layers have no place in the picture and are left out:
    `full_gradients` has them.

    Args:
        model: a network that can be differentiated; best one of ReLUs.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        terms: what is summed. "channel": the magnitude of each channel's terms, rescaled to 0..1,
            as in the paper's equation 5. "layer": the same, the channels of a layer rescaled
            together, as in the authors' program. "signed": the terms themselves, in logits a pixel;
            this map and the terms without a place add up to the logit, wherever the grids of the
            layers divide the picture evenly.

    Raises:
        InputError: there are no such terms.

    Source:
        Srinivas and Fleuret, Full-Gradient Representation for Neural Network Visualization,
        NeurIPS 2019, sections 3 and 4.1.
    """
    if terms not in _SHOWN:
        expected = ", ".join(map(repr, _SHOWN))
        raise InputError("terms", expected=f"one of {expected}", got=repr(terms), fix="choose one")
    shown, size = _SHOWN[terms], images.shape[2:]
    total: Tensor | float = 0.0

    def add(term: Tensor) -> None:
        nonlocal total
        if _has_places(term, len(images)):
            total = total + _upsampled(shown(term.float(), size).sum(1), size)

    _, product = _backward(model, images, classes, add)
    return total + shown(product.float(), size).sum(1)


@dataclass(frozen=True, eq=False)
class FullGradients:
    """A logit as the sum of what the picture and every bias of the network add to it.

    Attributes:
        target: the logits (B,).
        input: the gradient times the picture (B, C, H, W).
        biases: for each constant that a layer adds, last layers first, the constant times the
            gradient that comes back to it, (B, C, *S); (B, C) from a dense layer.
    """

    target: Tensor
    input: Tensor
    biases: tuple[Tensor, ...]

    @property
    def residual(self) -> Tensor:
        """What is missing to the logits, (B,): rounding only, for a network of ReLUs."""
        parts = [each.double().flatten(1).sum(1) for each in (self.input, *self.biases)]
        return self.target.double() - torch.stack(parts).sum(0)


def full_gradients(model: nn.Module, images: Tensor, classes: Tensor) -> FullGradients:
    """Take each logit apart into what the picture and every bias add to it.

    Exact for networks whose only nonlinearities are ReLUs, leaky ReLUs and maxima, batch norm in
    evaluation included. Other activations have constants of their own, which no layer shows:
    `FullGradients.residual` says how much is missing.

    Args:
        model: a network that can be differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).

    Source:
        Srinivas and Fleuret, NeurIPS 2019, proposition 1 and section 3.1.
    """
    biases: list[Tensor] = []
    target, product = _backward(model, images, classes, biases.append)
    return FullGradients(target, product, tuple(biases))


def _backward(
    model: nn.Module, images: Tensor, classes: Tensor, take: Take
) -> tuple[Tensor, Tensor]:
    """The logits, and the gradient times the picture; the terms of biases go to `take`."""
    with (
        differentiable(model, images, classes) as (network, pictures, ids),
        OnlyThePicture(),
        ConstantsAdded(take),
    ):
        target = class_logits(network, pictures, ids)
        (gradient,) = torch.autograd.grad(target.sum(), pictures)
        return target.detach(), (gradient * pictures).detach()


def _has_places(term: Tensor, batch: int) -> bool:
    return term.ndim == 4 and len(term) == batch


def _upsampled(sums: Tensor, size: torch.Size) -> Tensor:
    """The sums over channels, brought to the picture's size: the same as summing after that."""
    return F.interpolate(sums[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


def _rescaled(term: Tensor, over: tuple[int, ...]) -> Tensor:
    """Magnitudes, rescaled to 0..1 over these axes."""
    size = term.abs()
    lowest, highest = size.amin(over, keepdim=True), size.amax(over, keepdim=True)
    return (size - lowest) / (highest - lowest).clamp(min=torch.finfo(term.dtype).tiny)


# From the terms of a layer (B, C, h, w) and the picture's size to what is summed of them.
_SHOWN: Mapping[Terms, Callable[[Tensor, torch.Size], Tensor]] = {
    "channel": lambda term, _: _rescaled(term, (2, 3)),
    "layer": lambda term, _: _rescaled(term, (1, 2, 3)),
    "signed": lambda term, size: term * (term.shape[2:].numel() / size.numel()),  # by cell
}
