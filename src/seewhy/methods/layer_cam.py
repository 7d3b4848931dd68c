"""LayerCAM: the features of a layer times what is positive of their gradient, place by place."""

from __future__ import annotations

from torch import Tensor, nn

from seewhy.methods.activations import Features
from seewhy.methods.from_layers import Fuse, Maps, from_gradients
from seewhy.methods.layers import Layers


def layer_cam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = True,
) -> Tensor:
    """`ReLU(sum_k ReLU(gradient[k]) F[k])`, brought to the size of the pictures, (B, H, W).

    Both ReLUs are a part of the paper's definition; it is made for early layers, and for several
    at once. The paper fuses by the maximum, after a tanh on the maps of early layers.

    Args:
        model: any network that can be differentiated from its logits to the layer.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        layers: as for `grad_cam`.
        fuse: as for `grad_cam`.
        relu: set what is negative of the sum to zero: only where features can be negative
            themselves is there any.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run or differentiated, or the layer has no maps.

    Source:
        Jiang et al., LayerCAM, IEEE Transactions on Image Processing 2021, section III.
    """
    return from_gradients(weighed, model, images, classes, layers=layers, fuse=fuse, relu=relu)


def weighed(features: Features, gradients: Features) -> Maps:
    """The map on the layer's grid, (B, h, w)."""
    return (gradients.relu() * features).sum(1)
