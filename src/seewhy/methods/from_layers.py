"""From what layers give to one map of the picture's size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.errors import InputError
from seewhy.evidence import without_autocast
from seewhy.methods.activations import Features, Layer, Score, differentiated, seen
from seewhy.methods.layers import Layers, with_layers
from seewhy.methods.passes import require_classes, undisturbed

Maps = Float[Tensor, "batch height width"]
Fuse = Literal["mean", "max", "sum"]
GradientRule = Callable[[Features, Features], Maps]


def from_gradients(
    rule: GradientRule,
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers,
    fuse: Fuse,
    relu: bool,
    score: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Maps:
    """The maps (B, H, W) that a rule makes of features and gradients: one pass there and back.

    Args:
        rule: from the features and the gradients of a layer, both (B, K, h, w), to (B, h, w).
        model: the network; it is left as it was.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        layers: see `with_layers`.
        fuse: how the maps of several layers become one, see `fused`.
        relu: whether what speaks against the class is set to zero, in each layer's map.
        score: from logits (B, C) and classes (B,) to what is differentiated, (B,); the class's
            logit if None.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run or differentiated, or a layer has no maps.
    """
    _require_fuse(fuse)

    def run(chosen: tuple[Layer, ...]) -> Sequence[Tensor]:
        found = differentiated(network, images, chosen, of_classes)
        with without_autocast(images.device.type):
            return list(map(rule, found.features, found.gradients))

    with undisturbed(model, images, classes) as network:
        of_classes = _score(score or _logit, classes)
        maps = with_layers(network, images, layers, run)
    return _finished(maps, images, fuse, relu=relu)


def from_features(
    rule: Callable[[nn.Module, Layer, Features, Tensor], Maps],
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    layers: Layers,
    fuse: Fuse,
    relu: bool,
) -> Maps:
    """The maps (B, H, W) that a rule makes of features, without gradients.

    Args:
        rule: from the network, a layer, its features (B, K, h, w) and the logits (B, C) to
            (B, h, w).
        model: the network; it is left as it was.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        layers: see `with_layers`.
        fuse: how the maps of several layers become one, see `fused`.
        relu: whether what speaks against the class is set to zero, in each layer's map.

    Raises:
        InputError, ClassError: pictures, classes, layers or options of the wrong form.
        ModelError: the model cannot be run, or a layer has no maps.
    """
    _require_fuse(fuse)

    def run(chosen: tuple[Layer, ...]) -> Sequence[Tensor]:
        found = seen(network, images, chosen)
        require_classes(classes, found.logits.shape[1])
        each = zip(chosen, found.features, strict=True)
        return [rule(network, layer, features, found.logits) for layer, features in each]

    with undisturbed(model, images, classes) as network, torch.no_grad():
        maps = with_layers(network, images, layers, run)
    return _finished(maps, images, fuse, relu=relu)


def in_picture(maps: Maps, size: tuple[int, ...]) -> Maps:
    """Maps brought to a size, bilinearly, with half-pixel centres."""
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def fused(maps: Sequence[Maps], how: Fuse) -> Maps:
    """One map of several of the same size.

    The numbers of two layers cannot be compared. For the mean and the maximum each map is
    therefore divided by its largest magnitude first; a map of zeros stays one. The sum is that of
    the raw maps. One map alone stays raw.
    """
    return maps[0] if len(maps) == 1 else _FUSIONS[how](torch.stack(list(maps)))


def _scaled(maps: Float[Tensor, "layer batch height width"]) -> Tensor:
    largest = maps.abs().amax((2, 3), keepdim=True)
    return maps / torch.where(largest > 0, largest, 1.0)


_FUSIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: _scaled(maps).mean(0),
    "max": lambda maps: _scaled(maps).amax(0),
    "sum": lambda maps: maps.sum(0),
}


def _require_fuse(how: str) -> None:
    if how not in _FUSIONS:
        expected = " or ".join(map(repr, _FUSIONS))
        raise InputError("fuse", expected=expected, got=repr(how), fix="choose one of these")


def _finished(maps: Sequence[Tensor], images: Tensor, fuse: Fuse, *, relu: bool) -> Tensor:
    size = tuple(images.shape[2:])
    with torch.inference_mode(mode=False), without_autocast(images.device.type):
        each = [in_picture(one.relu() if relu else one, size) for one in maps]
        return fused(each, fuse).float()


def _logit(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]


def _score(score: Callable[[Tensor, Tensor], Tensor], classes: Tensor) -> Score:
    """The score of these classes, once it is known that the model has them."""

    def of_logits(logits: Tensor) -> Tensor:
        require_classes(classes, logits.shape[1])
        return score(logits, classes.detach().clone().to(logits.device))

    return of_logits
