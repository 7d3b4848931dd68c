"""Refined maps on the command line: what goes with them, and how one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from seewhy.finer.wish import Wish
    from seewhy.results import ClassEvidence, PictureEvidence

Refine = Annotated[
    bool,
    typer.Option(
        "--refine",
        metavar=" ",
        help="Show where the object is, too; that is no evidence. Boxes are then of this, "
        "and drawn on it alone.",
        rich_help_panel="Boxes",
    ),
]

BOX_THRESHOLD = 0.5  # of the maximum: what finds boxes best in refined maps, see docs
_LEGIBLE = 330  # pixels that the words below a map take

NOTE = "refined maps show where the object is; they are not the evidence, and add up to nothing"


def check(*, against: str | None, views: Wish, threshold: str | None, is_shown: bool) -> None:
    """See that the other options go with `--refine`.

    Raises:
        InputError: one does not.
    """
    if against is not None:
        _refuse("a class by itself", "--against", "leave one of them out")
    if views.resolution != 1:
        _refuse("the evidence of a plain pass", "--resolution", "leave it out: they are finer")
    if threshold is not None and threshold.strip().endswith("logits"):
        _refuse("a share of the maximum", f"--box-threshold {threshold}", "write 0.5, say")
    if not is_shown:
        _refuse("a way to show it", "none", "add --out maps, --html or --boxes")


def _refuse(expected: str, got: str, fix: str) -> None:
    raise InputError("--refine", expected=expected, got=got, fix=fix)


def plate(picture: PictureEvidence, evidence: ClassEvidence) -> Image:
    """The refined map over its picture, and below it what it is of, and what it is not."""
    from seewhy import render
    from seewhy.results import REFINED, percent

    assert evidence.refined is not None
    laid = render.overlay(picture.image, evidence.refined, picture.geometry, limit=1.0)
    drawn = render.outlined(laid, evidence)
    width = max(_LEGIBLE, drawn.width)
    zoom = max(1, round(width / 512))
    name = f"{evidence.name}  {percent(evidence.probability)}".rstrip()
    below = render.written([name, REFINED], width=width, zoom=zoom)
    return render.arrange([drawn, below], down=True, gap=6 * zoom)
