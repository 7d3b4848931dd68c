"""`seewhy find`: decisions made for an odd reason, and which of them matter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.failures import FAILED, OK, describe
from seewhy.cli.text import columns, fit, plain
from seewhy.errors import SeewhyError

if TYPE_CHECKING:
    from seewhy.audit.findings import Finding, Findings
    from seewhy.audit.opened import Audit

PAGE = "findings.html"
HELP = """Find decisions made for an odd reason, and prove which of them matter.

[bold]Examples[/bold]

\b
seewhy find RUN                     find, prove, and write a page
seewhy find RUN --class ship --top 5
seewhy find RUN --no-prove          suspicions only; needs no network, takes seconds
seewhy find RUN --model runs/corner --out reasons.html
seewhy find RUN --mark 1=artefact --mark 2=part   what you saw; nothing is run

Groups of pictures that a class was decided for by evidence of their own kind,
and single pictures decided by less than is usual. No labels of artefacts are
needed. Interventions on the pictures tell whether a finding moves the
decision. All of it is kept in RUN/findings.json, for seewhy repair and check.
A part of the object decides as an artefact does: which it is, you say.
Exit code 1: findings were kept, but could not be tried.
"""
_HEADER = ("", "class", "kind", "pictures", "share", "right", "others", "stable", "verdict")
_NATURES = {"artefact": "an artefact", "part": "a part of the object"}
_CELL = 32  # columns of a class's name at most


def find(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of an audit.")],
    of_class: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="Only pictures predicted as this class."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Findings at most.")] = 20,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of what is random.")] = 0,
    prove: Annotated[
        bool, typer.Option("--prove/--no-prove", help="Intervene on the pictures.")
    ] = True,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The network, if it is not where the audit found it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page; RUN/findings.html.")
    ] = None,
    mark: Annotated[
        list[str] | None,
        typer.Option(metavar="N=WHAT", help="Finding N is an artefact, a part, or unknown."),
    ] = None,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy find` and return its exit code."""
    from seewhy.audit import nature
    from seewhy.audit.finding import find as find_in
    from seewhy.audit.findings import read_findings, write_findings
    from seewhy.audit.opened import open_audit

    said = nature.parse(mark or [])
    audit = open_audit(run)
    problem = None
    if said:
        found = nature.marked(read_findings(run, audit.manifest.fingerprint), said)
    else:
        found = _with_marks(audit, find_in(audit, seed, of_class=of_class, top=top))
        if prove and found.findings:
            found, problem = _tried(audit, found, model, seed)
    kept = write_findings(audit.folder, found)
    page = _page(audit, found, audit.folder / PAGE if out is None else out)
    if as_json:
        typer.echo(json.dumps({"version": 1, **asdict(found)}, indent=1, allow_nan=False))
    else:
        for line in lines(found):
            typer.echo(line)
    typer.echo(f"wrote {kept} and {page}", err=True)
    return OK if problem is None else _complaint(problem)


def _with_marks(audit: Audit, found: Findings) -> Findings:
    """With what was said of the same findings when they were found before."""
    from seewhy.audit.findings import read_findings
    from seewhy.audit.nature import carried

    try:
        before = read_findings(audit.folder, audit.manifest.fingerprint)
    except SeewhyError:
        return found  # none yet, or of an audit that was there before this one
    return carried(found, before)


def _tried(
    audit: Audit, found: Findings, model: str | None, seed: int
) -> tuple[Findings, SeewhyError | None]:
    """The findings with proofs; or without, and why the network or the pictures gave none."""
    try:
        return _proven(audit, found, model, seed), None
    except SeewhyError as problem:
        return found, problem


def _complaint(problem: SeewhyError) -> int:
    typer.echo(f"seewhy: nothing was proven: {describe(problem)[0]}", err=True)
    return FAILED


def _proven(audit: Audit, found: Findings, model: str | None, seed: int) -> Findings:
    from seewhy.audit.revisit import revisit
    from seewhy.cli.progress import watched
    from seewhy.proving import prove_all

    with watched(len(found.findings), unit=None) as watcher:
        return prove_all(revisit(audit, model), found, seed=seed, progress=watcher.advance)


def _page(audit: Audit, found: Findings, path: Path) -> Path:
    from seewhy.audit.page import picture_of
    from seewhy.cli.report import opener_of
    from seewhy.report.findings import Heading, write_findings_page

    opener, manifest = opener_of(audit), audit.manifest
    heading = Heading(str(manifest.model["name"]), manifest.data["source"], len(audit))
    return write_findings_page(path, found, heading, lambda row: picture_of(audit, row, opener))


def lines(found: Findings) -> Iterator[str]:
    """The findings as a table, and why each of the first is odd."""
    if not found.findings:
        yield "nothing odd found"
        return
    rows = [_HEADER, *map(_cells, found.findings)]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(fit, row, widths)).rstrip()
    for finding in found.findings:
        if finding.kind == "group":
            yield ""
            yield f"{finding.number}  {plain(finding.class_name)}: {'; '.join(finding.reasons)}"
            if finding.proof:
                yield f"   {finding.proof.verdict}: {finding.proof.why}"
            if finding.nature:
                yield f"   {_NATURES[finding.nature]}"
            elif finding.is_confirmed:
                yield f"   an artefact, or a part of the object? --mark {finding.number}=artefact"


def _cells(finding: Finding) -> tuple[str, ...]:
    name = plain(finding.class_name)
    return (
        str(finding.number),
        name if columns(name) <= _CELL else fit(name, _CELL),
        finding.kind,
        f"{len(finding.rows):,}",
        f"{finding.share:.1%}",
        _share(finding.accuracy),
        _share(finding.accuracy_elsewhere),
        _share(finding.stability),
        finding.proof.verdict if finding.proof else "-",
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
