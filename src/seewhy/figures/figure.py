"""`Figure`: explained pictures in rows and columns, as a value; `save` draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seewhy.figures.letters import legible
from seewhy.render import limit
from seewhy.results import deviation, finite

if TYPE_CHECKING:
    from seewhy.render import Style
    from seewhy.results import ClassEvidence, PictureEvidence

VERSION = 1


@dataclass(frozen=True)
class Share:
    """How probable the model finds a class.

    Attributes:
        id: the class's index among the model's outputs.
        name: its name.
        probability: 0 to 1.
    """

    id: int
    name: str
    probability: float


@dataclass(frozen=True)
class Cell:
    """One picture, and what the model made of it.

    Attributes:
        picture: itself, with the evidence for the predicted class.
        margin: how much more probable that class is than the second one.
        second: the second one, if the model has one.
        truth: the true one, if that is known.
    """

    picture: PictureEvidence
    margin: float
    second: Share | None = None
    truth: Share | None = None

    @property
    def evidence(self) -> ClassEvidence:
        """For the predicted class."""
        return self.picture.classes[0]

    @property
    def is_wrong(self) -> bool:
        """Whether the true class is known, and another."""
        return self.truth is not None and self.truth.id != self.evidence.id

    def to_json(self) -> dict[str, object]:
        """All but pixels and map, for a JSON document."""
        return {
            "picture": self.picture.path,
            "predicted": self.evidence.to_json(),
            "true": self.truth and self.truth.name,
            "true_probability": self.truth and finite(self.truth.probability),
            "wrong": self.is_wrong if self.truth else None,
            "margin": finite(self.margin),
        }


@dataclass(frozen=True)
class Note:
    """A line below a picture: a class on the left, a number on the right.

    Attributes:
        text: on the left.
        number: on the right.
        tone: how it is meant.
    """

    text: str
    number: str = ""
    tone: Literal["plain", "faint", "wrong"] = "plain"


@dataclass(frozen=True, repr=False)
class Figure:
    """A grid of pictures, each beside the evidence for the class that was predicted.

    Attributes:
        cells: row by row, from the left.
        columns: how many of them stand in a row.
        model: its name.
        chosen: what they are and how they were chosen, in words.
        style: "positive", or "signed": also the evidence against the class.
        scale: whether all maps share one, or each "picture" has its own.
        with_second: whether the second most probable class is named too.
        title: above it, if any.
        dark: for a dark slide.
        skipped: a line for each picture that could not be read.
    """

    cells: tuple[Cell, ...]
    columns: int
    model: str
    chosen: str
    style: Style = "positive"
    scale: Literal["all", "picture"] = "all"
    with_second: bool = False
    title: str | None = None
    dark: bool = False
    skipped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Figure({self.rows} x {self.columns}: {self.caption})"

    @property
    def rows(self) -> int:
        """How many there are."""
        return math.ceil(len(self.cells) / self.columns)

    @property
    def wrong(self) -> int:
        """How many pictures were decided wrongly."""
        return sum(cell.is_wrong for cell in self.cells)

    @property
    def against(self) -> str | None:
        """The class, or "others", that the evidence is measured against, if any."""
        return self.cells[0].picture.against

    @property
    def certificate(self) -> float:
        """How far evidence and bias are from the logit at most, over the scale of the logits."""
        return max(cell.evidence.certificate for cell in self.cells)

    @property
    def limit(self) -> float:
        """The evidence, in logits, that the strongest colour stands for where all share a scale."""
        return max(map(self.own_limit, self.cells))

    def own_limit(self, cell: Cell) -> float:
        """The largest evidence of one cell, of what the style shows of it."""
        evidence = cell.evidence.map
        return limit([evidence.clip(0) if self.style == "positive" else evidence])

    def notes(self, cell: Cell) -> tuple[Note, ...]:
        """What stands below a cell."""
        notes = [_note("", cell.evidence, "plain")]
        if cell.is_wrong and cell.truth:
            notes.append(_note("true: ", cell.truth, "wrong"))
        elif self.with_second and cell.second:
            notes.append(_note("or ", cell.second, "faint"))
        if self.scale == "picture":
            notes.append(Note("up to", f"{number(self.own_limit(cell))} logits", "faint"))
        return tuple(notes)

    @property
    def caption(self) -> str:
        """What is shown, how it was chosen, and how well it adds up."""
        parts = [self.model, self.chosen, self._verdict()]
        if self.skipped:
            parts.append(f"{len(self.skipped)} that could not be read left out")
        parts.append(self._sum())
        return " · ".join(part for part in parts if part)

    def _sum(self) -> str:
        how_well = deviation(self.certificate).removeprefix("adds up").strip()
        which = f"in all {len(self.cells)}" if len(self.cells) > 1 else ""
        return f"evidence + bias = {self.cells[0].picture.whole}, {how_well} {which}".strip()

    def _verdict(self) -> str:
        if not any(cell.truth for cell in self.cells):
            return ""
        return f"{self.wrong} wrong, framed" if self.wrong else "none wrong"

    def save(self, path: str | Path) -> Path:
        """Draw it to a file: PNG, PDF or SVG, as the suffix says; the same bytes every time.

        Raises:
            InputError: another suffix.
            FileError: it cannot be written.
        """
        from seewhy.figures.save import save

        return save(self, Path(path))

    def to_json(self) -> dict[str, object]:
        """What it shows in numbers, for a JSON document."""
        return {
            "version": VERSION,
            "model": self.model,
            "chosen": self.chosen,
            "columns": self.columns,
            "scale": self.scale,
            "limit": finite(self.limit),
            "against": self.against,
            "certificate": finite(self.certificate),
            "wrong": self.wrong,
            "pictures": [cell.to_json() for cell in self.cells],
            "skipped": list(self.skipped),
        }


def _note(
    word: str, about: ClassEvidence | Share, tone: Literal["plain", "faint", "wrong"]
) -> Note:
    name = legible(about.name, otherwise=f"class {about.id}")
    return Note(f"{word}{name}", _percent(about.probability), tone)


def number(value: float) -> str:
    """Three digits."""
    return f"{value:#.3g}".rstrip(".")


def _percent(probability: float) -> str:
    shown = f"{100 * probability:.1f}"
    return f"{'100' if shown == '100.0' else shown} %"
