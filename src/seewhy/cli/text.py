"""Text for a terminal: one line, nothing in it that moves the cursor, no wider than asked."""

from __future__ import annotations


def plain(text: str) -> str:
    """Return `text` with line breaks, control characters and lone surrogates written out."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def fit(text: str, width: int) -> str:
    """Return `text` in exactly `width` columns: padded, or with its middle left out.

    Wide characters, Chinese ones say, take two columns.
    """
    from rich.cells import cell_len

    kept = len(text)
    shown = text
    while cell_len(shown) > width and kept > 0:
        kept -= 1
        tail = kept // 2
        shown = f"{text[: kept - tail]}…{text[len(text) - tail :]}"
    return shown + " " * (width - cell_len(shown))


def columns(text: str) -> int:
    """Return how many columns `text` takes."""
    from rich.cells import cell_len

    return cell_len(text)
