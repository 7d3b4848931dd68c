"""Where tables go: between two marks of a page, each table between its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
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
        " time; medians over the rounds, with the interval that holds the ratio of medians with"
        " 95 % confidence."
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
    path.write_text(between(text, table, lines), encoding="utf-8")
    print(f"wrote docs/{page}", file=sys.stderr)


def between(text: str, table: str, lines: Iterable[str]) -> str:
    """The text of a page with these lines between the marks of a table; see `keep`."""
    begin, end = f"<!-- measured: {table} -->", f"<!-- end of {table} -->"
    new = "\n".join([begin, "", *lines, "", end])
    pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
    text, count = re.subn(pattern, lambda _: new, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected the marks {begin} and {end} once, got them {count} times")
    return text
