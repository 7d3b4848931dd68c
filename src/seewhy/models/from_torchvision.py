"""Networks of torchvision, with the preprocessing and class names of their default weights."""

from __future__ import annotations

from typing import Any

from seewhy.errors import ModelError
from seewhy.images import Preprocess, crop_share
from seewhy.models.parts import Parts, Request, import_extra, not_obtained
from seewhy.wording import near_or


def load(request: Request) -> Parts:
    """Return `torchvision.models.get_model(NAME)` with its default weights."""
    models = import_extra("torchvision.models", "torchvision")
    known = models.list_models(module=models)
    if request.name not in known:
        raise ModelError(
            f"model {request.spec}",
            expected="the name of a classifier in torchvision",
            got="none of its names",
            fix=near_or(request.name, known, "torchvision.models.list_models() lists them"),
        )
    weights = models.get_model_weights(request.name).DEFAULT
    options = {} if request.num_classes is None else {"num_classes": request.num_classes}
    try:
        module = models.get_model(
            request.name, weights=weights if request.pretrained else None, **options
        )
    except Exception as problem:
        raise not_obtained(request, problem) from problem
    return Parts(module, _preprocess(weights.transforms()), tuple(weights.meta["categories"]))


def _preprocess(transforms: Any) -> Preprocess:
    side, resized = transforms.crop_size[0], transforms.resize_size[0]
    return Preprocess(
        size=(side, side),
        crop=crop_share(side, resized),
        mode="crop",
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )
