"""`seewhy figure`: a grid of pictures and their evidence, for a paper or a slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from seewhy.cli import options
from seewhy.cli.named import named

if TYPE_CHECKING:
    from seewhy.figures.figure import Figure
    from seewhy.figures.source import Source
    from seewhy.models import Classifier

DEFAULT_OUT = Path("seewhy-figure.png")
SAMPLE_MODEL = "resnet20-cifar10"

Part = Literal["test", "train"]

SHOW_HELP = (
    "random, mistakes (the most confident first), narrowest (the closest calls first), "
    "or classes: cat,dog."
)

HELP = """Draw a figure: pictures beside the evidence for what was predicted.

[bold]Examples[/bold]

\b
seewhy figure --model RUN --data cifar10/          some at random
seewhy figure --model RUN --data cifar10/ --show mistakes --out why.pdf
seewhy figure --model RUN --data cifar10/ --show cat,dog --seed 1
seewhy figure --model RUN --data cifar10/ --show narrowest --json
seewhy figure photos/ --rows 2 --out slide.png --dark

Wrong ones are framed, where the true class is known. All maps share one
scale, in logits. Without --data and PICTURES it shows those that the package
foolbox carries, and says so.
"""


@options.with_model(usual=None)
def figure(
    *,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PICTURE|FOLDER|GLOB]", help="Pictures without labels."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="A data set: a folder a class, Parquet, CIFAR."),
    ] = None,
    split: Annotated[Part, typer.Option(metavar="NAME", help="test or train.")] = "test",
    model: options.ModelOptions,
    output: options.Output = None,
    task: options.Task = None,
    show: Annotated[str, typer.Option(metavar="WHICH", help=SHOW_HELP)] = "random",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of what is random.")] = 0,
    rows: Annotated[
        int | None, typer.Option(min=1, max=100, metavar="N", help="At most; 4 by default.")
    ] = None,
    columns: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, metavar="N", help="By default 5 of tiny pictures, 3 of others."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Measure against this class, or others.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="A .png for slides, .pdf or .svg for print.")
    ] = DEFAULT_OUT,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Above the figure.")] = None,
    style: Annotated[
        options.Style, typer.Option(metavar="KIND", help="positive, or signed: also against it.")
    ] = "positive",
    scale: Annotated[
        options.Scale,
        typer.Option(metavar="WHOSE", help="all: one for every picture; or picture: its own."),
    ] = "all",
    dark: Annotated[
        bool, typer.Option("--dark", metavar=" ", help="Light letters on a dark ground.")
    ] = False,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy figure` and return its exit code."""
    from seewhy import files
    from seewhy.figures.save import check_suffix

    check_suffix(out)
    given = named("figure", pictures, data)
    files.writable_folder(out.parent)
    usual = SAMPLE_MODEL if given is None else options.DEFAULT_MODEL
    network = options.chosen(model.load(usual), output, task)
    made = _watched(
        network,
        given,
        show=show,
        rows=rows,
        columns=columns,
        seed=seed,
        split=split,
        against=against,
        style=style,
        scale=scale,
        title=title,
        dark=dark,
    )
    report(made, made.save(out), as_json=as_json)
    return 0


def report(made: Figure, path: Path, *, as_json: bool) -> None:
    """Say what was drawn, and where it is."""
    from seewhy.cli.lines import dump
    from seewhy.cli.text import plain

    for line in made.skipped:
        typer.echo(plain(f"left out {line}"), err=True)
    if as_json:
        typer.echo(dump(entries(made, path)))
    else:
        typer.echo(plain(made.caption))
        typer.echo(f"figure     {plain(str(path.resolve()))}")


def entries(made: Figure, path: Path) -> dict[str, object]:
    """What a JSON document says of a figure."""
    return {**made.to_json(), "file": str(path)}


def _watched(network: Classifier, given: Any, **wanted: Any) -> Figure:
    """Make the figure; a bar shows how many pictures are decided, where all have to be."""
    from seewhy.cli.progress import watched
    from seewhy.figures import make

    source = _source(network, given, wanted["split"])
    with watched(len(source)) as watcher:
        return make.figure(network, source, on_progress=watcher.advance, **wanted)


def _source(network: Classifier, given: Any, split: str) -> Source:
    from seewhy.figures.samples import samples
    from seewhy.figures.source import source_of

    return samples(network.num_classes) if given is None else source_of(given, split)
