"""Boxes on the command line: which are looked for, and the files they are written to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated as Option

import typer

from seewhy.errors import FileError, InputError

if TYPE_CHECKING:
    from seewhy.box_files import Annotated
    from seewhy.cli.answers import Answer
    from seewhy.localize import Unit, Which
    from seewhy.regions import Search

_PANEL = "Boxes"

Boxes = Option[
    bool,
    typer.Option(
        "--boxes",
        metavar=" ",
        help="Find the box around the largest part of the evidence.",
        rich_help_panel=_PANEL,
    ),
]
BoxThreshold = Option[
    str | None,
    typer.Option(
        "--box-threshold",
        metavar="SHARE",
        help="Keep what is above this share of the maximum, or above this: 1.5logits. "
        "[dim]\\[default: 0.2][/dim]",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
AllBoxes = Option[
    bool,
    typer.Option(
        "--all-boxes",
        metavar=" ",
        help="A box for each part, the largest first.",
        rich_help_panel=_PANEL,
    ),
]
Coco = Option[
    Path | None,
    typer.Option(
        "--coco", metavar="FILE", help="Write the boxes as COCO JSON.", rich_help_panel=_PANEL
    ),
]
Voc = Option[
    Path | None,
    typer.Option(
        "--voc",
        metavar="DIR",
        help="Write the boxes as Pascal VOC XML, a file for each picture.",
        rich_help_panel=_PANEL,
    ),
]


def search(
    *,
    boxes: bool,
    threshold: str | None,
    every: bool,
    files: Sequence[Path | None],
    usual: float | None = None,
) -> Search | None:
    """Return how to look for boxes; None if no option asks for any.

    Args:
        boxes: whether the user asks for them.
        threshold: as it was typed, if it was.
        every: whether all of a map's are asked for.
        files: that boxes are to be written to.
        usual: the threshold where none was typed, if it is not the paper's.

    Raises:
        InputError: the threshold is none.
    """
    from seewhy import localize
    from seewhy.regions import Search

    if not (boxes or every or threshold is not None or any(files)):
        return None
    which: Which = "all" if every else "largest"
    if threshold is None:
        return Search(localize.THRESHOLD if usual is None else usual, which)
    unit: Unit = "logits" if threshold.strip().endswith("logits") else "share"
    return Search(_number(threshold.strip().removesuffix("logits")), which, unit)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            "--box-threshold",
            expected="a share of the maximum, as in 0.2, or evidence, as in 1.5logits",
            got=repr(text),
            fix="write it so",
        ) from None


@dataclass(frozen=True)
class Export:
    """The files that boxes go to.

    Attributes:
        coco: one for all pictures.
        voc: a folder, with one for each.
        labels: what a picture's file is called there.
    """

    coco: Path | None
    voc: Path | None
    labels: Mapping[Path, str]

    def check(self) -> None:
        """See that they can be written, before the work begins.

        Raises:
            FileError: they cannot.
        """
        from seewhy.files import writable_folder

        if self.voc:
            writable_folder(self.voc)
        if self.coco and (self.coco.is_dir() or not self.coco.parent.is_dir()):
            raise FileError(
                str(self.coco),
                expected="a file in a folder that is there",
                got="a folder" if self.coco.is_dir() else "none",
                fix="make the folder, or name a file",
            )

    def write(self, answers: Sequence[Answer]) -> list[Path]:
        """Write the boxes of all pictures that could be explained.

        Raises:
            FileError: a file cannot be written.
        """
        from seewhy import box_files
        from seewhy.files import write_whole

        good = [each for each in answers if each.error is None]
        written = []
        if self.coco:
            document = box_files.coco([_annotated(each) for each in good])
            text = json.dumps(document, allow_nan=False)
            written.append(write_whole(self.coco, [text.encode()]))
        if self.voc:
            for each in good:
                page = box_files.voc(_annotated(each))
                write_whole(self.voc / f"{self.labels[each.path]}.xml", [page])
            written.append(self.voc)
        return written


def _annotated(answer: Answer) -> Annotated:
    from seewhy.box_files import Annotated

    assert answer.geometry is not None
    return Annotated(answer.name, answer.geometry.original, answer.classes)
