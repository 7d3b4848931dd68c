"""`seewhy check`: a gate for continuous integration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.failures import BAD_USE, FAILED, OK
from seewhy.cli.text import plain
from seewhy.errors import InputError

if TYPE_CHECKING:
    from seewhy.gate.check import Result
    from seewhy.gate.rules import Rule

HELP = """Hold an audit to rules; exit code 1 where one is broken.

[bold]Examples[/bold]

\b
seewhy check --example > rules.toml              rules to start from
seewhy check RUN --rules rules.toml
seewhy check RUN --rules rules.toml --junit report.xml --json

Rules ask how much evidence lies outside the boxes or at the edges, how many
findings were confirmed, how often classes and groups are right, whether maps
add up, and how far the evidence drifted since another audit. What an audit
does not know (boxes, labels) is skipped, and said so. Exit code 2: the rules
or the audit cannot be read.
"""


def check(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="The folder of an audit.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What it has to keep, in TOML.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit's XML.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", metavar=" ", help="A rule that is skipped is broken.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", metavar=" ", help="Print rules to start from, no more.")
    ] = False,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy check` and return its exit code."""
    from seewhy.gate.rules import example as example_rules

    if example:
        typer.echo(example_rules(), nl=False)
        return OK
    if run is None or rules is None:
        raise _missing(run, rules)
    asked, mistakes = _rules(rules)
    for mistake in mistakes:
        typer.echo(f"seewhy: {rules}: {plain(str(mistake))}", err=True)
    if mistakes:
        return BAD_USE
    results = _results(run, asked, rules.parent, strict=strict)
    if junit is not None:
        from seewhy.gate.junit import write_junit

        typer.echo(f"wrote {write_junit(junit, str(run), results)}", err=True)
    _show(str(run), results, as_json=as_json)
    return FAILED if any(each.state == "failed" for each in results) else OK


def _missing(run: Path | None, rules: Path | None) -> InputError:
    wanted = "RUN, the folder of an audit" if run is None else "--rules FILE"
    return InputError(
        "check",
        expected=wanted,
        got="nothing" if run is None or rules is None else str(rules),
        fix="seewhy check --example prints rules to start from",
    )


def _rules(path: Path) -> tuple[Sequence[Rule], Sequence[InputError]]:
    from seewhy.gate.rules import load, parse

    return parse(load(path))


def _results(run: Path, rules: Sequence[Rule], beside: Path, *, strict: bool) -> list[Result]:
    from dataclasses import replace

    from seewhy.audit.opened import open_audit
    from seewhy.gate.check import check as asked

    found = asked(open_audit(run), rules, beside)
    if not strict:
        return list(found)
    return [
        replace(each, state="failed", got=f"nothing: {each.got}")
        if each.state == "skipped"
        else each
        for each in found
    ]


def _show(run: str, results: Sequence[Result], *, as_json: bool) -> None:
    if as_json:
        from seewhy.gate.junit import to_json

        typer.echo(json.dumps(to_json(run, results), indent=2, allow_nan=False))
        return
    for line in lines(results):
        typer.echo(plain(line))


def lines(results: Sequence[Result]) -> Iterator[str]:
    """The results as text: a line each, the pictures of broken rules below, and a sum."""
    width = max(len(each.name) for each in results)
    for each in results:
        yield f"{each.state:<7}  {each.name:<{width}}  {each.got} (expected {each.expected})"
        for picture in each.pictures:
            yield f"{'':9}row {picture.row}: {picture.id}"
    states = [each.state for each in results]
    counts = ((name, states.count(name)) for name in ("passed", "failed", "skipped"))
    yield ", ".join(f"{count} {name}" for name, count in counts if count)
