"""HiResCAM: the features of a layer times their gradient, position by position."""

from __future__ import annotations

from torch import Tensor, nn

from seewhy.methods.activations import Features
from seewhy.methods.from_layers import Fuse, Maps, from_gradients
from seewhy.methods.layers import Layers


def hirescam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = False,
) -> Tensor:
    """`sum_k gradient[k] F[k]`, brought to the size of the pictures, (B, H, W), in logits.

    With a head that averages and is linear, this is the evidence map over the number of
    positions. It adds up to the logit less its bias wherever all that follows the layer is linear
    in pieces.

    Args:
        model: any network that can be differentiated from its logits to the layer.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        layers: as for `grad_cam`.
        fuse: as for `grad_cam`.
        relu: set what speaks against the class to zero. The paper's formula has none.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run or differentiated, or the layer has no maps.

    Source:
        Draelos and Carin, Use HiResCAM instead of Grad-CAM, arXiv:2011.08891, section 3.
    """
    return from_gradients(product, model, images, classes, layers=layers, fuse=fuse, relu=relu)


def product(features: Features, gradients: Features) -> Maps:
    """The signed map on the layer's grid, (B, h, w)."""
    return (gradients * features).sum(1)
