"""Score-CAM: each channel of a layer hides the picture, and counts for what then is left."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from seewhy.methods.activations import Features, Layer
from seewhy.methods.from_layers import Fuse, Maps, from_features, in_picture
from seewhy.methods.layers import Layers
from seewhy.methods.passes import at_once, logits_of


def score_cam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = True,
) -> Tensor:
    """`ReLU(sum_k w[k] F[k])`, brought to the size of the pictures, (B, H, W).

    Each channel is brought to the size of the picture, then to between 0 and 1, and multiplied
    with it; w is the softmax over the channels of the logits that the network gives these. (The
    paper subtracts the logit of an empty picture first, which a softmax does not see.) The passes
    serve all classes: a picture that is given several times is masked once.

    Args:
        model: any network; nothing is differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        layers: as for `grad_cam`; one pass for each of its channels.
        fuse: as for `grad_cam`.
        relu: set what is negative to zero, as the paper has it: there is some only where features
            can be negative themselves.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run, or the layer has no maps.

    Source:
        Wang et al., Score-CAM, CVPR workshops 2020, section 3 and algorithm 1.
    """
    rule = functools.partial(_weighed, images, classes)
    return from_features(rule, model, images, classes, layers=layers, fuse=fuse, relu=relu)


def _weighed(
    images: Tensor, classes: Tensor, network: nn.Module, _: Layer, features: Features, __: Tensor
) -> Maps:
    pictures, first, which = distinct(images)
    logits = _masked_logits(network, pictures, features[first])
    of_class = logits[which, :, classes.to(which.device)]
    return (of_class.softmax(1)[:, :, None, None] * features).sum(1)


def distinct(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The different pictures (P, C, H, W), where each is first, (P,), and which one each is, (B,).

    Those to be explained for several classes come several times.
    """
    given = images.detach().clone()
    pictures, which = torch.unique(given, dim=0, return_inverse=True)
    places = torch.arange(len(given), device=given.device)
    first = places.new_full((len(pictures),), len(given)).scatter_reduce(0, which, places, "amin")
    return pictures, first, which


def _masked_logits(network: nn.Module, pictures: Tensor, features: Features) -> Tensor:
    """The logits (P, K, C) of each picture behind each of its channels, some in one pass."""
    some = max(1, at_once(pictures) // len(pictures))
    return torch.cat([_of_some(network, pictures, part) for part in features.split(some, 1)], 1)


def _of_some(network: nn.Module, pictures: Tensor, channels: Features) -> Tensor:
    masks = _between_0_and_1(in_picture(channels.flatten(0, 1), tuple(pictures.shape[2:])))
    masked = masks.unflatten(0, channels.shape[:2])[:, :, None] * pictures[:, None]
    rows = masked.flatten(0, 1).to(pictures.dtype)
    logits = logits_of(network(rows), len(rows)).to(channels.dtype)
    return logits.view(*channels.shape[:2], -1)


def _between_0_and_1(masks: Maps) -> Maps:
    """Masks stretched to reach from 0 to 1; one that is the same everywhere hides everything."""
    low, high = masks.amin((1, 2), keepdim=True), masks.amax((1, 2), keepdim=True)
    return (masks - low) / torch.where(high > low, high - low, 1.0)
