"""Networks of timm, with the preprocessing and class names that belong to their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seewhy.errors import ModelError
from seewhy.images import Preprocess
from seewhy.models.parts import Parts, Request, import_extra, not_obtained
from seewhy.preprocess import Mode
from seewhy.wording import near_or

if TYPE_CHECKING:
    from torch import nn

MODES: dict[str, Mode] = {"center": "crop", "squash": "squash", "border": "pad"}


def load(request: Request) -> Parts:
    """Return `timm.create_model(NAME)`; a name may carry timm's tag: `resnet18.a1_in1k`."""
    timm = import_extra("timm", "timm")
    _check_name(timm, request)
    options = {} if request.num_classes is None else {"num_classes": request.num_classes}
    try:
        module: nn.Module = timm.create_model(
            request.name, pretrained=request.pretrained, **options
        )
    except Exception as problem:
        raise not_obtained(request, problem) from problem
    if not getattr(module, "num_classes", 1):
        raise ModelError(
            f"model {request.spec}",
            expected="a classifier",
            got="a network without classes",
            fix="choose a tag with classes (in1k, say), or pass weights= and num_classes=",
        )
    config = timm.data.resolve_model_data_config(module)
    return Parts(module, _preprocess(config), _class_names(timm, module))


def _check_name(timm: Any, request: Request) -> None:
    tag_is_known = "." not in request.name or request.name in timm.list_pretrained()
    if ":" in request.name or (timm.is_model(request.name) and tag_is_known):
        return
    known = [*timm.list_models(), *timm.list_pretrained()]
    raise ModelError(
        f"model {request.spec}",
        expected="the name of a model in timm",
        got="none of its names",
        fix=near_or(request.name, known, "timm.list_models() lists them"),
    )


def _preprocess(config: dict[str, Any]) -> Preprocess:
    _, height, width = config["input_size"]
    return Preprocess(
        size=(width, height),
        crop=min(config["crop_pct"], 1.0),
        mode=MODES[config["crop_mode"]],
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _class_names(timm: Any, module: nn.Module) -> tuple[str, ...] | None:
    """Return the names of ImageNet's larger sets; those of the thousand are seewhy's own."""
    subset = timm.data.infer_imagenet_subset(module)
    if subset is None or subset == "imagenet-1k":
        return None
    return tuple(timm.data.ImageNetInfo(subset).label_descriptions())
