"""The class activation map: what the head itself adds up."""

from __future__ import annotations

from torch import Tensor, nn

from seewhy.explainer import explain
from seewhy.methods.passes import require_prepared


def cam(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """The evidence of each class, brought to the size of the pictures, (B, H, W), in logits.

    `seewhy.explain` gives more: the map on its own grid, the bias, and the certificate, which is
    checked here, too.

    Args:
        model: a network with a head whose maps are exact.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).

    Raises:
        HeadNotFound: it has no such head.
        CertificateError: the maps do not add up to the logits.

    Source:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, eq. 2.
    """
    require_prepared(images, classes)
    result = explain(model, images, classes[:, None])
    return result.upsample(tuple(images.shape[2:]))[:, 0].float()
