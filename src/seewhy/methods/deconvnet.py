"""The deconvolutional network: a class's logit projected back to the pixels."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from seewhy.methods.channels import Reduction, reduced
from seewhy.methods.passes import class_gradient
from seewhy.methods.relus import NoReluHidden, change_relus


def deconvnet(
    model: nn.Module, images: Tensor, classes: Tensor, *, channels: Reduction = "sum"
) -> Tensor:
    """Project the logit of a class back to the pixels, (B, H, W).

    Convolutions are transposed and maxima put back where they were (the "switches"), both as in an
    ordinary backward pass. A ReLU passes back the positive part of the signal that comes to it,
    whatever came in on the way forward.

    Args:
        model: a network with ReLUs that can be differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        channels: how the channels of a pixel become one number, see `reduced`.

    Raises:
        ModelError: the network has no ReLU.

    Source:
        Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section
        2.1; as a backward pass: Simonyan et al., ICLR workshop 2014, section 4.
    """
    with NoReluHidden():
        signal = class_gradient(model, images, classes, partial(change_relus, positive_signal))
    return reduced(signal, channels)


def positive_signal(_ordinary: Tensor, signal: Tensor) -> Tensor:
    """The rule: what came back, as far as it is positive."""
    return signal.clamp(min=0)
