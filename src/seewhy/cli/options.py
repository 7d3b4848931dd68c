"""Options that several commands take, and what their text means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

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
_LAST = (_INPUT, _FINER, _RUN)  # the last panels of every help, after the command's own

Style = Literal["positive", "signed"]
Scale = Literal["picture", "all"]
Command = Callable[..., int]  # to its exit code


def _option(panel: str, *names: str, help: str, metavar: str | None = None) -> object:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar)


Spec = Annotated[str | None, _option(_MODEL, "--model", metavar="SPEC", help=MODEL_HELP)]
SpecArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
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


@dataclass(frozen=True)
class ModelOptions:
    """What the user says of the model: each field is the option of that name, as it was typed.

    A command asks for all of them with one parameter, which has to be called `model`:

        @options.with_model()
        def audit(*, model: options.ModelOptions, as_json: options.AsJson = False) -> int:
            network = model.load()

    Attributes:
        spec: what stands behind `--model`, see `load_model`; None if nothing does.
    """

    spec: Spec = None
    weights: Weights = None
    class_names: ClassNames = None
    num_classes: NumClasses = None
    size: Size = None
    mean: Mean = None
    std: Std = None
    crop: Crop = None
    mode: Mode = None
    interpolation: Interpolation = None
    device: Device = None

    def load(self, usual: str = DEFAULT_MODEL, shape: Sequence[int] | None = None) -> Classifier:
        """Load the model, or the `usual` one if the user names none.

        Args:
            usual: a spec.
            shape: of its input, where that is no picture.

        Raises:
            InputError: what was typed is no size, or no numbers; and see `load_model`.
        """
        from seewhy.models import load_model

        return load_model(
            usual if self.spec is None else self.spec,
            weights=self.weights,
            class_names=self.class_names,
            num_classes=self.num_classes,
            size=None if self.size is None else sides(self.size),
            mean=None if self.mean is None else _numbers("--mean", self.mean),
            std=None if self.std is None else _numbers("--std", self.std),
            crop=self.crop,
            mode=self.mode,
            interpolation=self.interpolation,
            device=self.device or best_device(),
            shape=shape,
        )


def with_model(
    *, argument: bool = False, usual: str | None = DEFAULT_MODEL, without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Give a command the options of `ModelOptions` in place of its parameter `model`.

    Args:
        argument: the model is the command's argument, and has to be named.
        usual: what the help shows as the model where none is named.
        without: the fields of `ModelOptions` that this command has no options for.
    """
    every = _parameters(ModelOptions)
    every["spec"] = (
        every["spec"].replace(annotation=SpecArgument, default=Parameter.empty)
        if argument
        else every["spec"].replace(default=usual)
    )
    added = [each for name, each in every.items() if name not in without]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**given: Any) -> int:
            model = ModelOptions(**{each.name: given.pop(each.name) for each in added})
            return command(model=model, **given)

        typed = _in_order(_inserted(_parameters(command), added))
        run.__annotations__ = {each.name: each.annotation for each in typed}
        vars(run)["__signature__"] = Signature(typed)  # what typer reads
        return run

    return decorate


def _parameters(command: Callable[..., Any]) -> dict[str, Parameter]:
    """By name; by keyword only, for such may stand in any order whether they have defaults."""
    return {
        name: each.replace(kind=Parameter.KEYWORD_ONLY)
        for name, each in signature(command, eval_str=True).parameters.items()
    }


def _inserted(own: Mapping[str, Parameter], added: Sequence[Parameter]) -> list[Parameter]:
    groups = (added if name == "model" else [each] for name, each in own.items())
    return [each for group in groups for each in group]


def _in_order(parameters: Sequence[Parameter]) -> list[Parameter]:
    """The help shows panels in the order of their first options."""

    def place(parameter: Parameter) -> int:
        option = next(iter(get_args(parameter.annotation)[1:]), None)
        panel = getattr(option, "rich_help_panel", None)
        return _LAST.index(panel) if panel in _LAST else -1

    return sorted(parameters, key=place)


def chosen(model: Classifier, output: str | None, task: str | None = None) -> Classifier:
    """The classifier of the output and the task that were typed, see `seewhy.models.chosen`."""
    from seewhy.models.chosen import chosen

    return chosen(model, output, task)


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
