"""Models by name: `load_model` gives a network, its preprocessing and its class names in one value.

load_model()                              # efficientnet-lite0, ImageNet, offline
load_model("timm:resnet50")
load_model("resnet20-cifar10")            # trained here, shipped with the package
load_model("runs/mine")                   # a folder that `seewhy train` wrote
load_model("nets.py:make", weights="best.safetensors", class_names="classes.txt", size=32)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from seewhy.errors import InputError, ModelError
from seewhy.models.classifier import Classifier, count_logits
from seewhy.models.names import imagenet_names, read_names
from seewhy.models.sources import SOURCES, build
from seewhy.models.weights import fit, read_weights
from seewhy.wording import complaint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seewhy.images import Preprocess

__all__ = ["SOURCES", "Classifier", "load_model"]


def load_model(
    spec: str | Path = "efficientnet-lite0",
    *,
    weights: str | Path | None = None,
    class_names: Sequence[str] | Path | str | None = None,
    size: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    crop: float | None = None,
    interpolation: str | None = None,
    mode: str | None = None,
    device: str | torch.device = "cpu",
    pretrained: bool = True,
    num_classes: int | None = None,
    shape: Sequence[int] | None = None,
) -> Classifier:
    """Load a classifier, and run it once to see that it takes the pictures it will be given.

    Args:
        spec: `efficientnet-lite0`, `-lite1` or `-lite2`; a model that was trained here, as
            `resnet20-cifar10`; a net of `seewhy.models.nets`, as `resnet20`, with `weights` or
            `pretrained=False`; a folder that `seewhy train` or `save_model` wrote; `timm:NAME`,
            `torchvision:NAME`, `hf:NAME` (a folder or a hub's name); `package.module:function` or
            `file.py:function`, called without arguments for an nn.Module. Code of your own, also
            where such a folder names it, runs with your rights.
        weights: a safetensors file or a PyTorch checkpoint, in place of pretrained weights.
        class_names: the names of the logits, or a text file with one a line; of one logit, two
            names are those of no and of yes.
        size: of the network's input, one side or (width, height), in pixels.
        mean: subtracted from each channel of values between 0 and 1.
        std: each channel is divided by it then.
        crop: share of the resized picture that the centre crop keeps.
        interpolation: as in `Preprocess`.
        mode: as in `Preprocess`.
        device: where the network goes.
        pretrained: False for random weights.
        num_classes: number of logits; by default the network's own, or the number of `class_names`
            if the weights are not the pretrained ones.
        shape: of the input, (C, T) or (C, D, H, W), of a network for sequences or volumes.

    Raises:
        InputError: an option makes no sense, alone or for this model.
        ModelError: there is no such model, or it cannot be had or run.
        MissingExtraError: its library is not installed.
        WeightsError: the weights do not fit it.
        FileError: a file cannot be read.
    """
    names = None if class_names is None else read_names(class_names)
    target = usable_device(device)
    if num_classes is not None and num_classes < 1:
        raise InputError(
            "num_classes", expected="1 or more", got=str(num_classes), fix="count the classes"
        )
    pretrained = pretrained and weights is None
    wanted = num_classes or (len(names) if names and not pretrained else None)
    name = str(spec)
    parts = build(spec, pretrained=pretrained, num_classes=None if pretrained else wanted)
    if weights is not None:
        fit(parts.module, parts.rename(read_weights(weights)), path=weights, model=name)
    changes = {"mean": mean, "std": std, "crop": crop, "interpolation": interpolation, "mode": mode}
    preprocess = _override(parts.preprocess, size, changes)
    given = None if shape is None else tuple(shape)
    bare = Classifier(name, _settle(parts.module, target), preprocess, task=parts.task, shape=given)
    return _named(bare, _try(bare), num_classes=wanted, names=names, own=parts.class_names)


def usable_device(device: str | torch.device) -> torch.device:
    """Return the device, once a tensor could be made on it and read back.

    Raises:
        InputError: this machine does not have it.
    """
    try:
        target = torch.device(device)
        torch.zeros(1, device=target).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as problem:
        have = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        have += ["mps"] if torch.backends.mps.is_available() else []
        raise InputError(
            "device",
            expected=f"one that this machine has: {', '.join(have)}",
            got=f"'{device}'",
            fix="choose one of these",
        ) from problem
    return target


def _override(
    preprocess: Preprocess, size: int | Sequence[int] | None, changes: dict[str, Any]
) -> Preprocess:
    given = {name: value for name, value in changes.items() if value is not None}
    for name in {"mean", "std"} & given.keys():
        given[name] = _numbers(name, given[name])
    if size is not None:
        given["size"] = (size, size) if isinstance(size, int) else tuple(size)
    return replace(preprocess, **given)


def _numbers(option: str, values: Sequence[float]) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError) as problem:
        raise InputError(
            option, expected="one number a channel", got=repr(values), fix=f"pass another {option}"
        ) from problem


def _settle(module: nn.Module, device: torch.device) -> nn.Module:
    """Bring a module to its device, in the memory order that its convolutions are fastest in.

    Channels last took 15 to 35 % off EfficientNet-Lite's time on a CPU; inputs need no conversion.
    """
    module = module.eval().to(device)
    if device.type in ("cpu", "cuda") and any(isinstance(m, nn.Conv2d) for m in module.modules()):
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def _try(classifier: Classifier) -> int | None:
    """Run one picture of noise through it and return the number of logits, if it shows."""
    example = classifier.example(batch=1)
    try:
        with torch.inference_mode():
            return count_logits(classifier(example))
    except Exception as problem:  # whatever the user's network raises
        what = "pictures" if classifier.shape is None else "arrays"
        sides = "the size and mean (one value a channel)" if what == "pictures" else "arrays"
        raise ModelError(
            f"model {classifier.name}",
            expected=f"a network that takes {what} of {' x '.join(map(str, example.shape[1:]))}",
            got=complaint(problem),
            fix=f"pass {sides} that it was made for",
        ) from problem


def _named(
    classifier: Classifier,
    found: int | None,
    *,
    num_classes: int | None,
    names: tuple[str, ...] | None,
    own: tuple[str, ...] | None,
) -> Classifier:
    """Give the logits their names: the user's, else the source's, else ImageNet's if they fit."""
    given = {"num_classes": num_classes, "class_names": None if names is None else len(names)}
    for option, count in given.items():
        is_no_and_yes = option == "class_names" and (found, count) == (1, 2)
        if count is not None and found is not None and count != found and not is_no_and_yes:
            raise InputError(
                option,
                expected=f"{found}, as many as {classifier.name} has logits",
                got=str(count),
                fix="pass the weights of a network with that many classes, or drop the option",
            )
    fitting = (each for each in (names, own, imagenet_names()) if each and len(each) == found)
    return replace(classifier, num_classes=found, class_names=next(fitting, names))
