"""Guided backpropagation: the gradient without what is negative at any ReLU."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from seewhy.methods.channels import Reduction, reduced
from seewhy.methods.passes import class_gradient
from seewhy.methods.relus import NoReluHidden, change_relus


def guided_backprop(
    model: nn.Module, images: Tensor, classes: Tensor, *, channels: Reduction = "sum"
) -> Tensor:
    """The gradient, where each ReLU passes back only what is positive, (B, H, W).

    A ReLU stops the signal where its input was negative, as in the gradient, and where the signal
    itself is negative, as in the deconvnet.

    Args:
        model: a network with ReLUs that can be differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        channels: how the channels of a pixel become one number, see `reduced`.

    Raises:
        ModelError: the network has no ReLU.

    Source:
        Springenberg et al., Striving for Simplicity, ICLR workshop 2015, section 3.4, figure 1.
    """
    with NoReluHidden():
        signal = class_gradient(model, images, classes, partial(change_relus, positive_gradient))
    return reduced(signal, channels)


def positive_gradient(ordinary: Tensor, _signal: Tensor) -> Tensor:
    """The rule: what an ordinary ReLU passes back, as far as it is positive."""
    return ordinary.clamp(min=0)
