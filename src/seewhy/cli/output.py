"""What is written to disk: an overlay for each picture and class, a contact sheet, a report."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path
from typing import Literal

from PIL.Image import Image, Resampling

from seewhy import files, render
from seewhy.cli.answers import Answer, Pictures, threads
from seewhy.report import write_report
from seewhy.results import ClassEvidence, PictureEvidence

SHEET, REPORT = "contact-sheet.png", "report.html"
LARGEST = 1600  # pixels; the longer side of an overlay, for a map has no details to show beyond
MOST_ROWS = 24  # of a contact sheet; more are a report's
_LONGEST = 80  # bytes of a picture's or a class's part of a file name


@dataclass(frozen=True)
class Output:
    """A folder, and what the pictures are called there.

    Attributes:
        folder: it exists and can be written to.
        style: of overlays and contact sheet.
        labels: the first part of the names of each picture's overlays.
    """

    folder: Path
    style: Literal["positive", "signed"]
    labels: Mapping[Path, str]

    def draw(self, answers: Sequence[Answer]) -> list[Answer]:
        """Draw the overlays of some answers, side by side.

        Raises:
            FileError: one cannot be written.
        """
        with threads() as pool:
            return list(pool.map(self._draw, answers))

    def sheet(self, answers: Sequence[Answer]) -> Path | None:
        """Draw the contact sheet, unless there is nothing to show or far too much."""
        if not 0 < len(answers) <= MOST_ROWS:
            return None
        sheet = render.contact_sheet(Pictures(answers), style=self.style)
        return files.write_whole(self.folder / SHEET, [_encoded(sheet, ".png")])

    def report(self, answers: Sequence[Answer], *, model: str, title: str) -> Path:
        """Write the report over all answers, failures listed."""
        return write_report(
            self.folder / REPORT,
            Pictures([each for each in answers if each.error is None]),
            title=title,
            model=model,
            errors=[(each.name, each.error) for each in answers if each.error],
        )

    def _draw(self, answer: Answer) -> Answer:
        if answer.error:
            return answer
        picture = _reduced(answer.picture())
        image, geometry = picture.image, picture.geometry
        scale = render.limit(each.map for each in picture.classes)
        suffix = ".jpg" if answer.path.suffix.lower() in (".jpg", ".jpeg") else ".png"
        written = []
        for entry in answer.classes:
            drawn = render.overlay(image, entry.map, geometry, style=self.style, limit=scale)
            name = f"{self.labels[answer.path]}.{_class_part(entry)}{suffix}"
            written.append(files.write_whole(self.folder / name, [_encoded(drawn, suffix)]))
        return replace(answer, files=tuple(written))


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


def _reduced(picture: PictureEvidence) -> PictureEvidence:
    longer = max(picture.image.size)
    if longer <= LARGEST:
        return picture
    width, height = (max(1, round(side * LARGEST / longer)) for side in picture.image.size)
    image = picture.image.resize((width, height), Resampling.LANCZOS, reducing_gap=3.0)
    return replace(picture, image=image, geometry=picture.geometry.seen_from(image.size))


def _unused(label: str, used: set[str]) -> str:
    numbered, number = label, 1
    while numbered.casefold() in used:
        number += 1
        numbered = f"{label}-{number}"
    return numbered


def _class_part(entry: ClassEvidence) -> str:
    return str(entry.id) if entry.name == str(entry.id) else f"{entry.id}-{_part(entry.name)}"


def _part(text: str) -> str:
    """Return `text` as a part of a file name that every system takes; without dots."""
    safe = re.sub(r"[^\w()+,=@-]+", "_", text).strip("_") or "picture"
    return safe.encode("utf-8", "replace")[-_LONGEST:].decode("utf-8", "ignore")


def _encoded(image: Image, suffix: str) -> bytes:
    kind, options = ("JPEG", {"quality": 92, "subsampling": 0}) if suffix == ".jpg" else ("PNG", {})
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()
