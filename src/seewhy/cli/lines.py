"""Answers as aligned lines of text, or as a JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from seewhy.cli.answers import Answer
from seewhy.cli.text import columns, fit, plain
from seewhy.results import ClassEvidence, decimals, percent, rounded, whole

DOCUMENT_VERSION = 1
_GAP = "   "
_NARROWEST = 12  # columns that a path or a name always gets

# path, name, probability, what is explained, its number, "=" or "~", the other two numbers, check
Cells = tuple[str, ...]


class Lines:
    """Lays answers out in columns that stay where they are from batch to batch, or grow.

    Args:
        width: columns of the terminal; paths and names are cut to fit it. None: nothing is cut.
    """

    def __init__(self, width: int | None) -> None:
        self._width = width
        self._columns: list[int] = [0] * 9

    def of(self, answers: Sequence[Answer], *, top: int | None = None) -> Iterator[str]:
        """Yield a line for each picture and class, at most `top` classes a picture."""
        entries = [(each, entry) for each in answers for entry in each.classes[:top]]
        digits = decimals(*(value for _, entry in entries for value in _numbers(entry)))
        rows = [_cells(answer, entry, digits) for answer, entry in entries]
        for row in rows:
            self._columns = [max(columns(c), w) for c, w in zip(row, self._columns, strict=True)]
        return map(self._line, rows)

    def _line(self, row: Cells) -> str:
        path, name, probability, word, logit, sign, evidence, bias, check = row
        path_width, name_width = self._two_widths()
        _, _, p, _, total, _, seen, rest, _ = self._columns
        return _GAP.join(
            (
                fit(path, path_width),
                f"{fit(name, name_width)} {probability:>{p}}",
                f"{word} {logit:>{total}} {sign} evidence {evidence:>{seen}} + bias {bias:>{rest}}",
                check,
            )
        )

    def _two_widths(self) -> tuple[int, int]:
        """Return the columns of path and name, cut down by what the terminal has not."""
        path, name, *others = self._columns
        if self._width is None:
            return path, name
        fixed = sum(others) + len(" " * 2 + "  evidence  + bias ") + len(_GAP) * 3
        room = max(self._width - fixed, 2 * _NARROWEST)
        path = min(path, max(room - name, _NARROWEST))
        return path, min(name, max(room - path, _NARROWEST))


def _numbers(entry: ClassEvidence) -> tuple[float, float, float]:
    return entry.logit, entry.evidence, entry.bias


def _name(answer: Answer, entry: ClassEvidence) -> str:
    over = answer.against not in (None, "others")
    return f"{entry.name} over {answer.against}" if over else entry.name


def _found(entry: ClassEvidence) -> str:
    """Return the boxes in whole pixels, left, top, right, bottom; nothing if none were wanted."""
    if entry.regions is None:
        return ""
    boxes = [" ".join(f"{side:.0f}" for side in region.box) for region in entry.regions]
    return (
        f"{_GAP}{'box' if len(boxes) == 1 else 'boxes'} {', '.join(boxes)}"
        if boxes
        else (f"{_GAP}no box")
    )


def _cells(answer: Answer, entry: ClassEvidence, digits: int) -> Cells:
    logit, *parts = (f"{value:z.{digits}f}" for value in rounded(*_numbers(entry), digits))
    return (
        plain(answer.name),
        plain(_name(answer, entry)),
        percent(entry.probability),
        whole(answer.against, entry.quantity),
        logit,
        "=" if entry.is_additive else "~",
        *parts,
        _check(answer, entry, digits) + _found(entry),
    )


def _check(answer: Answer, entry: ClassEvidence, digits: int) -> str:
    if not answer.is_exact:
        return f"DOES NOT ADD UP: off by {entry.certificate:.0e}"
    if entry.plain_logit is None:
        return entry.verdict
    return f"{entry.verdict} (plain pass: {entry.plain_logit:z.{digits}f})"


def document(
    model: str,
    answers: Sequence[Answer],
    *,
    against: str | None = None,
    quantity: str = "logit",
    also: Mapping[str, object] | None = None,
) -> str:
    """Return all answers as one JSON document.

    Args:
        model: its name.
        answers: one result each.
        against: the class, or "others", that all evidence is measured against, if any. Then what
            stands under "logit" is what "adds_up_to" says.
        quantity: what the model gives, see `ClassEvidence`.
        also: more entries.
    """
    return dump(
        {
            "version": DOCUMENT_VERSION,
            "model": model,
            "against": against,
            "adds_up_to": whole(against, quantity),
            "results": [_result(answer) for answer in answers],
            **(also or {}),
        }
    )


def dump(content: object) -> str:
    """Return a JSON document that people can read too."""
    return json.dumps(content, indent=2, allow_nan=False)


def _result(answer: Answer) -> dict[str, object]:
    return {
        "path": str(answer.path),
        "size": answer.geometry and list(answer.geometry.original),
        "classes": [entry.to_json() for entry in answer.classes],
        "files": [str(file) for file in answer.files],
        "error": answer.error,
        **({} if answer.views is None else {"views": answer.views.to_json()}),
    }
