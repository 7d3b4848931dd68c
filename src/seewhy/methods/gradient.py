"""The gradient of the logit with respect to the pixels, alone and times the pixels."""

from __future__ import annotations

from torch import Tensor, nn

from seewhy.methods.channels import Reduction, reduced
from seewhy.methods.passes import class_gradient


def gradient(
    model: nn.Module, images: Tensor, classes: Tensor, *, channels: Reduction = "sum"
) -> Tensor:
    """How the class's logit changes with each pixel, (B, H, W).

    Args:
        model: any network that can be differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        channels: how the channels of a pixel become one number, see `reduced`. The paper takes
            "abs-max".

    Source:
        Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks, ICLR workshop 2014,
        section 3.
    """
    return reduced(class_gradient(model, images, classes), channels)


def gradient_x_input(
    model: nn.Module, images: Tensor, classes: Tensor, *, channels: Reduction = "sum"
) -> Tensor:
    """The gradient times the prepared pixel, (B, H, W): a first-order account of the logit.

    A pixel of the mean colour is zero after the usual preparation, and gets nothing. For a network
    of ReLUs without biases the map adds up to the logit.

    Args:
        model: any network that can be differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        channels: how the channels of a pixel become one number, see `reduced`.

    Source:
        Shrikumar et al., Not Just a Black Box, arXiv:1605.01713, 2016.
    """
    products = class_gradient(model, images, classes) * images.detach()
    return reduced(products, channels)
