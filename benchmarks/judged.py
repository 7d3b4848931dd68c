"""Whose maps are judged: seewhy's, those of peers on the same network, and maps that know nothing.

Each entry is given a copy of the network, for some leave hooks on it, and makes maps of one class
for each picture. Peers are used as their READMEs say and told the layers of EfficientNet-Lite0.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

import seewhy
from seewhy.methods import METHODS
from seewhy.methods.integrated_gradients import STEPS
from seewhy.metrics.baselines import BASELINES

Maps = Callable[[Tensor, Tensor], Tensor]  # pictures (B, C, H, W), classes (B,) -> (B, h, w)
Make = Callable[[nn.Module], Maps]
Sums = Literal["mean", "cells", "pixels"]
Price = Literal["cheap", "dear", "dearest"]

TARGET, CLASSIFIER = "top", "fc"  # of EfficientNet-Lite0: what peers have to be told
OURS, GRAD_CAM, TORCHCAM, CAPTUM = "seewhy", "pytorch-grad-cam", "TorchCAM", "Captum"
NOBODY = "knows nothing"


@dataclass(frozen=True)
class Entry:
    """Somebody's maps.

    Attributes:
        name: of the method, as its maker calls it.
        whose: the package.
        make: from a network of its own to what makes the maps.
        kind: what is promised of the maps: "exact" (and checked), "in logits", "first-order",
            "none"; of peers "not said".
        sums: of which numbers the sum should be the logit: the mean of the map, its sum over the
            cells of the feature grid, or over the pixels; None where the numbers are not in logits.
        price: "cheap" for a few passes, "dear" for dozens and hundreds, "dearest" for a thousand.
    """

    name: str
    whose: str
    make: Make
    kind: str = "not said"
    sums: Sums | None = None
    price: Price = "cheap"

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.whose}: {self.name}"


def entries() -> Iterator[Entry]:
    """Everyone, in the order of the table."""
    yield from _evidence()
    yield from map(_method, (name for name in METHODS if name != "cam"))
    for name in _GRAD_CAMS:
        yield Entry(name, GRAD_CAM, _grad_cam(name), price=_GRAD_CAMS[name])
    for name in _TORCHCAMS:
        yield Entry(name, TORCHCAM, _torchcam(name), price=_TORCHCAMS[name])
    yield from _captum()
    for name, method in BASELINES.items():
        yield Entry(name, NOBODY, _of_function(method.function), kind="none")


def _evidence() -> Iterator[Entry]:
    """What `explain` and `refine` give."""
    yield Entry("cam", OURS, _explained(), kind="exact", sums="mean")
    for words, options in _VIEWS.items():
        yield Entry(f"cam, {words}", OURS, _explained(**options), kind="exact", sums="mean")
    yield Entry("refined", OURS, _refined, kind="none")


_VIEWS: dict[str, dict[str, Any]] = {
    "resolution 2": {"resolution": 2},
    "flip": {"flip": True},
    "resolution 2, flip": {"resolution": 2, "flip": True},
}


def _explained(**options: Any) -> Make:
    def make(network: nn.Module) -> Maps:
        return lambda images, classes: seewhy.explain(
            network, images, classes[:, None], **options
        ).maps[:, 0]

    return make


def _refined(network: nn.Module) -> Maps:
    return lambda images, classes: seewhy.refine(network, images, classes[:, None]).refined[:, 0]


_PRICES: dict[str, Price] = {
    "integrated-gradients": "dear",
    "occlusion": "dear",
    "smoothgrad": "dear",
    "smoothgrad-squared": "dear",
    "vargrad": "dear",
    "ablation-cam": "dear",
    "score-cam": "dearest",
}


def _method(name: str) -> Entry:
    method = METHODS[name]
    make, price = _of_function(method.function), _PRICES.get(name, "cheap")
    return Entry(name, OURS, make, _kind_of(method.unit), _sums_of(method.unit), price)


def _kind_of(unit: str) -> str:
    """What the unit of a method says that its maps are."""
    if "first order" in unit:
        return "first-order"
    return "none" if _sums_of(unit) is None else "in logits"


def _sums_of(unit: str) -> Sums | None:
    """Over what the numbers of a method are to be added, by their unit."""
    if unit.startswith("logits a position"):
        return "cells"
    return "pixels" if unit.startswith("logits a pixel") else None


def _of_function(function: Any) -> Make:
    return lambda network: lambda images, classes: function(network, images, classes)


_GRAD_CAMS: dict[str, Price] = {
    "GradCAM": "cheap",
    "GradCAMPlusPlus": "cheap",
    "HiResCAM": "cheap",
    "XGradCAM": "cheap",
    "LayerCAM": "cheap",
    "EigenCAM": "cheap",
    "FullGrad": "dear",  # it resizes channel by channel
    "AblationCAM": "dearest",
    "ScoreCAM": "dearest",
}


def _grad_cam(name: str) -> Make:
    """Maps at the picture's size, cut off at zero and stretched from 0 to 1."""

    def make(network: nn.Module) -> Maps:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        layers = [] if name == "FullGrad" else [network.get_submodule(TARGET)]  # it finds its own
        cam = getattr(pytorch_grad_cam, name)(network, layers)

        def maps(images: Tensor, classes: Tensor) -> Tensor:
            targets = [ClassifierOutputTarget(int(each)) for each in classes]
            with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
                return torch.from_numpy(cam(input_tensor=images.clone(), targets=targets))

        return maps

    return make


_TORCHCAMS: dict[str, Price] = {
    "CAM": "cheap",
    "GradCAM": "cheap",
    "GradCAMpp": "cheap",
    "XGradCAM": "cheap",
    "LayerCAM": "cheap",
    "ScoreCAM": "dearest",
}


def _torchcam(name: str) -> Make:
    """Maps on the feature grid, cut off at zero and stretched from 0 to 1."""

    def make(network: nn.Module) -> Maps:
        from torchcam import methods

        layers = (TARGET, CLASSIFIER) if name == "CAM" else (TARGET,)
        cam = getattr(methods, name)(network, *layers)

        def maps(images: Tensor, classes: Tensor) -> Tensor:
            (small,) = cam(classes.tolist(), network(images))
            return torch.as_tensor(small).detach()

        return maps

    return make


def _captum() -> Iterator[Entry]:
    """The sum over the channels of each pixel, as ours; not stretched."""
    zero = {"baselines": 0.0}
    steps = {"n_steps": STEPS, "internal_batch_size": 8}
    patches = {"sliding_window_shapes": (3, 28, 28), "strides": (3, 14, 14)}
    yield Entry("Saliency", CAPTUM, _attributed("Saliency", abs=False))
    yield Entry("InputXGradient", CAPTUM, _attributed("InputXGradient"), sums="pixels")
    yield Entry("GuidedBackprop", CAPTUM, _attributed("GuidedBackprop"))
    yield Entry("Deconvolution", CAPTUM, _attributed("Deconvolution"))
    gradients = _attributed("IntegratedGradients", **zero, **steps)
    yield Entry("IntegratedGradients", CAPTUM, gradients, sums="pixels", price="dear")
    hidden = _attributed("Occlusion", **zero, **patches, perturbations_per_eval=8)
    yield Entry("Occlusion", CAPTUM, hidden, price="dear")


def _attributed(name: str, **options: Any) -> Make:
    def make(network: nn.Module) -> Maps:
        from captum import attr

        method = getattr(attr, name)(network)

        def maps(images: Tensor, classes: Tensor) -> Tensor:
            given = method.attribute(images.clone(), target=classes, **options)
            return torch.as_tensor(given).detach().sum(1)

        return maps

    return make
