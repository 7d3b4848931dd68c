"""Eigen-CAM: the features of a layer along the direction in which they are largest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seewhy.methods.activations import Features, Layer
from seewhy.methods.from_layers import Fuse, Maps, from_features
from seewhy.methods.layers import Layers


def eigen_cam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    centred: bool = False,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = False,
) -> Tensor:
    """`F v` with v the first right singular vector of the features (N, K), (B, H, W).

    It knows of no class: the map shows what the layer sees most of, whatever is asked. A singular
    vector has no sign of its own: it is chosen so that the map's largest magnitude is positive.
    There is no full decomposition: v comes from the smaller of the N x N and K x K matrices.

    Args:
        model: any network; nothing is differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,): checked, and otherwise of no effect.
        centred: subtract each channel's mean first: principal components. The paper does not.
        layers: as for `grad_cam`.
        fuse: as for `grad_cam`.
        relu: set what is negative to zero. The paper's formula has none.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run, or the layer has no maps.

    Source:
        Muhammad and Yeasin, Eigen-CAM, IJCNN 2020, section III.
    """

    def rule(_: nn.Module, __: Layer, features: Features, ___: Tensor) -> Maps:
        return projected(features, centred=centred)

    return from_features(rule, model, images, classes, layers=layers, fuse=fuse, relu=relu)


def projected(features: Features, *, centred: bool = False) -> Maps:
    """The map on the layer's grid, (B, h, w)."""
    rows = features.flatten(2)
    if centred:
        rows = rows - rows.mean(2, keepdim=True)
    maps = _along_the_first(rows.mT)
    largest = maps.gather(1, maps.abs().argmax(1, keepdim=True))
    maps = maps * torch.where(largest < 0, -1.0, 1.0)
    return maps.view(len(maps), *features.shape[2:])


def _along_the_first(matrices: Tensor) -> Tensor:
    """`A v` (B, N) with v the first right singular vector of each matrix (B, N, K).

    Of `A^T A` that is the last eigenvector, and of `A A^T` the last eigenvector times the first
    singular value, which is the root of its eigenvalue. Scaling keeps the squares from overflow.
    """
    scale = matrices.abs().amax((1, 2), keepdim=True)
    unit = matrices / torch.where(scale > 0, scale, 1.0)
    if unit.shape[1] > unit.shape[2]:
        _, vectors = torch.linalg.eigh(unit.mT @ unit)
        along: Tensor = matrices @ vectors[:, :, -1:]
        return along[:, :, 0]
    values, vectors = torch.linalg.eigh(unit @ unit.mT)
    along = vectors[:, :, -1] * values[:, -1:].clamp(min=0).sqrt()
    return scale[:, 0] * along
