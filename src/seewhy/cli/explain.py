"""`seewhy explain`: pictures in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import arrays, engines, options
from seewhy.cli import boxes as box_options
from seewhy.cli import refined as refined_options
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.cli.answers import Question
    from seewhy.finer.wish import Wish as FinerWish
    from seewhy.heads import Head
    from seewhy.models import Classifier
    from seewhy.regions import Search

DEFAULT_FOLDER = Path("seewhy-out")
BATCH = {"cpu": 16}  # larger ones gain nothing on a CPU
BATCH_ELSEWHERE = 64

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
seewhy explain photos/ --engine auto                 the fastest that is installed

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
    from seewhy import files, images
    from seewhy.cli.output import Output, labels
    from seewhy.cli.run import Wish, run
    from seewhy.finer.wish import wish as finer

    is_array = arrays.are_named(pictures)
    if is_array:
        arrays.refuse(
            html=html,
            boxes=boxes or box_threshold or all_boxes,
            coco=coco,
            voc=voc,
            refine=refine,
            resolution=resolution != 1,
            flip=flip,
            scales=scales,
            size=model.size,
        )
    views = finer(resolution, how, flip, options.scales(scales) if scales else None)
    paths = arrays.found(pictures) if is_array else images.find_pictures(pictures)
    folder = out or (DEFAULT_FOLDER if html else None)
    drawn = Output(files.writable_folder(folder), style, labels(paths), scale) if folder else None
    search = box_options.search(
        boxes=boxes,
        threshold=box_threshold,
        every=all_boxes,
        files=(coco, voc),
        usual=refined_options.BOX_THRESHOLD if refine else None,
    )
    if refine:
        is_shown = bool(folder or search)
        refined_options.check(
            against=against, views=views, threshold=box_threshold, is_shown=is_shown
        )
    export = box_options.Export(coco, voc, labels(paths))
    export.check()
    network = model.load(shape=arrays.read(paths[0]).shape if is_array else None)
    usual = "top5" if folder else "predicted"
    question = ask(
        network,
        usual if classes is None else classes,
        against,
        1 if is_array else batch_size,  # they may be of several lengths
        draws=bool(folder) and not is_array,
        output=output,
        task=task,
        search=search,
        views=views,
        refine=refine,
        takes_arrays=is_array,
    )
    is_plain = views.is_plain and not refine
    by = engines.runner(engine, precision, threads, question.batch_size, is_plain=is_plain)
    wish = Wish(
        output=drawn,
        title="What the model looked at" if html else None,
        as_json=as_json,
        export=export,
        top=1 if classes is None and question.task != "regression" else None,
    )
    code, written = run(replace(question, runner=by), paths, wish)
    for path in written if not as_json else ():
        typer.echo(f"wrote {path}", err=True)
    return code


def ask(
    model: Classifier,
    classes: str = "top5",
    against: str | None = None,
    batch_size: int | None = None,
    *,
    draws: bool = True,
    output: str | None = None,
    task: str | None = None,
    search: Search | None = None,
    views: FinerWish | None = None,
    refine: bool = False,
    takes_arrays: bool = False,
) -> Question:
    """Put the question together, so that a bad one fails before the first picture is read.

    Raises:
        HeadNotFound: the model has no head whose maps are exact.
        ClassError: it has no such class.
        InputError: its maps cannot be drawn over pictures, and `draws` says they will be; or it
            has no such output, or another task.
    """
    from seewhy import tasks
    from seewhy.cli.answers import Question
    from seewhy.finer.wish import Wish as FinerWish
    from seewhy.heads import cached_head

    head = cached_head(model.module, model.example(), output)
    if draws or search or refine:
        _check_grid(model, head)
    meant = tasks.task_of(task or model.task, head.num_classes, head.activation, model.class_names)
    names, count = tasks.outcomes(meant, head.num_classes, model.class_names)
    return Question(
        model=model,
        classes=_classes(classes, names, count),
        against=_against(against, names, count),
        batch_size=batch_size or BATCH.get(model.device.type, BATCH_ELSEWHERE),
        output=output,
        task=meant,
        search=search,
        finer=views or FinerWish(),
        refine=refine,
        takes_arrays=takes_arrays,
    )


def _classes(text: str, names: tuple[str, ...] | None, count: int) -> str | Sequence[int]:
    from seewhy.classes import parse_classes

    is_one = names is not None and text in names
    if text.strip() == "positive" and not is_one:
        return "positive"
    wanted = [text] if is_one else [part.strip() for part in text.split(",") if part.strip()]
    parsed = parse_classes(wanted[0] if len(wanted) == 1 else wanted, names, count)
    if parsed is None:  # all of them, the most probable first
        return f"top{count}"
    return tuple(dict.fromkeys(parsed)) if isinstance(parsed, tuple) else text.strip()


def _against(text: str | None, names: tuple[str, ...] | None, count: int) -> int | str | None:
    from seewhy.classes import class_id

    return text if text in (None, "others") else class_id(text, names, count)


def _check_grid(model: Classifier, head: Head) -> None:
    if len(head.grid) != 2:
        raise InputError(
            f"model {model.name}",
            expected="feature maps with height and width, to draw over pictures",
            got=f"a grid of {' x '.join(map(str, head.grid))}",
            fix="leave out --out, --html and boxes",
        )
