"""`seewhy evaluate localisation`: do maps find the object?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.failures import OK
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.datasets.boxed import Boxed
    from seewhy.judging.localisation import Localisation
    from seewhy.models import Classifier

NAME = "localisation"

METHOD_HELP = "cam; refined; or another method's name, such as layer-cam."

HELP = """Measure how well maps find the object.

[bold]Examples[/bold]

\b
seewhy evaluate localisation --data boxes.parquet
seewhy evaluate localisation --data boxes.parquet --method refined --size 320
seewhy evaluate localisation --data annotations.json --pictures photos/ --json
seewhy evaluate localisation --data boxes.parquet --flip --scales 1,1.4 --out found

The data are Parquet (a picture, a label, and a list of boxes x0, y0, x1, y1
in each row) or COCO's JSON. The network sees the whole of each picture,
squashed. The middle of the picture, as a guess, always stands beside.
"""


@options.with_model(without=("crop", "mode"))
def localisation(
    *,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A Parquet file with boxes, or COCO's JSON."),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Of the pictures that the JSON names; its own."),
    ] = None,
    model: options.ModelOptions,
    output: options.Output = None,
    method: Annotated[str, typer.Option(metavar="NAME", help=METHOD_HELP)] = "cam",
    resolution: Annotated[
        int, typer.Option(metavar="N", help="1, 2 or 4 times as fine a grid; for cam.")
    ] = 1,
    flip: Annotated[
        bool, typer.Option("--flip", metavar=" ", help="Average with mirrored pictures.")
    ] = False,
    scales: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="Average over sizes, as in 1,0.7.")
    ] = None,
    split_seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of the half that chooses the threshold.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where table and examples go, if anywhere.")
    ] = None,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy evaluate localisation` and return its exit code."""
    if data is None:
        raise InputError(
            "--data",
            expected="pictures with boxes",
            got="none",
            fix="pass --data with a Parquet file or COCO's JSON",
        )
    from seewhy import files
    from seewhy.cli.progress import watched
    from seewhy.datasets.boxed import load_boxes
    from seewhy.judging.finding import How
    from seewhy.judging.localisation import localisation as measured

    how = How(method, resolution, flip, _scales(scales))
    found = load_boxes(data, pictures=pictures)
    folder = files.writable_folder(out) if out is not None else None
    network = options.chosen(replace(model, size=None).load(), output)
    usual = network.preprocess.size  # costs are told in passes at this one
    if model.size is not None:
        preprocess = replace(network.preprocess, size=options.sides(model.size))
        network = replace(network, preprocess=preprocess)
    with watched(len(found)) as watcher:
        result = measured(
            network, found, how, usual=usual, split_seed=split_seed, on_progress=watcher.advance
        )
    _report(result, _written(network, found, result, folder), as_json=as_json)
    return OK


def _scales(text: str | None) -> tuple[float, ...]:
    if text is None:
        return (1.0,)
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            "--scales",
            expected="numbers, as in 1,0.7",
            got=repr(text),
            fix="write numbers with commas between them",
        ) from None


def _written(
    model: Classifier, data: Boxed, result: Localisation, folder: Path | None
) -> list[Path]:
    import io

    from seewhy import files
    from seewhy.judging.examples import examples
    from seewhy.judging.found_table import found_table

    if folder is None:
        return []
    sheet = io.BytesIO()
    examples(model, data, result).save(sheet, "PNG")
    table = (found_table(result) + "\n").encode()
    return [
        files.write_whole(folder / f"{NAME}.md", [table]),
        files.write_whole(folder / f"{NAME}.png", [sheet.getvalue()]),
    ]


def _report(result: Localisation, written: list[Path], *, as_json: bool) -> None:
    from seewhy.cli.lines import dump
    from seewhy.cli.text import plain
    from seewhy.judging.found_table import found_table

    for line in result.skipped[:5]:
        typer.echo(plain(f"left out {line}"), err=True)
    if as_json:
        typer.echo(dump({**result.to_json(), "files": [str(path) for path in written]}))
        return
    for line in found_table(result).splitlines():
        typer.echo(plain(line))
    for path in written:
        typer.echo(f"wrote {plain(str(path))}")
