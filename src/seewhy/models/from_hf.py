"""Networks of transformers: a folder or a hub's name; never code from a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seewhy.errors import ModelError
from seewhy.images import Preprocess, Size, crop_share
from seewhy.models.parts import Parts, Request, import_extra, not_obtained
from seewhy.preprocess import Interpolation, Mode
from seewhy.wording import first_few, near_or

if TYPE_CHECKING:
    from torch import nn

    from seewhy.tasks import Task

# What Pillow's numbers mean.
RESAMPLING: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}

# What a configuration's problem_type means; most have none.
TASKS: dict[str | None, Task] = {
    "regression": "regression",
    "single_label_classification": "single-label",
    "multi_label_classification": "multi-label",
}


def load(request: Request) -> Parts:
    """Return `AutoModelForImageClassification` of a folder or of a name on the hub."""
    import_extra("transformers.modeling_utils", "transformers")  # says what is missing, if it is
    transformers = import_extra("transformers", "transformers")
    _check_folder(request)
    options = {} if request.num_classes is None else {"num_labels": request.num_classes}
    try:
        config = transformers.AutoConfig.from_pretrained(request.name, **options)
        module, missing = _module(transformers, request, config)
    except Exception as problem:
        raise not_obtained(request, problem) from problem
    if missing:
        raise ModelError(
            f"model {request.spec}",
            expected="weights for all of its parameters, those of its classes too",
            got=f"none for {first_few(missing)}",
            fix="choose a checkpoint that was trained to classify, or pass weights=FILE",
        )
    labels = tuple(config.id2label.get(index, str(index)) for index in range(config.num_labels))
    return Parts(
        module,
        _preprocess(_processor(transformers, request)),
        None if labels[0] == "LABEL_0" else labels,
        task=TASKS.get(config.problem_type),
    )


def _module(transformers: Any, request: Request, config: Any) -> tuple[nn.Module, list[str]]:
    """Build the network; name the parameters that its checkpoint has nothing for."""
    auto = transformers.AutoModelForImageClassification
    if not request.pretrained:
        return auto.from_config(config), []
    module, info = auto.from_pretrained(request.name, config=config, output_loading_info=True)
    return module, sorted(info["missing_keys"])


def _check_folder(request: Request) -> None:
    """Refuse what can only be a path, and leads nowhere."""
    path = Path(request.name)
    if path.is_dir() or not (path.is_absolute() or request.name.startswith((".", "~"))):
        return
    folders = [each.name for each in path.parent.glob("*/")]
    raise ModelError(
        f"model {request.spec}",
        expected="a folder with config.json and weights, or a name on the hub",
        got="no such folder",
        fix=near_or(path.name, folders, "check the path"),
    )


def _processor(transformers: Any, request: Request) -> dict[str, Any]:
    """Return preprocessor_config.json as it stands; empty where a model comes without one."""
    base = transformers.image_processing_utils.BaseImageProcessor
    try:
        options: dict[str, Any] = base.get_image_processor_dict(request.name)[0]
    except OSError:
        return {}
    return options


def _preprocess(options: dict[str, Any]) -> Preprocess:
    """Translate a processor's options; ImageNet's usual ones where there are none."""
    if not options:
        return Preprocess()
    size, crop, mode = _framing(options)
    mean, std = _scaling(options)
    return Preprocess(
        size=size,
        crop=min(crop, 1.0),
        mode=mode,
        interpolation=RESAMPLING.get(options.get("resample", 2), "bilinear"),
        mean=mean,
        std=std,
    )


def _framing(options: dict[str, Any]) -> tuple[Size, float, Mode]:
    """Return the size of the input, the share that its crop keeps, and the mode."""
    size = _sides(options.get("size", 224), options)
    edge = size.get("shortest_edge")
    if edge is None:
        return _stretched(options, size["width"], size["height"])
    if "ConvNext" in _kind(options):  # its own rule: from 384 pixels on it stretches
        share = crop_share(edge, int(edge / options.get("crop_pct", 0.875)))
        return (edge, edge), *((share, "crop") if edge < 384 else (1.0, "squash"))
    kept = _crop_size(options) if options.get("do_center_crop") else (edge, edge)
    return kept, crop_share(min(kept), edge), "crop"


def _stretched(options: dict[str, Any], width: int, height: int) -> tuple[Size, float, Mode]:
    kept = _crop_size(options) if options.get("do_center_crop") else (width, height)
    return kept, crop_share(kept[0], width), "squash"


def _crop_size(options: dict[str, Any]) -> Size:
    size = options.get("crop_size", 224)
    return (size, size) if isinstance(size, int) else (size["width"], size["height"])


def _sides(size: Any, options: dict[str, Any]) -> dict[str, int]:
    """Return a size as a dict; old files have a number, whose meaning depends on the crop."""
    if isinstance(size, dict):
        return size
    cropped = options.get("do_center_crop") or "ConvNext" in _kind(options)
    return {"shortest_edge": size} if cropped else {"height": size, "width": size}


def _kind(options: dict[str, Any]) -> str:
    return str(options.get("image_processor_type", options.get("feature_extractor_type", "")))


def _scaling(options: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of values between 0 and 1, all of the processor's steps folded in."""
    factor = 255 * options.get("rescale_factor", 1 / 255)
    offset = 1.0 if options.get("rescale_offset") else 0.0
    normalised = options.get("do_normalize", True)
    means = options.get("image_mean", (0.5,) * 3) if normalised else (0.0,) * 3
    stds = options.get("image_std", (0.5,) * 3) if normalised else (1.0,) * 3
    # EfficientNet's processor divides by the standard deviation twice, as its original did.
    twice = "EfficientNet" in _kind(options) and options.get("include_top", True) and normalised
    return (
        tuple((mean + offset) / factor for mean in means),
        tuple((std**2 if twice else std) / factor for std in stds),
    )
