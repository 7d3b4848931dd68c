"""Grad-CAM++: weights that count every place where a channel speaks for the class about equally."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seewhy.methods.activations import Features
from seewhy.methods.from_layers import Fuse, Maps, from_gradients
from seewhy.methods.layers import Layers


def grad_cam_plusplus(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = True,
) -> Tensor:
    """`ReLU(sum_k w[k] F[k])`, brought to the size of the pictures, (B, H, W).

    `w[k] = sum_s alpha[k, s] ReLU(g[k, s])`, where g is the gradient of the logit and
    `alpha = g^2 / (2 g^2 + sum_s F[k, s] g^3)`. The powers stand for higher derivatives, of the
    exponential of the logit; that exponential itself is a factor of the whole map and left out.
    The ReLUs are a part of the paper's definition. Divided by `g^2`, alpha is `1 / (2 + sum F g)`:
    so it is computed here, since squares of small gradients are lost to rounding.

    Args:
        model: any network that can be differentiated from its logits to the layer.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        layers: as for `grad_cam`.
        fuse: as for `grad_cam`.
        relu: set what is negative of the sum to zero.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run or differentiated, or the layer has no maps.

    Source:
        Chattopadhyay et al., Grad-CAM++, WACV 2018, section 3, equations 7 and 19.
    """
    return from_gradients(weighed, model, images, classes, layers=layers, fuse=fuse, relu=relu)


def weighed(features: Features, gradients: Features) -> Maps:
    """The map on the layer's grid, (B, h, w)."""
    positive = gradients.relu()
    denominator = 2 + features.sum((2, 3), keepdim=True) * gradients
    alpha = torch.where(denominator != 0, 1 / torch.where(denominator != 0, denominator, 1.0), 0.0)
    weights = (alpha * positive).sum((2, 3), keepdim=True)
    return (weights * features).sum(1)
