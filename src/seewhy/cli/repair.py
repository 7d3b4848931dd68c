"""`seewhy repair`: a network that decides for the wrong reason, made to decide without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.failures import FAILED, OK
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.audit.opened import Audit
    from seewhy.audit.revisit import Revisit
    from seewhy.repair.make import Repair

HELP = """Repair a network that decides for the wrong reason, with an account.

[bold]Examples[/bold]

\b
seewhy repair RUN --finding 1                      from cheap to dear, until it holds
seewhy repair RUN --finding 1 --held-out TEST-RUN  measured on another audit
seewhy repair RUN --groups ids.txt --how project   no training, seconds
seewhy repair RUN --finding 1 --how finetune --out mended/ --json

The group's evidence is put into pictures of other classes: what that costs
has to come back, and pictures without it may not suffer. Measured on pictures
that were used for nothing else. A repair that does not hold is reported, and
written only with --force. What is written is a model folder like any other,
with repair.json and repair.html beside it.
"""


@dataclass(frozen=True)
class Group:
    """Pictures that were decided for the wrong reason.

    Attributes:
        rows: of the audit.
        class_id: for which.
        note: what a person should know of it, or nothing.
    """

    rows: Sequence[int]
    class_id: int
    note: str = ""


def repair(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of an audit.")],
    finding: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Its number, see seewhy find RUN.")
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Instead, ids or rows of the group's pictures, a line each."
        ),
    ] = None,
    how: Annotated[
        str, typer.Option(metavar="NAME", help="auto, project, head or finetune.")
    ] = "auto",
    held_out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="An audit to measure on; else a quarter of RUN is."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="SPEC", help="The network, if it lies elsewhere now.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The repaired model.")] = Path(
        "seewhy-repaired"
    ),
    recover: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Of the cost, to hold.")
    ] = 0.88,
    clean_loss: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Of accuracy, at most.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of what is random.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", metavar=" ", help="Write it though it does not hold.")
    ] = False,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy repair` and return its exit code."""
    from seewhy.audit.opened import open_audit
    from seewhy.audit.revisit import revisit
    from seewhy.repair import make
    from seewhy.repair.account import Wanted

    audit = open_audit(run)
    group = _group(audit, finding, groups)
    if group.note:
        _say(group.note)
    again = revisit(audit, model)
    other = None if held_out is None else revisit(open_audit(held_out), again.classifier)
    made = make.repair(
        again,
        group.rows,
        group.class_id,
        how,  # type: ignore[arg-type]
        held_out=other,
        wanted=Wanted(recovered=recover, clean_loss=clean_loss),
        seed=seed,
        say=_say,
    )
    written = _write(out, again, made) if made.holds or force else None
    _show(made, written, as_json=as_json)
    return OK if made.holds else FAILED


def _group(audit: Audit, number: int | None, file: Path | None) -> Group:
    if (number is None) == (file is None):
        raise InputError(
            "group",
            expected="--finding or --groups",
            got="none" if file is None else "both",
            fix="name one: --finding 1, say",
        )
    return _listed(audit, file) if file is not None else _found(audit, number or 0)


def _found(audit: Audit, number: int) -> Group:
    from seewhy.audit.findings import read_findings

    found = read_findings(audit.folder, audit.manifest.fingerprint).numbered(number)
    if not found.place.localised:
        raise InputError(
            f"finding {number}",
            expected="one with a place, which can be put into other pictures",
            got="one that maps cannot place",
            fix="train with and without it in every class",
        )
    verdict = "not tried" if found.proof is None else found.proof.verdict
    note = "" if found.is_confirmed else f"finding {number} is {verdict}: no intervention showed it"
    return Group(found.rows, found.class_id, note)


def _listed(audit: Audit, file: Path) -> Group:
    """The pictures of a file, and the class that most of them are decided for."""
    table = audit.table(["id", "row", "predicted"]).to_pydict()
    row_of = dict(zip(table["id"], table["row"], strict=True))
    lines = [line.strip() for line in _text(file).splitlines() if line.strip()]
    rows = [row_of.get(line, int(line) if line.isdecimal() else -1) for line in lines]
    unknown = [line for line, row in zip(lines, rows, strict=True) if not 0 <= row < len(audit)]
    if unknown or not rows:
        raise InputError(
            f"groups {file}",
            expected=f"ids or rows of {audit.folder}, one a line",
            got=repr(unknown[0]) if unknown else "none",
            fix="write them as seewhy query prints them",
        )
    predicted = dict(zip(table["row"], table["predicted"], strict=True))
    counts = Counter(predicted[row] for row in rows if predicted[row] is not None)
    if not counts:
        raise InputError(
            f"groups {file}",
            expected="pictures that could be explained",
            got="only such as could not be",
            fix="see them: seewhy query RUN --failed",
        )
    return Group(rows, counts.most_common(1)[0][0])


def _text(file: Path) -> str:
    from seewhy.errors import FileError
    from seewhy.wording import complaint

    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise FileError(
            str(file), expected="a text file", got=complaint(problem), fix="check the path"
        ) from problem


def _write(out: Path, again: Revisit, made: Repair) -> Path:
    from seewhy.repair.page import write_page
    from seewhy.repair.save import save_repaired, write_account

    save_repaired(out, again, made)
    write_account(out, made)
    write_page(out / "repair.html", again, made)
    return out


def _show(made: Repair, written: Path | None, *, as_json: bool) -> None:
    from seewhy.cli.lines import dump
    from seewhy.repair.page import figures, verdict
    from seewhy.repair.save import document

    where = None if written is None else str(written)
    if as_json:
        typer.echo(dump({**document(made), "folder": where}))
        return
    for each in made.tried:
        typer.echo(verdict(each))
    wide = max(len(words) for words, *_ in figures(made.account))
    typer.echo(f"{'on held-out pictures':<{wide}}  before   after")
    for words, before, after in figures(made.account):
        typer.echo(f"{words:<{wide}}  {before:>6}  {after:>6}")
    typer.echo(f"wrote {where}" if where else "not written: --force writes it nevertheless")


def _say(line: str) -> None:
    typer.echo(f"seewhy: {line}", err=True)
