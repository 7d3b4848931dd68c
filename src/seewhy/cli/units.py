"""`seewhy units`: what the evidence for a class is made of, and what made one decision."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli import options
from seewhy.cli.failures import OK
from seewhy.cli.text import columns, fit, plain
from seewhy.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from seewhy.audit.opened import Audit
    from seewhy.audit.revisit import Revisit
    from seewhy.models import Classifier
    from seewhy.units.crops import Fired
    from seewhy.units.decision import Decision
    from seewhy.units.shares import ClassUnits

HELP = """Show which units (channels of the last features) the evidence is made of.

[bold]Examples[/bold]

\b
seewhy units RUN                             the units of every class
seewhy units RUN --class cat --out cat.png   and the crops where they fire most
seewhy units RUN --out units/                a sheet for each class
seewhy units RUN --picture photo.jpg         which units made one decision
seewhy units resnet20-cifar10 --picture photo.jpg --class dog --out dog.png

RUN is the folder of an audit. A unit's share is of the class's evidence, over
the pictures predicted as the class; crops are as large as what moves the unit,
traced by its gradient. Units of one picture add up to the logit less the bias.
"""
_GAP = "  "


@dataclass(frozen=True, eq=False)
class _OfClass:
    """The units of a class, and where they fire, if anybody asked for it."""

    found: ClassUnits
    fired: Sequence[Fired] | None


def units(
    target: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="An audit; with --picture also a model.")
    ],
    of_class: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Only of this class.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The units of one decision.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Units at most.")] = 5,
    crops: Annotated[int, typer.Option(min=1, metavar="N", help="Crops of each, at most.")] = 8,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A sheet: FILE.png, or a folder with one a class."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The audit's model, where it lies elsewhere now."),
    ] = None,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy units` and return its exit code."""
    if picture is not None:
        _decision(_classifier(target, model), picture, of_class, top, out, as_json=as_json)
        return OK
    again = _again(target, model)
    found = [
        _of_class(again, number, top, crops if of_class is not None or out else 0)
        for number in _classes(again.audit, of_class)
    ]
    if out is not None:
        _write_sheets(again, found, out)
    _show(again, found, as_json=as_json)
    return OK


# The units of classes


def _again(target: str, model: str | None) -> Revisit:
    from seewhy.audit.opened import open_audit
    from seewhy.audit.revisit import revisit

    return revisit(open_audit(target), model)


def _classes(audit: Audit, of_class: str | None) -> list[int]:
    """The class asked for, or all that anything was predicted as."""
    from seewhy.audit.reading import UNKNOWN, as_ids
    from seewhy.classes import class_id

    if of_class is not None:
        return [class_id(of_class, audit.class_names, audit.manifest.model["num_classes"])]
    predicted = as_ids(audit.table(["predicted"])["predicted"].combine_chunks())
    return sorted(set(predicted.tolist()) - {UNKNOWN})


def _of_class(again: Revisit, number: int, top: int, crops: int) -> _OfClass:
    from seewhy.units.crops import fired
    from seewhy.units.shares import units_of

    found = units_of(again.audit, number, again.weight.numpy(), top)
    return _OfClass(found, fired(again, found, crops) if crops else None)


def _write_sheets(again: Revisit, found: Sequence[_OfClass], out: Path) -> None:
    from seewhy.files import writable_folder
    from seewhy.units.sheet import class_sheet

    is_file = out.suffix.lower() == ".png"
    if is_file and len(found) > 1:
        raise InputError(
            "--out",
            expected=f"a folder, for {len(found)} classes",
            got=str(out),
            fix="pass --class, or a folder",
        )
    for each in found:
        name = again.classifier.class_name(each.found.class_id)
        path = out if is_file else writable_folder(out) / _file_name(each.found.class_id, name)
        _write(path, class_sheet(again, each.found, each.fired or ()))


def _file_name(number: int, name: str) -> str:
    return f"{number:04d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:60]}.png"


def _write(path: Path, image: Image) -> None:
    from seewhy.cli.output import write_png

    typer.echo(f"wrote {write_png(path, image)}", err=True)


def _show(again: Revisit, found: Sequence[_OfClass], *, as_json: bool) -> None:
    name = again.classifier.class_name
    if as_json:
        document = {
            "version": 1,
            "run": str(again.audit.folder),
            "classes": [_document(each, name) for each in found],
        }
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
        return
    for each in found:
        for line in _lines(each, name):
            typer.echo(plain(line))


def _document(each: _OfClass, name: Callable[[int], str]) -> dict[str, Any]:
    found, fired = each.found, each.fired
    units = [
        {
            **asdict(unit),
            "also": [{"id": i, "name": name(i), "ratio": ratio} for i, ratio in unit.also],
            "field": None if fired is None else asdict(fired[place].field),
            "crops": None if fired is None else [asdict(crop) for crop in fired[place].crops],
        }
        for place, unit in enumerate(found.units)
    ]
    return {
        "id": found.class_id,
        "name": name(found.class_id),
        "pictures": len(found.rows),
        "evidence": found.evidence,
        "units": units,
    }


def _lines(each: _OfClass, name: Callable[[int], str]) -> Iterator[str]:
    from seewhy.units.sheet import used_by

    found = each.found
    yield f"{name(found.class_id)}: {len(found.rows):,} pictures, evidence {found.evidence:.2f}"
    rows = [
        (
            str(unit.channel),
            f"{unit.share:.1%}",
            f"{unit.evidence:+.2f}",
            f"{unit.weight:+.2f}",
            used_by(unit, name) or "-",
        )
        for unit in found.units
    ]
    yield from _table(("unit", "share", "evidence", "weight", "also for"), rows)
    for fired in each.fired or ():
        across, down = (2 * side for side in fired.field.radius)
        at = ", ".join(crop.id for crop in fired.crops[:3])
        yield f"unit {fired.unit.channel} looks at {across:.0f} x {down:.0f} pixels; most in {at}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    table = [head, *rows]
    widths = [max(map(columns, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (fit(cell, width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + _GAP.join(cells)).rstrip()


# The units of one decision


def _classifier(target: str, model: str | None) -> Classifier:
    from seewhy.audit.manifest import MANIFEST
    from seewhy.models import load_model

    if (Path(target) / MANIFEST).is_file():
        return _again(target, model).classifier
    return load_model(target if model is None else model)


def _decision(
    classifier: Classifier,
    path: Path,
    of_class: str | None,
    top: int,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    from seewhy import images
    from seewhy.units.decision import decided_by
    from seewhy.units.sheet import decision_sheet

    image = images.read(path)
    decision = decided_by(classifier, image, of_class, top)
    if out is not None:
        _write(out, decision_sheet(image, decision, path.name))
    if as_json:
        typer.echo(json.dumps(_as_document(decision, str(path)), indent=2, allow_nan=False))
        return
    for line in _decision_lines(decision):
        typer.echo(plain(line))


def _as_document(decision: Decision, path: str) -> dict[str, Any]:
    return {
        "version": 1,
        "picture": path,
        "class": {"id": decision.class_id, "name": decision.class_name},
        "logit": decision.logit,
        "bias": decision.bias,
        "certificate": decision.certificate,
        "units": [
            {"channel": p.channel, "evidence": p.evidence, "cell": p.cell, "at": p.at}
            for p in decision.parts
        ],
        "rest": decision.rest,
        "evidence": decision.evidence.tolist(),
    }


def _decision_lines(decision: Decision) -> Iterator[str]:
    yield f"{decision.class_name}: logit {decision.logit:.3f}"
    rows = [
        (f"unit {part.channel}", f"{part.evidence:+.3f}", f"at {part.at[0]:.0f}, {part.at[1]:.0f}")
        for part in decision.parts
    ]
    others = len(decision.evidence) - len(rows)
    rows += [(f"{others} other units", f"{decision.rest:+.3f}", "")]
    rows += [("bias", f"{decision.bias:+.3f}", "")]
    yield from _table(("", "logits", "strongest, in pixels"), rows)
    yield f"adds up to {decision.certificate:.0e}"
