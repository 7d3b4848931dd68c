"""`seewhy report`: a page about an audit."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.failures import OK
from seewhy.errors import DataError, InputError, SeewhyError

if TYPE_CHECKING:
    from PIL.Image import Image

    from seewhy.audit.listing import Listing
    from seewhy.audit.opened import Audit
    from seewhy.audit.page import Opener
    from seewhy.audit.schema import Row

DEFAULT_OUT = Path("seewhy-report.html")

HELP = """Write a page about an audit: charts of all of it, and some of its pictures.

[bold]Examples[/bold]

\b
seewhy report RUN                               pictures at random
seewhy report RUN --question worst --count 100  the most confident mistakes
seewhy report RUN --question narrow --class cat
seewhy report RUN --where "border > 0.6 AND correct" --out edges.html

One HTML file that needs no network and carries only what it shows, whatever
the size of the audit. Pictures are read again from where they were; where
they are gone, their maps stand alone.
"""


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of an audit.")],
    question: Annotated[
        str,
        typer.Option(metavar="NAME", help="random, worst, narrow, border or outside."),
    ] = "random",
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="Instead, a condition on the columns of the audit."),
    ] = None,
    of_class: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="Only pictures predicted as this class."),
    ] = None,
    count: Annotated[int, typer.Option(min=0, metavar="N", help="Pictures at most.")] = 60,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of what is random.")] = 0,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = DEFAULT_OUT,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy report` and return its exit code."""
    from seewhy.audit.opened import open_audit
    from seewhy.audit.page import Choice, write_page

    if where is not None and (question != "random" or of_class is not None):
        raise InputError(
            "--where",
            expected="no --question and no --class beside it",
            got="one of them",
            fix="put it all into the condition",
        )
    audit = open_audit(run)
    choice = Choice(question, where, of_class, count, seed)
    written = write_page(audit, out, choice, opener_of(audit))
    size = written.stat().st_size / 2**20
    typer.echo(f"wrote {written} ({size:.1f} MiB)", err=True)
    return OK


def opener_of(audit: Audit) -> Opener:
    """Opens the pictures of an audit where they were when it was made.

    The data set is listed when the first picture is wanted.
    """
    listed = functools.cache(lambda: _listing(audit.manifest.data["source"]))

    def opened(row: Row) -> Image:
        listing = listed()
        if isinstance(listing, SeewhyError):
            raise listing
        return _opened(listing, row)

    return opened


def _listing(source: str) -> Listing | SeewhyError:
    from seewhy.audit.sources import list_pictures

    try:
        return list_pictures(source)
    except SeewhyError as problem:  # kept, so that it is not looked for again and again
        return problem


def _opened(listing: Listing, row: Row) -> Image:
    from seewhy import images

    number = row["row"]
    if number >= len(listing) or listing.entry(number).id != row["id"]:
        raise DataError(
            listing.source,
            expected=f"{row['id']} in row {number}",
            got="another picture",
            fix="make the audit anew",
        )
    source = listing.pictures.read([number])[0]
    if isinstance(source, SeewhyError):
        raise source
    return images.read(source)
