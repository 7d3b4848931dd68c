"""`seewhy evaluate accuracy`: how often a model is right on a data set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.epochs import say
from seewhy.cli.failures import OK
from seewhy.cli.progress import watched
from seewhy.cli.text import fit
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.models import Classifier
    from seewhy.training import Evaluation

HELP = """Say how often a model is right, over all and class by class.

[bold]Examples[/bold]

\b
seewhy evaluate resnet20-cifar10 --data cifar10/
seewhy evaluate runs/resnet20 --data cifar10/ --split train
seewhy evaluate timm:resnet50 --data photos/ --json

The word accuracy may be left out. Classes are matched by their names where
both the model and the data have them. Pictures that cannot be read are named,
counted and left out.
"""


@options.with_model(argument=True)
def accuracy(
    *,
    model: options.ModelOptions,
    output: options.Output = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Parquet files, a CIFAR archive, or a folder with a folder for each class.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="PART", help="test or train.")] = "test",
    as_json: options.AsJson = False,
    batch_size: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Pictures at once.", rich_help_panel="Running"),
    ] = 256,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy evaluate accuracy` and return its exit code."""
    if data is None:
        raise InputError(
            "--data",
            expected="pictures with labels",
            got="none",
            fix="pass --data with Parquet files, an archive, or a folder of folders",
        )
    from seewhy import training
    from seewhy.cli.downloads import load_dataset

    found = load_dataset(data)
    classifier = options.chosen(model.load(), output)
    _check_task(classifier)
    with watched(len(found.train if split == "train" else found.test)) as watcher:
        result = training.evaluate(
            classifier, found, split, batch_size=batch_size, on_progress=watcher.advance
        )
    for line in result.skipped[:5]:
        say(line)
    if as_json:
        document = {"model": model.spec, "data": found.name, **result.account()}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print("\n".join(table(result)))
    return OK


def _check_task(classifier: Classifier) -> None:
    if classifier.task not in (None, "single-label"):
        raise InputError(
            "accuracy",
            expected="a model of classes that exclude each other",
            got=f"one of task {classifier.task}",
            fix="ask seewhy evaluate faithfulness about its maps",
        )


def table(result: Evaluation) -> list[str]:
    """Return the result as lines: over all, then class by class."""
    lines = [f"accuracy {result.accuracy:.2%}  {result.correct:,} of {result.count:,} pictures"]
    if result.top5_accuracy is not None:
        lines.append(f"top 5    {result.top5_accuracy:.2%}")
    lines.append(f"loss     {result.loss:.4f}")
    if result.skipped:
        lines.append(f"left out {len(result.skipped):,} that cannot be read")
    width = min(30, max(len(each.name) for each in result.classes))
    for each in result.classes:
        share = f"{each.accuracy:7.2%}" if each.count else "      -"
        lines.append(f"  {fit(each.name, width)} {share}  of {each.count:,}")
    return lines
