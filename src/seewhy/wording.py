"""Put things into one line: near names, the first few of many, what another library said."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 160


def near(name: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Return the known names most like `name`, the best first, whatever their case."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.5)
    return [by_lower[match] for match in found]


def near_or(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a fix that offers the names near `name`, or `otherwise` where none is near."""
    names = near(name, known)
    return f"did you mean {' or '.join(names)}?" if names else otherwise


def complaint(problem: BaseException) -> str:
    """Return what an exception says, in one line of a readable length."""
    if isinstance(problem, IsADirectoryError):
        return "a folder"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror.lower()
    lines = str(problem).strip().splitlines()
    text = f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def first_few(names: Iterable[str], *, count: int = 3) -> str:
    """Join names, the first few in full: "a, b, c and 4 more"."""
    every = list(names)
    rest = len(every) - count
    return ", ".join(every[:count]) + (f" and {rest} more" if rest > 0 else "")
