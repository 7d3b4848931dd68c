"""`seewhy query`: questions to the store of an audit."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli import options
from seewhy.cli.failures import OK
from seewhy.cli.text import columns, fit, plain
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.audit.opened import Audit
    from seewhy.audit.query import Answer

HELP = """Ask an audit: ready questions, or your own in SQL.

[bold]Examples[/bold]

\b
seewhy query RUN                        what there is, class by class
seewhy query RUN --worst                the most confident mistakes
seewhy query RUN --border --class cat   evidence mostly at the edge
seewhy query RUN --outside --limit 50   evidence outside the object's boxes
seewhy query RUN "SELECT path, margin FROM audit WHERE predicted_name = 'cat'"
seewhy query RUN "DESCRIBE audit"       the columns
seewhy query RUN --narrow --csv calls.csv

The view audit has a row for each picture; DuckDB reads it, and can neither
write nor read anything else.
"""
_CELL = 48  # columns that one value gets at most
_GAP = "  "


def _flag(name: str, help: str) -> Any:
    return typer.Option(name, metavar=" ", help=help, rich_help_panel="Ready questions")


def query(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of an audit.")],
    sql: Annotated[
        str | None, typer.Argument(metavar="[SQL]", help="One SELECT from the view audit.")
    ] = None,
    worst: Annotated[bool, _flag("--worst", "The most confident mistakes.")] = False,
    narrow: Annotated[bool, _flag("--narrow", "The closest calls.")] = False,
    border: Annotated[bool, _flag("--border", "Evidence mostly at the edges.")] = False,
    outside: Annotated[bool, _flag("--outside", "Evidence outside the given boxes.")] = False,
    failed: Annotated[bool, _flag("--failed", "Pictures that could not be explained.")] = False,
    classes: Annotated[
        bool, _flag("--classes", "Class by class; also where nothing is asked.")
    ] = False,
    of_class: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="Only pictures predicted as this class."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Of a ready question: rows at most; 20."),
    ] = None,
    show_sql: Annotated[
        bool, typer.Option("--show-sql", metavar=" ", help="The question in SQL, too.")
    ] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the answer there.")
    ] = None,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy query` and return its exit code."""
    from seewhy.audit.opened import open_audit

    flags = {
        "worst": worst,
        "narrow": narrow,
        "border": border,
        "outside": outside,
        "failed": failed,
        "classes": classes,
    }
    asked = [name for name, is_set in flags.items() if is_set]
    _require_one(asked, sql)
    audit = open_audit(run)
    _note(audit)
    answer = _answer(audit, asked[0] if asked else "classes", sql, of_class, limit)
    if show_sql:
        typer.echo(answer.sql, err=True)
    _show(answer, csv_file, as_json=as_json)
    return OK


def _require_one(asked: Sequence[str], sql: str | None) -> None:
    given = [*(f"--{name}" for name in asked), *(["SQL"] if sql is not None else [])]
    if len(given) > 1:
        raise InputError(
            "question", expected="one", got=" and ".join(given), fix="ask them one after the other"
        )


def _answer(
    audit: Audit, name: str, sql: str | None, of_class: str | None, limit: int | None
) -> Answer:
    from seewhy.audit.query import query as ask_sql
    from seewhy.audit.questions import USUAL_LIMIT, ask, per_class

    if sql is not None or name == "classes":
        _refuse_filters(of_class, limit)
        return per_class(audit) if sql is None else ask_sql(audit, sql)
    return ask(audit, name, of_class=of_class, limit=limit or USUAL_LIMIT)


def _refuse_filters(of_class: str | None, limit: int | None) -> None:
    for name, value in {"--class": of_class, "--limit": limit}.items():
        if value is not None:
            raise InputError(
                name,
                expected="a ready question about pictures, such as --worst",
                got="none",
                fix="write WHERE and LIMIT in SQL",
            )


def _note(audit: Audit) -> None:
    if not audit.manifest.complete:
        count = audit.manifest.data["count"]
        typer.echo(f"seewhy: {len(audit):,} of {count:,} rows: the audit is not finished", err=True)


def _show(answer: Answer, csv_file: Path | None, *, as_json: bool) -> None:
    if csv_file:
        from seewhy.files import write_whole

        write_whole(csv_file, [_as_csv(answer).encode("utf-8", "backslashreplace")])
        typer.echo(f"wrote {csv_file}", err=True)
    if as_json:
        typer.echo(_as_json(answer))
    elif not csv_file:
        for line in lines(answer):
            typer.echo(line)


def _as_csv(answer: Answer) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
    return text.getvalue()


def _as_json(answer: Answer) -> str:
    rows = [{name: _plain_value(value) for name, value in row.items()} for row in answer]
    return json.dumps({"version": 1, "sql": answer.sql, "rows": rows}, indent=2, allow_nan=False)


def _plain_value(value: Any) -> Any:
    """A value that JSON has; what it lacks (NaN, dates, numbers of other kinds) as null or text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain_value(each) for each in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def lines(answer: Answer) -> Iterator[str]:
    """The answer as a table: numbers to the right, text to the left, and how many rows."""
    if not answer.rows:
        yield "nothing found"
        return
    cells = [list(map(_cell, row)) for row in answer.rows]
    numbers = [_is_number(column) for column in zip(*answer.rows, strict=True)]
    table = [list(answer.columns), *cells]
    widths = [max(map(columns, column)) for column in zip(*table, strict=True)]
    for row in table:
        padded = [
            f"{' ' * (width - columns(cell))}{cell}" if is_number else fit(cell, width)
            for cell, width, is_number in zip(row, widths, numbers, strict=True)
        ]
        yield _GAP.join(padded).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = plain(str(value))
    return text if columns(text) <= _CELL else fit(text, _CELL)


def _is_number(values: Sequence[Any]) -> bool:
    kinds = (int, float, type(None))
    return all(isinstance(value, kinds) and not isinstance(value, bool) for value in values)
