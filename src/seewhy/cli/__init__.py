"""The command line: `seewhy explain`, `seewhy inspect`, `seewhy demo`.

Parsing of arguments and printing, no more: the work is the library's. Nothing heavy is imported
before a command runs, so that help comes at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from seewhy._version import __version__
from seewhy.cli.audit import HELP as AUDIT_HELP
from seewhy.cli.audit import audit
from seewhy.cli.check import HELP as CHECK_HELP
from seewhy.cli.check import check
from seewhy.cli.compare import HELP as COMPARE_HELP
from seewhy.cli.compare import compare
from seewhy.cli.demo import HELP as DEMO_HELP
from seewhy.cli.demo import demo
from seewhy.cli.diff import HELP as DIFF_HELP
from seewhy.cli.diff import diff
from seewhy.cli.evaluate import evaluate
from seewhy.cli.explain import HELP as EXPLAIN_HELP
from seewhy.cli.explain import explain
from seewhy.cli.export import HELP as EXPORT_HELP
from seewhy.cli.export import export
from seewhy.cli.failures import NO_READER, OK, describe
from seewhy.cli.figure import HELP as FIGURE_HELP
from seewhy.cli.figure import figure
from seewhy.cli.find import HELP as FIND_HELP
from seewhy.cli.find import find
from seewhy.cli.graft import HELP as GRAFT_HELP
from seewhy.cli.graft import graft
from seewhy.cli.inspect import HELP as INSPECT_HELP
from seewhy.cli.inspect import inspect
from seewhy.cli.query import HELP as QUERY_HELP
from seewhy.cli.query import query
from seewhy.cli.repair import HELP as REPAIR_HELP
from seewhy.cli.repair import repair
from seewhy.cli.report import HELP as REPORT_HELP
from seewhy.cli.report import report
from seewhy.cli.train import HELP as TRAIN_HELP
from seewhy.cli.train import train
from seewhy.cli.units import HELP as UNITS_HELP
from seewhy.cli.units import units
from seewhy.memory import keep_freed_memory

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See why an image classifier decided: evidence maps that add up to the logit.",
    epilog="Begin with [bold]seewhy demo[/bold], then [bold]seewhy explain photo.jpg[/bold].",
)
app.command(help=EXPLAIN_HELP)(explain)
app.command(help=INSPECT_HELP)(inspect)
app.command(help=FIGURE_HELP)(figure)
app.command(help=COMPARE_HELP)(compare)
app.command(help=AUDIT_HELP)(audit)
app.command(help=TRAIN_HELP)(train)
app.add_typer(evaluate, name="evaluate")
app.command(help=QUERY_HELP)(query)
app.command(help=EXPORT_HELP)(export)
app.command(help=GRAFT_HELP)(graft)
app.command(help=REPORT_HELP)(report)
app.command(help=UNITS_HELP)(units)
app.command(help=FIND_HELP)(find)
app.command(help=DIFF_HELP)(diff)
app.command(help=CHECK_HELP)(check)
app.command(help=REPAIR_HELP)(repair)
app.command(help=DEMO_HELP)(demo)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", metavar=" ", help="Show the version.")
    ] = False,
) -> int:
    if version:
        print(f"seewhy {__version__}")
    elif context.invoked_subcommand is None:
        context.get_help()  # rich prints it; older versions of typer return it
    return OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows `seewhy`; `sys.argv` if not given.

    Returns:
        The exit code: 0, 1 if a picture failed or a map does not add up, 2 for bad use, 130 after
        Ctrl-C, 141 where nobody reads on.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    is_debug = "--debug" in arguments
    _survive_any_text()
    keep_freed_memory()
    try:
        with warnings.catch_warnings():
            if not is_debug:
                warnings.simplefilter("ignore")  # other libraries' notes are not for this user
            code = _run(arguments)
            sys.stdout.flush()
    except BrokenPipeError:  # who read our answers wants no more of them
        _drop_stdout_if_broken()
        return NO_READER
    except (Exception, KeyboardInterrupt) as problem:
        if is_debug:
            raise
        line, code = describe(problem)
        _drop_stdout_if_broken()
        print(f"seewhy: {line}", file=sys.stderr)
    return code


def _run(arguments: list[str]) -> int:
    """Parse and run; typer's own `main` would handle errors and Ctrl-C in its own many lines."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("seewhy", arguments) as context:
            return int(command.invoke(context) or OK)
    except typer.Exit as done:  # after --help
        return done.exit_code


def _survive_any_text() -> None:
    """Write out what the terminal's encoding lacks, rather than fail over it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _drop_stdout_if_broken() -> None:
    """Let go of what a full disk would not take, for Python would try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
