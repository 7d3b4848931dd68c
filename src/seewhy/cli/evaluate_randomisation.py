"""`seewhy evaluate randomisation`: do maps depend on what the model learned?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.evaluate_faithfulness import SHARES, given, names, steadily
from seewhy.cli.failures import OK

if TYPE_CHECKING:
    from seewhy.judging.randomisation import Randomisation

DEFAULT_OUT = Path("seewhy-randomisation")
NAME, FIGURES = "randomisation", (".png", ".pdf", ".svg")
METHODS_HELP = "cam,gradient,guided-backprop,deconvnet by default; also random, centre, edges."

HELP = """Ask whether maps depend on what the model learned.

[bold]Examples[/bold]

\b
seewhy evaluate randomisation --model resnet20-cifar10
seewhy evaluate randomisation photos/ --methods cam,guided-backprop
seewhy evaluate randomisation --data cifar10/ --order independent --json

The layers of a copy of the model are redrawn at random, one after the other
from the logits down, and each method's maps are compared with those of the
model as it is. A map that stays the same shows the picture, and not what the
model learned. A figure (PNG, PDF, SVG) and the table go to
./seewhy-randomisation.
"""


@options.with_model()
def randomisation(
    *,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PICTURE|FOLDER|GLOB]", help="Pictures without labels."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="A data set, or pictures; foolbox's by default."),
    ] = None,
    model: options.ModelOptions,
    output: options.Output = None,
    task: options.Task = None,
    methods: Annotated[str | None, typer.Option(metavar="NAMES", help=METHODS_HELP)] = None,
    order: Annotated[
        str, typer.Option(metavar="NAME", help="cascading or independent.")
    ] = "cascading",
    count: Annotated[
        int, typer.Option("--pictures", min=1, metavar="N", help="How many, at most.")
    ] = 16,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of what is random.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where figure and table go.")
    ] = DEFAULT_OUT,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy evaluate randomisation` and return its exit code."""
    from seewhy import files
    from seewhy.cli.progress import watched
    from seewhy.judging.chosen import named
    from seewhy.judging.randomisation import randomisation_test
    from seewhy.judging.reinitialise import check_order

    wanted = names(methods)
    if wanted is not None:
        named(wanted)
    check_order(order)
    folder = files.writable_folder(out)
    network = options.chosen(model.load(), output, task)
    with watched(SHARES, unit=None) as watcher:
        test = randomisation_test(
            network,
            given(pictures, data, network.num_classes),
            wanted,
            order=order,
            count=count,
            seed=seed,
            on_progress=steadily(watcher.advance),
        )
    _report(test, _written(test, folder), as_json=as_json)
    return OK


def _written(test: Randomisation, folder: Path) -> list[Path]:
    from seewhy import files

    text = test.table() + "\n"
    drawn = [test.save(folder / f"{NAME}{suffix}") for suffix in FIGURES]
    return [*drawn, files.write_whole(folder / f"{NAME}.md", [text.encode()])]


def _report(test: Randomisation, written: list[Path], *, as_json: bool) -> None:
    from seewhy.cli.lines import dump
    from seewhy.cli.text import plain

    if as_json:
        typer.echo(dump({**test.to_json(), "files": [str(path) for path in written]}))
        return
    for line in test.table().splitlines():
        typer.echo(plain(line))
    for path in written:
        typer.echo(f"wrote {plain(str(path))}")
