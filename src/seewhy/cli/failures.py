"""Whatever goes wrong, in one line, with its exit code."""

from __future__ import annotations

from seewhy.cli.text import plain
from seewhy.errors import SeewhyError

OK, FAILED, BAD_USE, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141


def describe(problem: BaseException) -> tuple[str, int]:
    """Return what to tell the user about an exception that ended a command, and the exit code."""
    if isinstance(problem, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    return plain(_line(problem)), BAD_USE


def _line(problem: BaseException) -> str:
    if isinstance(problem, SeewhyError):
        return str(problem)
    if hasattr(problem, "format_message"):  # typer's, of whichever version
        message = str(problem.format_message()).strip().rstrip(".").replace("Value error, ", "")
        return f"{message}; see --help for what can be passed"
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return "out of memory; pass a smaller --batch-size, or smaller pictures"
    if isinstance(problem, OSError):
        place = f"{problem.filename}: " if problem.filename else ""
        return f"{place}{(problem.strerror or str(problem)).lower()}; check the disk and the path"
    reason = " ".join(str(problem).split())
    return f"unexpected {type(problem).__name__}: {reason}; --debug shows where"
