"""What is written to disk: an overlay for each picture and class, contact sheets, a report."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path
from typing import Literal

from PIL.Image import Image

from seewhy import files, render
from seewhy.cli import arrays, refined
from seewhy.cli.answers import Answer, Pictures, threads
from seewhy.cli.rereading import LostPicture
from seewhy.report import write_report
from seewhy.results import ClassEvidence

SHEET, REPORT = "contact-sheet", "report.html"
LARGEST = 1600  # pixels; the longer side of an overlay, for a map has no details to show beyond
ROWS = 24  # of one contact sheet, then the next one begins
COLUMNS = 5  # of maps; more classes are a report's
_LONGEST = 80  # bytes of a picture's or a class's part of a file name


@dataclass(frozen=True)
class Output:
    """A folder, and what the pictures are called there.

    Attributes:
        folder: it exists and can be written to.
        style: of overlays and contact sheets.
        labels: the first part of the names of each picture's overlays.
        scale: whether the maps of one picture share a scale, or those of all pictures do.
    """

    folder: Path
    style: Literal["positive", "signed"]
    labels: Mapping[Path, str]
    scale: Literal["picture", "all"] = "picture"

    def draw(self, answers: Sequence[Answer]) -> list[Answer]:
        """Draw the overlays of some answers, side by side; an answer may get an error by it.

        Where all pictures share a scale, these are to be all answers.

        Raises:
            FileError: one cannot be written.
        """
        limit = self._limit(answers)
        with threads() as pool:
            return list(pool.map(lambda each: self._draw(each, limit), answers))

    def sheets(self, answers: Sequence[Answer]) -> list[Path]:
        """Draw one contact sheet, or numbered ones where there are many pictures.

        Raises:
            LostPicture: one cannot be read again.
            FileError: a sheet cannot be written.
        """
        shown = [each for each in answers if each.geometry]  # pictures
        starts = range(0, len(shown), ROWS)
        names = [f"{SHEET}-{page}" for page, _ in enumerate(starts, 1)]
        limit = self._limit(shown)
        return [
            self._sheet(name if len(names) > 1 else SHEET, shown[start : start + ROWS], limit)
            for name, start in zip(names, starts, strict=True)
        ]

    def _sheet(self, name: str, answers: Sequence[Answer], limit: float | None) -> Path:
        pictures = Pictures(answers)
        sheet = render.contact_sheet(pictures, top=COLUMNS, style=self.style, scale=limit)
        return files.write_whole(self.folder / f"{name}.png", [_encoded(sheet, ".png")])

    def report(self, answers: Sequence[Answer], *, model: str, title: str) -> Path:
        """Write the report over all answers, failures listed.

        Raises:
            LostPicture: one cannot be read again.
            FileError: it cannot be written.
        """
        return write_report(
            self.folder / REPORT,
            Pictures([each for each in answers if each.error is None]),
            title=title,
            model=model,
            errors=[(each.name, each.error) for each in answers if each.error],
        )

    def _limit(self, answers: Sequence[Answer]) -> float | None:
        return _limit(answers) if self.scale == "all" else None

    def _draw(self, answer: Answer, limit: float | None) -> Answer:
        if answer.error:
            return answer
        try:
            return replace(answer, files=tuple(self._overlays(answer, limit)))
        except LostPicture as lost:
            return answer.without(lost)

    def _overlays(self, answer: Answer, limit: float | None) -> Iterator[Path]:
        limit = _limit([answer]) if limit is None else limit
        if answer.geometry is None:
            yield from self._drawings(answer, limit)
            return
        picture = render.fitted(answer.picture(), LARGEST)
        suffix = ".jpg" if answer.path.suffix.lower() in (".jpg", ".jpeg") else ".png"
        for entry in answer.classes:
            name = f"{self.labels[answer.path]}.{_class_part(entry)}"
            drawn = render.plate(picture, entry, style=self.style, limit=limit)
            yield files.write_whole(self.folder / (name + suffix), [_encoded(drawn, suffix)])
            if entry.refined is not None:
                path = self.folder / f"{name}.refined{suffix}"
                yield files.write_whole(path, [_encoded(refined.plate(picture, entry), suffix)])

    def _drawings(self, answer: Answer, limit: float) -> Iterator[Path]:
        """Of what is no picture."""
        drawn = arrays.drawings(
            arrays.read(answer.path),
            answer.classes,
            style=self.style,
            limit=limit,
            against=answer.against,
        )
        for entry, image in zip(answer.classes, drawn, strict=True):
            name = f"{self.labels[answer.path]}.{_class_part(entry)}.png"
            yield files.write_whole(self.folder / name, [_encoded(image, ".png")])


def _limit(answers: Sequence[Answer]) -> float:
    return render.limit(entry.map for each in answers for entry in each.classes)


def labels(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a name without dots for each picture, no two alike on any file system.

    The file's stem does if no other picture has it; else the folders that tell them apart go
    before it; else a number goes after it.
    """
    stems = Counter(_part(path.stem).casefold() for path in paths)
    root = Path(commonpath([path.absolute().parent for path in paths]))
    taken: dict[Path, str] = {}
    used: set[str] = set()
    for path in paths:
        label = _part(path.stem)
        if stems[label.casefold()] > 1:
            label = _part("-".join(path.absolute().relative_to(root).with_suffix("").parts))
        taken[path] = _unused(label, used)
        used.add(taken[path].casefold())
    return taken


def _unused(label: str, used: set[str]) -> str:
    numbered, number = label, 1
    while numbered.casefold() in used:
        number += 1
        numbered = f"{label}-{number}"
    return numbered


def _class_part(entry: ClassEvidence) -> str:
    is_named = entry.name != f"class {entry.id}"
    return f"{entry.id}-{_part(entry.name)}" if is_named else str(entry.id)


def _part(text: str) -> str:
    """Return `text` as a part of a file name that every system takes; without dots."""
    safe = re.sub(r"[^\w()+,=@-]+", "_", text).strip("_") or "picture"
    return safe.encode("utf-8", "replace")[-_LONGEST:].decode("utf-8", "ignore")


def write_png(path: Path, image: Image) -> Path:
    """Write a picture, whole or not at all."""
    return files.write_whole(path, [_encoded(image, ".png")])


def _encoded(image: Image, suffix: str) -> bytes:
    kind, options = ("JPEG", {"quality": 92, "subsampling": 0}) if suffix == ".jpg" else ("PNG", {})
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()
