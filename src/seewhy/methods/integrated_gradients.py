"""Integrated gradients, through Captum."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from seewhy.errors import InputError
from seewhy.methods.channels import Reduction, reduced
from seewhy.methods.passes import at_once, class_logits, differentiable
from seewhy.models.parts import import_extra

STEPS = 32  # the paper finds 20 to 300 enough


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    steps: int = STEPS,
    baseline: float | Tensor = 0.0,
    channels: Reduction = "sum",
) -> Tensor:
    """The mean gradient on the straight path from a baseline to the picture, times the way.

    The map adds up to the logit of the picture less that of the baseline, but for the error of
    the sum over the steps.

    Returns:
        maps (B, H, W), in logits.

    Args:
        model: any network that can be differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        steps: how many points of the path are looked at, by Gauss-Legendre quadrature.
        baseline: where the path begins, in prepared pixels: a number, or pictures of the same
            shape. 0 is a picture of the mean colour after the usual preparation.
        channels: how the channels of a pixel become one number, see `reduced`.

    Raises:
        MissingExtraError: Captum is not installed.

    Source:
        Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017.
    """
    if steps < 1:
        raise InputError("steps", expected="1 or more", got=str(steps), fix="pass 20 to 300")
    captum = import_extra("captum", "compare").attr
    with differentiable(model, images, classes) as (network, pictures, ids):
        path = captum.IntegratedGradients(partial(_logits, network))
        evidence = path.attribute(
            pictures,
            baselines=baseline,
            additional_forward_args=ids,
            n_steps=steps,
            internal_batch_size=max(at_once(pictures), len(pictures)),
        )
    return reduced(evidence, channels)


def _logits(network: nn.Module, pictures: Tensor, classes: Tensor) -> Tensor:
    return class_logits(network, pictures, classes)
