"""`seewhy evaluate faithfulness`: is the evidence that maps show real?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli import options
from seewhy.cli.failures import OK
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.judging.result import Faithfulness

NAME, FIGURES = "faithfulness", (".png", ".pdf", ".svg")

METRICS_HELP = (
    "deletion, insertion, road, average-drop, increase, sufficiency, infidelity; all by default."
)
METHODS_HELP = "Such as cam,gradient; a few cheap ones by default. The baselines always stand by."

HELP = """Ask whether the evidence in maps is real.

[bold]Examples[/bold]

\b
seewhy evaluate faithfulness --model resnet20-cifar10 --data cifar10/
seewhy evaluate faithfulness photos/ --methods cam,gradient --out judged
seewhy evaluate faithfulness --metrics deletion,road --pictures 20 --json

Pixels are taken away, or shown alone, in the order of each method's map for
the predicted class, and the model is asked again. A random map, a Gaussian in
the middle and an edge detector are judged beside the methods: what is not
better than these is marked.
"""


@options.with_model()
def faithfulness(
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
    metrics: Annotated[str | None, typer.Option(metavar="NAMES", help=METRICS_HELP)] = None,
    count: Annotated[
        int, typer.Option("--pictures", min=1, metavar="N", help="How many, at most.")
    ] = 100,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Of deletion and insertion.")] = 50,
    area: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the pixels that stay: for sufficiency.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of what is random.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where table and figure go, if anywhere.")
    ] = None,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy evaluate faithfulness` and return its exit code."""
    from seewhy import files
    from seewhy.cli.progress import watched
    from seewhy.judging.faithfulness import faithfulness as judged
    from seewhy.judging.faithfulness import with_baselines
    from seewhy.metrics.faithfulness.confidence import check_area
    from seewhy.metrics.faithfulness.table import choose

    wanted, measures = names(methods), names(metrics)
    with_baselines(wanted)
    choose(measures)
    check_area(area)
    folder = files.writable_folder(out) if out is not None else None
    network = options.chosen(model.load(), output, task)
    with watched(SHARES, unit=None) as watcher:
        result = judged(
            network,
            given(pictures, data, network.num_classes),
            wanted,
            metrics=measures,
            count=count,
            steps=steps,
            area=area,
            seed=seed,
            on_progress=steadily(watcher.advance),
        )
    _report(result, _written(result, folder), as_json=as_json)
    return OK


SHARES = 1000  # steps of a bar that shows a share


def steadily(advance: Any) -> Any:
    """From a function that is told how many steps are new, one that is told the share so far."""
    done = 0

    def to(share: float) -> None:
        nonlocal done
        advance(round(SHARES * share) - done)
        done = round(SHARES * share)

    return to


def names(text: str | None) -> list[str] | None:
    """The names in a list with commas; None where there is no list."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def given(pictures: list[str] | None, data: str | None, num_classes: int | None) -> Any:
    """The data set or the pictures that the user named; foolbox's where there are none."""
    from seewhy import images
    from seewhy.cli.downloads import load_dataset
    from seewhy.errors import DataError
    from seewhy.figures.samples import samples

    if data and pictures:
        raise InputError(
            "pictures", expected="--data or pictures", got="both", fix="name one of them"
        )
    if pictures:
        return images.find_pictures(pictures)
    if not data:
        return samples(num_classes)
    try:
        return load_dataset(data)
    except DataError:
        if not Path(data).is_dir():
            raise
        return images.find_pictures([data])


def _written(result: Faithfulness, folder: Path | None) -> list[Path]:
    from seewhy import files

    if folder is None:
        return []
    text = result.table() + "\n"
    paths = [files.write_whole(folder / f"{NAME}.md", [text.encode()])]
    if result.curves:
        paths = [*(result.save(folder / f"{NAME}{suffix}") for suffix in FIGURES), *paths]
    return paths


def _report(result: Faithfulness, written: list[Path], *, as_json: bool) -> None:
    from seewhy.cli.lines import dump
    from seewhy.cli.text import plain

    for line in result.skipped:
        typer.echo(plain(f"left out {line}"), err=True)
    if as_json:
        typer.echo(dump({**result.to_json(), "files": [str(path) for path in written]}))
        return
    for line in result.table().splitlines():
        typer.echo(plain(line))
    for path in written:
        typer.echo(f"wrote {plain(str(path))}")
