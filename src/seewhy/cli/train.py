"""`seewhy train`: a net and pictures in, a model folder out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seewhy.cli import options
from seewhy.cli.failures import INTERRUPTED, OK
from seewhy.cli.text import plain
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.training import Progress, Result
    from seewhy.training.loop import Watch

_DATA, _RECIPE, _RUN = "Data and model", "Recipe", "Running"

HELP = """Train a net on pictures with labels, or fine-tune a trained one.

[bold]Examples[/bold]

\b
seewhy train resnet20 --data cifar10/
seewhy train resnet20 --data cifar10/ --epochs 40 --seed 0 --out runs/a
seewhy train nin --data photos/ --epochs 20      a folder for each class
seewhy train --init torchvision:alexnet --to-gap --data photos/
seewhy explain photos/ --model runs/a            what it has learned to see

--out becomes a model that every other command takes. Interrupted, or even
killed, the same command goes on where it was, and ends with the same weights
as if nothing had happened. The test part is looked at once, at the end.
"""


def train(
    net: Annotated[
        str | None,
        typer.Argument(
            metavar="[NET]", help="resnet20, nin, vgg-cifar-gap, ..., or what --model takes."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Parquet files, a CIFAR archive, or a folder with a folder for each class.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run. [dim]\\[default: runs/NET][/dim]"),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Start from a trained model.", rich_help_panel=_DATA),
    ] = None,
    to_gap: Annotated[
        bool,
        typer.Option(
            "--to-gap",
            metavar=" ",
            help="Replace its head by global average pooling and a linear layer.",
            rich_help_panel=_DATA,
        ),
    ] = False,
    epochs: Annotated[int, typer.Option(metavar="N", help="Times that each picture is seen.")] = 40,
    lr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="The highest learning rate. [dim]\\[default: 0.2 with BatchNorm, 0.02 without; "
            "a tenth with --init][/dim]",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", help="Pictures a step.", rich_help_panel=_RECIPE)
    ] = 128,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of all that is random.", rich_help_panel=_RECIPE)
    ] = 0,
    weight_decay: Annotated[
        float,
        typer.Option(metavar="RATE", help="Not on norms and biases.", rich_help_panel=_RECIPE),
    ] = 5e-4,
    label_smoothing: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Spread over all classes.", rich_help_panel=_RECIPE),
    ] = 0.05,
    flip: Annotated[
        bool,
        typer.Option(
            "--flip/--no-flip", help="Mirror pictures every other epoch.", rich_help_panel=_RECIPE
        ),
    ] = True,
    validation: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Of the training pictures, held out and scored after each epoch.",
            rich_help_panel=_RECIPE,
        ),
    ] = 0.0,
    half: Annotated[
        bool,
        typer.Option(
            "--half", metavar=" ", help="Save the weights in float16.", rich_help_panel=_RECIPE
        ),
    ] = False,
    device: options.Device = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(
            metavar="KIND",
            help="auto, float32 or bfloat16. auto: bfloat16 where the processor has it.",
            rich_help_panel=_RUN,
        ),
    ] = "auto",
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Translate the network first. [dim]\\[default: where it pays][/dim]",
            rich_help_panel=_RUN,
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="And after each epoch.", rich_help_panel=_RUN),
    ] = 60.0,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", metavar=" ", help="Forget the run in --out.", rich_help_panel=_RUN
        ),
    ] = False,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy train` and return its exit code."""
    spec = _one_of(net, init)
    if data is None:
        raise InputError(
            "--data",
            expected="pictures with labels",
            got="none",
            fix="pass --data with Parquet files, an archive, or a folder of folders",
        )
    folder = out or Path("runs") / _part(spec)
    from seewhy.datasets import load_dataset
    from seewhy.training import Recipe, Stopped
    from seewhy.training import train as train_net
    from seewhy.training.processes import joined

    recipe = Recipe(
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        seed=seed,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        flip=flip,
        validation=validation,
        half=half,
        precision=precision,
        compile=compile,
    )
    with joined(device or options.best_device()) as place, bar(epochs) as watch:
        assert place is not None
        try:
            result = train_net(
                spec,
                load_dataset(data),
                folder,
                recipe,
                init=init is not None,
                gap=to_gap,
                device=place,
                checkpoint_every=checkpoint_every,
                restart=restart,
                watch=watch,
                tell=_say,
            )
        except Stopped as stop:
            _say(
                f"interrupted after step {stop.step:,} of {stop.steps:,}; the same command goes on"
            )
            return INTERRUPTED
    _report(result, as_json=as_json)
    return OK


def _one_of(net: str | None, init: str | None) -> str:
    """The net to train from scratch, or the trained model to start from."""
    if (net is None) == (init is None):
        raise InputError(
            "net",
            expected="a net's name, or --init with a trained model",
            got="neither" if net is None else "both",
            fix="write seewhy train resnet20 --data PATH, say",
        )
    return net or init or ""


def _part(spec: str) -> str:
    """The spec as the name of a folder."""
    return "".join(each if each.isalnum() or each in "-_." else "-" for each in Path(spec).name)


@contextmanager
def bar(epochs: int) -> Iterator[Watch]:
    """Show how far training is, to a person; else print a line after each epoch."""
    yield _Lines(epochs)


class _Lines:
    """A line on stderr after each epoch."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def __call__(self, progress: Progress) -> None:
        """Print one if an epoch has ended."""
        if progress.row and progress.step * progress.epochs == progress.epoch * progress.steps:
            speed = progress.pictures / progress.seconds

            _say(
                f"epoch {progress.epoch}/{progress.epochs}  loss {progress.row.loss:.4f}"
                f"  accuracy {progress.row.accuracy:.2%}  {speed:,.0f} images/s"
            )


def _report(result: Result, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"model": str(result.folder), "trained": result.account}, indent=2))
        return
    if result.account:
        print(
            f"test accuracy {result.test['accuracy']:.2%} of {result.test['count']:,} pictures; "
            f"the model is in {result.folder}"
        )


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)
