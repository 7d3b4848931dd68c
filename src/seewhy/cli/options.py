"""Options that several commands take, and what their text means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.models import Classifier

DEFAULT_MODEL = "efficientnet-lite0"
MODEL_HELP = (
    "efficientnet-lite0, -lite1, -lite2, resnet20-cifar10, a folder that seewhy train wrote, "
    "timm:NAME, torchvision:NAME, hf:NAME, package.module:function or file.py:function; with "
    "--weights also a net's name: resnet20, nin, vgg16-gap, ..."
)
_MODEL, _INPUT, _RUN = "Model", "The network's input, where it differs", "Running"
_FINER = "Finer maps, from several passes"

Style = Literal["positive", "signed"]
Scale = Literal["picture", "all"]


def _option(panel: str, *names: str, help: str, metavar: str | None = None) -> object:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar)


Weights = Annotated[
    Path | None,
    _option(_MODEL, "--weights", metavar="FILE", help="safetensors, or a PyTorch checkpoint."),
]
ClassNames = Annotated[
    Path | None,
    _option(_MODEL, "--class-names", metavar="FILE", help="Names of the classes, one a line."),
]
NumClasses = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Where --weights has others.", rich_help_panel=_MODEL),
]
Output = Annotated[
    str | None,
    _option(_MODEL, "--output", metavar="NAME", help="Which of several outputs: its key or place."),
]
Task = Annotated[
    str | None,
    _option(
        _MODEL,
        "--task",
        metavar="NAME",
        help="single-label, multi-label, binary or regression; by default as the model shows.",
    ),
]
Size = Annotated[
    str | None, _option(_INPUT, "--size", metavar="PIXELS", help="224, or 320x240 (width first).")
]
Mean = Annotated[
    str | None,
    _option(_INPUT, "--mean", metavar="NUMBERS", help="Subtracted, as in 0.485,0.456,0.406."),
]
Std = Annotated[
    str | None,
    _option(_INPUT, "--std", metavar="NUMBERS", help="Divided by, as in 0.229,0.224,0.225."),
]
Crop = Annotated[
    float | None,
    _option(_INPUT, "--crop", metavar="SHARE", help="What the centre crop keeps of each side."),
]
Mode = Annotated[str | None, _option(_INPUT, "--mode", metavar="NAME", help="crop, squash or pad.")]
Interpolation = Annotated[
    str | None,
    _option(
        _INPUT, "--interpolation", metavar="NAME", help="bilinear, bicubic, lanczos or nearest."
    ),
]
Device = Annotated[
    str | None,
    _option(_RUN, "--device", metavar="NAME", help="cpu, cuda, ...; a GPU if there is one."),
]
Resolution = Annotated[
    int,
    _option(_FINER, "--resolution", metavar="N", help="2 or 4: cells along each side, for 1."),
]
How = Annotated[
    str,
    _option(_FINER, "--how", metavar="NAME", help="dilate, shift, or auto: dilate if exact."),
]
Flip = Annotated[
    bool, _option(_FINER, "--flip", metavar=" ", help="Average with the mirrored pictures.")
]
Scales = Annotated[
    str | None,
    _option(_FINER, "--scales", metavar="NUMBERS", help="Average over sizes: 0.8,1.0,1.25."),
]
Debug = Annotated[
    bool, _option(_RUN, "--debug", metavar=" ", help="Show the traceback of an error.")
]
AsJson = Annotated[
    bool, typer.Option("--json", metavar=" ", help="One JSON document on stdout, no more.")
]


def load(
    spec: str,
    *,
    weights: Path | None = None,
    class_names: Path | None = None,
    num_classes: int | None = None,
    size: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    crop: float | None = None,
    mode: str | None = None,
    interpolation: str | None = None,
    device: str | None = None,
) -> Classifier:
    """Load the model that the options describe; every argument is the text of its option."""
    from seewhy.models import load_model

    return load_model(
        spec,
        weights=weights,
        class_names=class_names,
        num_classes=num_classes,
        size=None if size is None else sides(size),
        mean=None if mean is None else _numbers("--mean", mean),
        std=None if std is None else _numbers("--std", std),
        crop=crop,
        mode=mode,
        interpolation=interpolation,
        device=device or best_device(),
    )


def sides(text: str) -> tuple[int, int]:
    """Return (width, height) of a size as it is typed.

    Raises:
        InputError: it is none.
    """
    parts = [side.strip() for side in text.lower().split("x")]
    if len(parts) > 2 or not all(side.isdecimal() for side in parts):
        raise InputError(
            "--size", expected="pixels, as in 224 or 320x240", got=repr(text), fix="write it so"
        )
    return int(parts[0]), int(parts[-1])


def scales(text: str) -> tuple[float, ...]:
    """Return the numbers of `--scales`.

    Raises:
        InputError: they are none.
    """
    return _numbers("--scales", text, "numbers with commas between them, as in 0.8,1.0,1.25")


def _numbers(
    option: str, text: str, expected: str = "one number a channel, as in 0.5,0.5,0.5"
) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            option,
            expected=expected,
            got=repr(text),
            fix="write numbers with commas between them",
        ) from None


def best_device() -> str:
    """Return the name of the device to run on where none is named."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
