"""`seewhy diff`: two audits of the same pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli import options
from seewhy.cli.failures import OK
from seewhy.cli.text import columns, fit, plain

if TYPE_CHECKING:
    from seewhy.gate.diff import Change, Diff

HELP = """Compare two audits of the same pictures by two checkpoints.

[bold]Examples[/bold]

\b
seewhy diff RUN1 RUN2                       class by class, and what changed most
seewhy diff RUN1 RUN2 --class cat --top 20
seewhy diff RUN1 RUN2 --out changes.html    with both maps of these pictures
seewhy diff RUN1 RUN2 --out changes.png     the same as one picture, side by side

Classes are those that RUN1 predicted. "drift" is the share of the positive
evidence for that class that lies elsewhere in RUN2, from 0 to 1; "cosine" that
of the evidence descriptors, where both predict the same. Pictures are joined
by their id.
"""
_MISSING = "-"


def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN1", help="The audit before.")],
    second: Annotated[Path, typer.Argument(metavar="RUN2", help="The audit after.")],
    of_class: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="Only what RUN1 predicted as this class."),
    ] = None,
    top: Annotated[
        int, typer.Option(min=0, metavar="N", help="Pictures that changed most; 10.")
    ] = 10,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A page with both maps of these, or FILE.png."),
    ] = None,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy diff` and return its exit code."""
    from seewhy.audit.opened import open_audit
    from seewhy.classes import class_id
    from seewhy.gate.diff import diff as compared

    found = compared(open_audit(first), open_audit(second))
    model = found.first.manifest.model
    number = (
        None
        if of_class is None
        else class_id(of_class, found.first.class_names, model["num_classes"])
    )
    places = found.most_changed(top, number).tolist()
    if out is not None:
        _write(found, out, places)
    classes = _classes(found, number)
    if as_json:
        typer.echo(json.dumps(_document(found, classes, places), indent=2, allow_nan=False))
    else:
        for line in _lines(found, classes, places):
            typer.echo(plain(line))
    return OK


def _write(found: Diff, out: Path, places: list[int]) -> None:
    """A page, or a picture where the name ends so."""
    from seewhy.cli.output import write_png
    from seewhy.cli.report import opener_of
    from seewhy.gate.page import sheet, write_page

    opener = opener_of(found.first)
    if out.suffix.lower() == ".png":
        write_png(out, sheet(found, places, opener))
    else:
        write_page(found, out, places, opener)
    typer.echo(f"wrote {out}", err=True)


def _classes(found: Diff, number: int | None) -> list[Change]:
    from seewhy.audit.reading import name_of

    if number is None:
        return [found.overall(), *found.per_class()]
    name = name_of(found.first, number)
    return [each for each in found.per_class() if each.class_name == name]


def _document(found: Diff, classes: list[Change], places: list[int]) -> dict[str, Any]:
    return {
        "version": 1,
        "runs": [str(found.first.folder), str(found.second.folder)],
        "pictures": len(found.rows),
        "unmatched": found.unmatched,
        "failed": found.failed,
        "classes": [asdict(each) for each in classes],
        "changed": [_picture(found, place) for place in places],
    }


def _picture(found: Diff, place: int) -> dict[str, Any]:
    from seewhy.audit.reading import name_of

    row, row_then = found.rows[place].tolist()
    before, after = (name_of(found.first, each) for each in found.predicted[place].tolist())
    values = {"drift": found.drift[place], "cosine": found.cosine[place]}
    logits = found.logits[place].tolist()
    return {
        "row": row,
        "row_then": row_then,
        "id": found.first.row(row, ["id"])["id"],
        "predicted": before,
        "predicted_then": after,
        "logits": [None if each != each else each for each in logits],
        **{name: None if each != each else float(each) for name, each in values.items()},
    }


def _lines(found: Diff, classes: list[Change], places: list[int]) -> Iterator[str]:
    yield f"{len(found.rows):,} pictures in both" + _left_out(found)
    yield ""
    head = "class pictures agree right then logit drift cosine area then spread then".split()
    yield from _table(tuple(head), [_cells(each) for each in classes])
    if places:
        yield ""
        yield "The evidence that changed most:"
        pictures = [_picture(found, place) for place in places]
        yield from _table(("row", "id", "predicted", "then", "drift"), map(_changed, pictures))


def _left_out(found: Diff) -> str:
    counts = {"in one only": found.unmatched, "failed": found.failed}
    return "".join(f", {count:,} {what}" for what, count in counts.items() if count)


def _cells(change: Change) -> tuple[str, ...]:
    return (
        change.class_name,
        f"{change.pictures:,}",
        *(_number(each) for each in (change.agreement, change.right, change.right_then)),
        _MISSING if change.logit is None else f"{change.logit:+.2f}",
        _number(change.drift),
        _number(change.cosine),
        *(_number(each) for each in (change.area, change.area_then)),
        *(_number(_rest(each)) for each in (change.concentration, change.concentration_then)),
    )


def _changed(picture: dict[str, Any]) -> tuple[str, ...]:
    drift = "no map" if picture["drift"] is None else _number(picture["drift"])
    names = (picture["id"], picture["predicted"], picture["predicted_then"])
    return (str(picture["row"]), *map(plain, names), drift)


def _rest(concentration: float | None) -> float | None:
    """How much of the evidence is spread over all but the strongest fifth of the cells."""
    return None if concentration is None else 1 - concentration


def _number(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.3f}"


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    table = [head, *rows]
    widths = [max(map(columns, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
