"""`seewhy train`: a net and pictures in, a model folder out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from seewhy.cli import options
from seewhy.cli.epochs import epochs_shown, say
from seewhy.cli.failures import INTERRUPTED, OK, describe
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.training import Result

_START, _RECIPE, _RUN = "Fine-tuning", "Recipe", "Running"

HELP = """Train a net on pictures with labels, or fine-tune a trained one.

[bold]Examples[/bold]

\b
seewhy train resnet20 --data cifar10/
seewhy train resnet20 --data cifar10/ --epochs 100 --seed 1 --out runs/long
seewhy train nin --data photos/             photos/train/cat, photos/test/cat
seewhy train --init torchvision:alexnet --to-gap --data photos/
seewhy explain photos/ --model runs/long    what it has learned to look at

--out becomes a model that every other command takes. Interrupted, or even
killed, the same command goes on where it was, and ends with the same weights
as if nothing had happened. The test part is looked at once, at the end.
"""


def _recipe(*names: str, help: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_RECIPE, **more)


def _run(*names: str, help: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_RUN, **more)


def train(
    net: Annotated[
        str | None,
        typer.Argument(
            metavar="NET", help="resnet20, nin, vgg-cifar-gap, ..., or what --model takes."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Parquet files, a CIFAR archive, or a folder with a folder for each class.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder. [dim]\\[default: runs/NET][/dim]"),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="PIXELS", help="That pictures are brought to: 64, or 320x240 (width first)."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", help="How often each picture is seen.")] = 40,
    init: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Start from a trained model.", rich_help_panel=_START),
    ] = None,
    to_gap: Annotated[
        bool,
        typer.Option(
            "--to-gap",
            metavar=" ",
            help="Replace its head by global average pooling and a linear layer.",
            rich_help_panel=_START,
        ),
    ] = False,
    lr: Annotated[
        float | None,
        _recipe(
            metavar="RATE",
            help="The highest. [dim]\\[default: 0.2; 0.02 without BatchNorm; a tenth with --init]"
            "[/dim]",
        ),
    ] = None,
    batch_size: Annotated[int, _recipe(metavar="N", help="Pictures a step.")] = 128,
    seed: Annotated[int, _recipe(metavar="N", help="Of all that is random.")] = 0,
    weight_decay: Annotated[float, _recipe(metavar="RATE", help="Not on norms and biases.")] = 5e-4,
    label_smoothing: Annotated[
        float, _recipe(metavar="SHARE", help="Of the target, for the other classes.")
    ] = 0.05,
    flip: Annotated[
        bool, _recipe("--flip/--no-flip", help="Mirror each picture in every other epoch.")
    ] = True,
    hole: Annotated[
        float,
        _recipe(metavar="SHARE", help="Of a side, the largest hole painted over a picture."),
    ] = 0.0,
    cutout: Annotated[
        float, _recipe(metavar="SHARE", help="The same, but each hole as large as that.")
    ] = 0.0,
    hide_and_seek: Annotated[
        float, _recipe(metavar="SHARE", help="Of the patches of a picture, 4 x 4, hidden.")
    ] = 0.0,
    cutmix: Annotated[
        float, _recipe(metavar="ALPHA", help="Pictures with a part of another; 1: of any size.")
    ] = 0.0,
    validation: Annotated[
        float, _recipe(metavar="SHARE", help="Of the training pictures, to score each epoch with.")
    ] = 0.0,
    half: Annotated[
        bool, _recipe("--half", metavar=" ", help="Save the weights in float16.")
    ] = False,
    device: options.Device = None,
    threads: Annotated[
        int | None, _run(min=1, metavar="N", help="Of the processor, for each process.")
    ] = None,
    processes: Annotated[
        int, _run(min=1, metavar="N", help="That train together: one a GPU, say.")
    ] = 1,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        _run(metavar="KIND", help="auto, float32, bfloat16. auto: what the processor has."),
    ] = "auto",
    compile: Annotated[
        bool | None,
        _run(
            "--compile/--no-compile",
            help="Use torch.compile. [dim]\\[default: where it pays][/dim]",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        float, _run(metavar="SECONDS", help="And after each epoch.")
    ] = 60.0,
    restart: Annotated[
        bool, _run("--restart", metavar=" ", help="Forget the run that is in --out.")
    ] = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> int:
    """Run `seewhy train` and return its exit code."""
    spec = _one_of(net, init)
    recipe = {
        "epochs": epochs,
        "lr": lr,
        "batch_size": batch_size,
        "seed": seed,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "flip": flip,
        "hole": hole,
        "cutout": cutout,
        "hide_and_seek": hide_and_seek,
        "cutmix": cutmix,
        "validation": validation,
        "half": half,
        "precision": precision,
        "compile": compile,
    }
    settings = {
        "init": init is not None,
        "gap": to_gap,
        "size": None if size is None else options.sides(size),
        "checkpoint_every": checkpoint_every,
        "restart": restart,
    }
    folder = out or Path("runs") / _part(spec)
    work = partial(
        _train, spec, _given(data), folder, recipe, settings, device, threads, as_json=as_json
    )
    if processes == 1:
        return work()
    from seewhy.training.launch import launch

    code, line = launch(partial(_described, work, debug=debug), processes)
    if line:
        say(f"seewhy: {line}")
    return code


def _train(
    spec: str,
    data: str,
    out: Path,
    recipe: Mapping[str, Any],
    settings: Mapping[str, Any],
    device: str | None,
    threads: int | None,
    *,
    as_json: bool,
) -> int:
    """Train in this process, which may be one of several."""
    import torch

    from seewhy import training
    from seewhy.cli.downloads import load_dataset
    from seewhy.training.processes import here, joined

    plan = training.Recipe(**recipe)
    if threads:
        torch.set_num_threads(threads)
    with joined(device or options.best_device()) as place:
        is_first, found = here().is_first, load_dataset(data)
        with epochs_shown() as shown:
            try:
                result = training.train(
                    spec, found, out, plan, device=place, **settings, **vars(shown)
                )
            except training.Stopped as stop:
                if is_first:
                    shown.tell(f"{stop}; the same command goes on")
                return INTERRUPTED
    if is_first:
        _report(result, as_json=as_json)
    return OK


def _described(work: Callable[[], int], *, debug: bool) -> tuple[int, str]:
    """Do the work of one of several processes; return its exit code and what went wrong."""
    try:
        return work(), ""
    except (Exception, KeyboardInterrupt) as problem:
        if debug:
            raise
        line, code = describe(problem)
        return code, line


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


def _given(data: str | None) -> str:
    if data is None:
        raise InputError(
            "--data",
            expected="pictures with labels",
            got="none",
            fix="pass --data with Parquet files, an archive, or a folder of folders",
        )
    return data


def _part(spec: str) -> str:
    """The spec as the name of a folder."""
    return "".join(each if each.isalnum() or each in "-_" else "-" for each in Path(spec).name)


def _report(result: Result, *, as_json: bool) -> None:
    test = result.test
    if as_json:
        document = {"model": str(result.folder), "trained": result.account, "test": test}
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    print(
        f"test accuracy {test['accuracy']:.2%}  loss {test['loss']:.4f}  {test['count']:,} pictures"
    )
    print(f"model {result.folder}")
