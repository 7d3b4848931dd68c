"""What `explain` and `demo` have in common: ask, print, draw, and say how it went."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from seewhy.cli.answers import Answer, Question, answer, while_they_last
from seewhy.cli.boxes import Export
from seewhy.cli.failures import FAILED, INTERRUPTED, OK
from seewhy.cli.lines import Lines, document
from seewhy.cli.output import Output
from seewhy.cli.progress import watched
from seewhy.cli.refined import NOTE
from seewhy.cli.text import plain


@dataclass(frozen=True)
class Wish:
    """How the answers are wanted.

    Attributes:
        output: where overlays and contact sheets go, if anywhere.
        title: of the report, or None for no report.
        as_json: a JSON document instead of lines.
        top: how many classes of a picture get a line; None for all.
        export: the files that boxes go to.
        also: more entries for the JSON document.
    """

    output: Output | None = None
    title: str | None = None
    as_json: bool = False
    top: int | None = None
    export: Export | None = None
    also: Mapping[str, object] = field(default_factory=dict)


def run(question: Question, paths: Sequence[Path], wish: Wish) -> tuple[int, list[Path]]:
    """Explain pictures.

    Returns:
        The exit code, and the sheets and the report that were written.
    """
    done: list[Answer] = []
    try:
        _ask(question, paths, wish, done)
        written = _conclude(question, wish, done)
        written += wish.export.write(done) if wish.export else []
    except KeyboardInterrupt:
        written = []
    if wish.as_json:
        name, against = question.model.name, question.against_name
        print(document(name, done, against=against, quantity=question.quantity, also=wish.also))
    if len(done) < len(paths):
        drawn = wish.output if any(each.files for each in done) else None
        where = f"; their overlays are in {drawn.folder}" if drawn else ""
        _say(f"interrupted: {len(done)} of {len(paths)} pictures are done{where}")
        return INTERRUPTED, written
    if not wish.as_json:
        _say_what_was_averaged(done)
        if question.refine:
            _say(NOTE)
    return _verdict(done), written


def _ask(question: Question, paths: Sequence[Path], wish: Wish, done: list[Answer]) -> None:
    """Append the answers to `done` as they come."""
    draw = wish.output.draw if wish.output and wish.output.scale == "picture" else list
    lines = Lines(shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
    with watched(len(paths)) as watcher:
        for batch in answer(question, paths):
            done.extend(drawn := draw(batch))
            if not wish.as_json:
                watcher.print(lines.of(drawn, top=wish.top))
            watcher.advance(len(batch))


def _conclude(question: Question, wish: Wish, done: list[Answer]) -> list[Path]:
    """Write what can be written only when all is known; a picture lost by now fails in `done`."""
    output, title = wish.output, wish.title
    if output is None:
        return []
    if output.scale == "all":
        done[:] = output.draw(done)
    written = while_they_last(done, output.sheets)
    if title is not None:
        report = partial(output.report, model=question.model.name, title=title)
        written.append(while_they_last(done, report))
    return written


def _say_what_was_averaged(done: Sequence[Answer]) -> None:
    views = next((each.views for each in done if each.views), None)
    if views is not None:
        _say(f"each is {views.describe()}")


def _verdict(done: Sequence[Answer]) -> int:
    failed = [each.error for each in done if each.error]
    inexact = [each for each in done if not each.is_exact]
    if failed and len(done) == 1:
        _say(f"seewhy: {failed[0]}")
    elif failed:
        _say(f"{len(failed)} of {len(done)} pictures failed:")
        for line in failed:
            _say(f"  {line}")
    if inexact:
        _say(f"{len(inexact)} of {len(done)} pictures have maps that do not add up")
    return FAILED if failed or inexact else OK


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr)
