"""Where tables go: between two marks of a page, each table between its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import torch

DOCS = Path(__file__).parents[1] / "docs"
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "torchcam",
    "grad-cam",
    "captum",
    "onnxruntime",
    "openvino",
)


def machine(packages: Iterable[str] = PACKAGES) -> str:
    """What the numbers depend on."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return (
        f"CPU ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads for"
        f" everyone; {versions}. Contenders take turns within each round, in a new order each"
        " time; speeds are medians over the rounds, ratios the median of each round's, with the"
        " interval that holds it with 95 % confidence."
    )


def keep(page: str, table: str, lines: Iterable[str]) -> None:
    """Put lines between the marks of a table, in place of what was there.

    Args:
        page: its name, in docs.
        table: its name, in the marks `<!-- measured: NAME -->` and `<!-- end of NAME -->`.
        lines: what is to stand between them.

    Raises:
        ValueError: the page has no such marks.
    """
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    path.write_text(replaced(text, table, lines), encoding="utf-8")
    print(f"wrote docs/{page}", file=sys.stderr)


def keep_rows(
    page: str, table: str, about: Sequence[str], rows: Sequence[str], order: Sequence[str]
) -> None:
    """Put a table there whose rows come a few at a time, each named by its first cell.

    Rows of other names stay if all that stands above the rows is the same: what they depend on.

    Args:
        page: see `keep`.
        table: see `keep`.
        about: what stands above the rows, the table's head at the end.
        rows: those that were measured now.
        order: the names; none if all rows come together.
    """
    there = between((DOCS / page).read_text(encoding="utf-8"), table)
    old = there[len(about) :] if there[: len(about)] == list(about) else []
    keep(page, table, [*about, *merged(old, rows, order)])


def merged(old: Iterable[str], new: Sequence[str], order: Sequence[str]) -> list[str]:
    """New rows, and old ones of other names, in order; what has none of the names is left out."""
    measured = {_name(row) for row in new}
    kept = [row for row in old if _name(row) in order and _name(row) not in measured]
    return sorted([*kept, *new], key=lambda row: order.index(_name(row)) if order else 0)


def _name(row: str) -> str:
    return row.removeprefix("|").partition("|")[0].strip()


def between(text: str, table: str) -> list[str]:
    """What stands between the marks of a table, without the empty lines at both ends."""
    found = re.search(_pattern(table), text, flags=re.DOTALL)
    return found[1].strip("\n").splitlines() if found else []


def replaced(text: str, table: str, lines: Iterable[str]) -> str:
    """The text of a page with these lines between the marks of a table; see `keep`."""
    begin, end = _marks(table)
    new = "\n".join([begin, "", *lines, "", end])
    text, count = re.subn(_pattern(table), lambda _: new, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected the marks {begin} and {end} once, got them {count} times")
    return text


def _marks(table: str) -> tuple[str, str]:
    return f"<!-- measured: {table} -->", f"<!-- end of {table} -->"


def _pattern(table: str) -> str:
    begin, end = map(re.escape, _marks(table))
    return f"{begin}(.*?){end}"
