"""Grad-CAM: the features of a layer, each channel weighed by its mean gradient."""

from __future__ import annotations

from torch import Tensor, nn

from seewhy.methods.activations import Features
from seewhy.methods.from_layers import Fuse, Maps, from_gradients
from seewhy.methods.layers import Layers


def grad_cam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = True,
) -> Tensor:
    """`ReLU(sum_k mean_s(gradient)[k] F[k])`, brought to the size of the pictures, (B, H, W).

    The ReLU is a part of the paper's definition. Before it, with a head that averages and is
    linear, this is the evidence map over the number of positions.

    Args:
        model: any network that can be differentiated from its logits to the layer.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        layers: the name of a module, a module, or several of them; None for the features that the
            head reads.
        fuse: how the maps of several layers become one: "mean" or "max" of the maps, each divided
            by its largest magnitude, or "sum" of the raw maps.
        relu: set what speaks against the class to zero; False keeps it, with its sign.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run or differentiated, or the layer has no maps.

    Source:
        Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2.
    """
    return from_gradients(weighed, model, images, classes, layers=layers, fuse=fuse, relu=relu)


def weighed(features: Features, gradients: Features) -> Maps:
    """The signed map on the layer's grid, (B, h, w)."""
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * features).sum(1)
