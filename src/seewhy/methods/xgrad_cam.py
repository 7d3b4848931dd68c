"""XGrad-CAM: Grad-CAM whose weights are the mean gradient where the channel is active."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seewhy.methods.activations import Features
from seewhy.methods.from_layers import Fuse, Maps, from_gradients
from seewhy.methods.layers import Layers


def xgrad_cam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = False,
) -> Tensor:
    """`sum_k w[k] F[k]` with `w[k] = sum_s gradient[k] F[k] / sum_s F[k]`, (B, H, W), in logits.

    Of all maps that weigh channels it is the one that adds up to what HiResCAM adds up to. A
    channel that adds up to zero gets no weight.

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
        Fu et al., Axiom-based Grad-CAM, BMVC 2020, section 3.
    """
    return from_gradients(weighed, model, images, classes, layers=layers, fuse=fuse, relu=relu)


def weighed(features: Features, gradients: Features) -> Maps:
    """The signed map on the layer's grid, (B, h, w)."""
    total = features.sum((2, 3), keepdim=True)
    share = (gradients * features).sum((2, 3), keepdim=True)
    weights = torch.where(total != 0, share / torch.where(total != 0, total, 1.0), 0.0)
    return (weights * features).sum(1)
