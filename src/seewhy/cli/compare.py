"""`seewhy compare`: what other methods would have shown, in a figure and a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli import options
from seewhy.cli.named import named

if TYPE_CHECKING:
    from seewhy.comparison import Comparison
    from seewhy.comparison.compare import Wish
    from seewhy.models import Classifier

DEFAULT_OUT = Path("seewhy-compare")
NAME, FIGURES = "comparison", (".png", ".pdf", ".svg")

METHODS_HELP = (
    "By default cam, deconvnet, guided-backprop, gradient, gradient-x-input, "
    "integrated-gradients, occlusion. Also ablation-cam, eigen-cam, finer-cam, grad-cam, "
    "grad-cam++, hirescam, layer-cam, score-cam, xgrad-cam; fullgrad, smoothgrad, "
    "smoothgrad-squared, vargrad; of transformers attention-relevance, attention-rollout, legrad."
)

HELP = """Compare CAM with other methods on the same pictures.

[bold]Examples[/bold]

\b
seewhy compare                          on pictures that foolbox carries
seewhy compare photos/ --methods cam,deconvnet,gradient
seewhy compare --model RUN --data cifar10/ --mosaics 100
seewhy compare photos/ --json > numbers.json

What a map costs, in forward passes, measured. How different the maps for a
picture's two top classes are: 0 where a method shows the same for both. And
the grid pointing game: of a mosaic of four pictures of four classes, how much
of the evidence for each lies in the right quarter? Chance is 25 %.

A figure (PNG, PDF, SVG) and the table go to ./seewhy-compare. Integrated
gradients and occlusion take minutes on a CPU: leave them out with --methods.
"""


@options.with_model()
def compare(
    *,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PICTURE|FOLDER|GLOB]", help="Pictures without labels."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="A data set: its test pictures are compared on."),
    ] = None,
    model: options.ModelOptions,
    output: options.Output = None,
    task: options.Task = None,
    methods: Annotated[str | None, typer.Option(metavar="NAMES", help=METHODS_HELP)] = None,
    mosaics: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="For the grid pointing game; 8, if possible."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, metavar="N", help="Pictures with maps for two classes.")
    ] = 10,
    shown: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many of these are in the figure.")
    ] = 3,
    confidence: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="SHARE", help="Of a mosaic's pictures, at least."),
    ] = 0.5,
    rounds: Annotated[
        int, typer.Option(min=1, metavar="N", help="How often each method is timed.")
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of what is random.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where figure and table go.")
    ] = DEFAULT_OUT,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy compare` and return its exit code."""
    from seewhy import files
    from seewhy import methods as known
    from seewhy.comparison.compare import Wish

    chosen = list(known.choose(_names(methods)))
    given = named("compare", pictures, data)
    folder = files.writable_folder(out)
    network = options.chosen(model.load(), output, task)
    wish = Wish(mosaics, samples, shown, rounds, confidence, seed)
    made = _watched(network, given, chosen, wish)
    _report(made, _written(made, folder), as_json=as_json)
    return 0


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _watched(network: Classifier, given: Any, methods: list[str], wish: Wish) -> Comparison:
    """Compare, with a bar that shows how far it is."""
    from seewhy.cli.progress import watched
    from seewhy.comparison import compare
    from seewhy.figures.samples import samples

    source = samples(network.num_classes) if given is None else given
    steps, done = 1000, 0
    with watched(steps, unit=None) as watcher:

        def advance(share: float) -> None:
            nonlocal done
            watcher.advance(round(steps * share) - done)
            done = round(steps * share)

        return compare(network, source, methods, wish=wish, on_progress=advance)


def _written(made: Comparison, folder: Path) -> list[Path]:
    from seewhy import files

    text = made.table() + "\n"
    paths = [files.write_whole(folder / f"{NAME}.md", [text.encode()])]
    if made.shown:
        paths = [*(made.save(folder / f"{NAME}{suffix}") for suffix in FIGURES), *paths]
    return paths


def _report(made: Comparison, written: list[Path], *, as_json: bool) -> None:
    from seewhy.cli.lines import dump
    from seewhy.cli.text import plain

    for line in made.skipped:
        typer.echo(plain(f"left out {line}"), err=True)
    if as_json:
        typer.echo(dump({**made.to_json(), "files": [str(path) for path in written]}))
        return
    for line in made.table().splitlines():
        typer.echo(plain(line))
    typer.echo("")
    for path in written:
        typer.echo(f"wrote {plain(str(path))}")
