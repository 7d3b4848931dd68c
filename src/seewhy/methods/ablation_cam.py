"""Ablation-CAM: each channel of a layer is set to zero, and counts for what the logit loses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.capture import intercept
from seewhy.errors import ModelError
from seewhy.methods.activations import Features, Layer
from seewhy.methods.from_layers import Fuse, Maps, from_features
from seewhy.methods.layers import Layers
from seewhy.methods.passes import at_once, logits_of
from seewhy.methods.score_cam import distinct
from seewhy.observe import follow, replaced_at

Change = Callable[[Tensor], Tensor]


def ablation_cam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers = None,
    fuse: Fuse = "mean",
    relu: bool = True,
) -> Tensor:
    """`ReLU(sum_k w[k] F[k])` with `w[k] = (y - y[k]) / |y|`, (B, H, W).

    y is the class's logit, and `y[k]` what it is with channel k set to zero. The paper divides by
    y, which is positive for classes that a network predicts; where it is not, that would turn the
    map around. What comes before the layer runs once for many channels, where the rest of the
    network takes more rows than it was given; else all of it runs for each channel. The passes
    serve all classes: a picture that is given several times is ablated once.

    Args:
        model: any network; nothing is differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        layers: as for `grad_cam`.
        fuse: as for `grad_cam`.
        relu: set what speaks against the class to zero, as the paper has it; False keeps it.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run, or the layer has no maps.

    Source:
        Desai and Ramaswamy, Ablation-CAM, WACV 2020, section 3.
    """
    rule = functools.partial(_weighed, images, classes)
    return from_features(rule, model, images, classes, layers=layers, fuse=fuse, relu=relu)


def _weighed(
    images: Tensor,
    classes: Tensor,
    network: nn.Module,
    layer: Layer,
    features: Features,
    logits: Tensor,
) -> Maps:
    pictures, first, which = distinct(images)
    tail = _Tail(network, pictures, layer, logits[first])
    each = torch.arange(features.shape[1], device=features.device)
    without = torch.cat([tail.without(some) for some in each.split(tail.at_once(features))], 1)
    ids = classes.to(which.device)
    whole = logits.gather(1, ids[:, None]).to(features.dtype)
    falls = whole - without[which, :, ids].to(features.dtype)
    weights = falls / torch.where(whole != 0, whole.abs(), 1.0)
    return (weights[:, :, None, None] * features).sum(1)


class _Tail:
    """The network from a layer on, for pictures whose channels are taken away one by one."""

    def __init__(self, network: nn.Module, pictures: Tensor, layer: Layer, logits: Tensor) -> None:
        self.network, self.pictures, self.layer = network, pictures, layer
        self.is_alone = self._takes_more_rows(logits)

    def at_once(self, features: Features) -> int:
        """How many channels to take away in one pass: less is kept for them where it is alone."""
        rows = _NUMBERS // features[0].numel() if self.is_alone else at_once(self.pictures)
        return max(1, rows // len(self.pictures))

    def without(self, channels: Tensor) -> Tensor:
        """The logits (P, k, C) of each picture with each of k channels at zero."""

        def ablate(tensor: Tensor) -> Tensor:
            changed = tensor.clone()
            rows = torch.arange(len(tensor), device=tensor.device)
            self.layer.read(changed)[rows, channels.repeat(len(self.pictures))] = 0
            return changed

        return self._logits(len(channels), ablate, only_tail=self.is_alone)

    def _takes_more_rows(self, expected: Tensor) -> bool:
        """Whether the rest gives the same logits when every picture's features come twice."""
        try:
            twice = self._logits(2, lambda tensor: tensor, only_tail=True)
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError, ModelError):
            return False  # something beside the layer, or a shape, holds on to the batch
        off = (twice - expected[:, None]).abs().max()
        return bool(off <= 1e-2 * expected.abs().max())

    def _logits(self, copies: int, change: Change, *, only_tail: bool) -> Tensor:
        """One pass with `copies` rows for each picture: from the beginning, or from the layer."""

        def handle(tree: Any) -> Any:
            tensor = follow(tree, self.layer.site.path)
            rows = tensor.repeat_interleave(copies, 0) if only_tail else tensor
            return replaced_at(tree, self.layer.site.path, change(rows))

        given = self.pictures if only_tail else self.pictures.repeat_interleave(copies, 0)
        with intercept(self.network, [self.layer.site], [handle]):
            output = self.network(given.clone())
        count = copies * len(self.pictures)
        return logits_of(output, count).view(len(self.pictures), copies, -1)


_NUMBERS = 128 * 224**2  # features that are kept at once: 25 megabytes
