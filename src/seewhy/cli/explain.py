"""`seewhy explain`: pictures in, answers out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli import asking, engines, options
from seewhy.cli import boxes as box_options
from seewhy.cli import refined as refined_options
from seewhy.cli.asking import DEFAULT_FOLDER

CLASSES_HELP = (
    "predicted, top5, positive (over 50 %), all, or ids and names: 281,lynx. "
    "[dim]\\[default: predicted; with --out or --html, top5][/dim]"
)

HELP = """Say what the model decided, and what in the picture speaks for it.

[bold]Examples[/bold]

\b
seewhy explain cat.jpg
seewhy explain photos/ --html              a report to click through
seewhy explain photos/ --out maps          overlays and contact sheets
seewhy explain cat.jpg --classes "tabby,lynx" --against "Egyptian cat"
seewhy explain 'scans/**/*.png' --model nets.py:make --weights best.pth
seewhy explain photos/ --json > answers.json
seewhy explain photos/ --boxes --out maps --coco boxes.json
seewhy explain cat.jpg --out maps --resolution 2     finer maps
seewhy explain cat.jpg --out maps --refine --boxes   where the object is
seewhy explain ecg.npy --out maps --model nets.py:rhythm
seewhy explain photos/ --engine auto             on the fastest installed

Each line says how the logit comes about: the evidence lies in the picture,
the bias does not, and both add up to the logit but for rounding.
Exit code 1 if a picture failed, or if its maps do not add up.
"""


@options.with_model()
def explain(
    *,
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="PICTURE|FOLDER|GLOB", help="What to explain; also .npy, .npz."),
    ],
    model: options.ModelOptions,
    output: options.Output = None,
    task: options.Task = None,
    classes: Annotated[
        str | None, typer.Option(metavar="WHICH", help=CLASSES_HELP, show_default=False)
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Measure against this class, or others.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw overlays, and contact sheets of 24 pictures."),
    ] = None,
    html: Annotated[
        bool,
        typer.Option(
            "--html", metavar=" ", help=f"Write a report too. Without --out, to {DEFAULT_FOLDER}."
        ),
    ] = False,
    style: Annotated[
        options.Style, typer.Option(metavar="KIND", help="positive, or signed: also against it.")
    ] = "positive",
    scale: Annotated[
        options.Scale,
        typer.Option(metavar="WHOSE", help="picture, or all: one scale for every picture."),
    ] = "picture",
    as_json: options.AsJson = False,
    boxes: box_options.Boxes = False,
    box_threshold: box_options.BoxThreshold = None,
    all_boxes: box_options.AllBoxes = False,
    coco: box_options.Coco = None,
    voc: box_options.Voc = None,
    refine: refined_options.Refine = False,
    resolution: options.Resolution = 1,
    how: options.How = "auto",
    flip: options.Flip = False,
    scales: options.Scales = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Pictures at once.", rich_help_panel="Running"),
    ] = None,
    engine: engines.Engine = None,
    precision: engines.Precision = None,
    threads: engines.Threads = None,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy explain` and return its exit code."""
    asked = asking.Asked(
        pictures=pictures,
        model=model,
        output=output,
        task=task,
        classes=classes,
        against=against,
        drawing=asking.Drawing(out, html, style, scale),
        finer=asking.Finer(resolution, how, flip, scales),
        running=asking.Running(batch_size, engine, precision, threads),
        boxes=asking.Boxes(boxes, box_threshold, all_boxes, coco, voc, refine),
        as_json=as_json,
    )
    code, written = asked.answered()
    for path in written if not as_json else ():
        typer.echo(f"wrote {path}", err=True)
    return code
