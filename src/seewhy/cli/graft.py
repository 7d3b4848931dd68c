"""`seewhy graft`: a model file of ONNX gains outputs that carry its maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seewhy.cli import options
from seewhy.errors import CertificateError, GraftError, InputError

if TYPE_CHECKING:
    from onnx import ValueInfoProto

    from seewhy.graft import Grafted

HELP = """Give an ONNX model outputs with its class activation maps; no PyTorch is needed.

[bold]Examples[/bold]

\b
seewhy graft model.onnx -o model.why.onnx
seewhy graft model.onnx -o cats.onnx --classes 281,282 --upsampled uint8
seewhy graft model.onnx -o model.why.onnx --json

What the model returned before, it returns as before; behind that come classes,
maps and bias, and the mean of a map plus its bias is the logit. That is checked
by running it. Exit code 1 if the model has no such head; the reason is told.
"""

Classes = Annotated[
    str | None,
    typer.Option("--classes", metavar="IDS", help="Always map these: 281,282. Else the top ones."),
]
Top = Annotated[int, typer.Option("--top", metavar="N", help="Most probable classes to map.")]
Upsampled = Annotated[
    str | None,
    typer.Option(
        "--upsampled", metavar="TYPE", help="float32 or uint8: also maps at the input's size."
    ),
]


def graft(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.")],
    to: Annotated[
        Path | None,
        typer.Option("-o", "--to", metavar="FILE", help="Where to; MODEL.why.onnx if not given."),
    ] = None,
    top: Top = 5,
    classes: Classes = None,
    upsampled: Upsampled = None,
    output: options.Output = None,
    class_names: options.ClassNames = None,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy graft` and return its exit code."""
    from seewhy.graft import graft as make

    target = model.with_suffix(".why.onnx") if to is None else to
    require_other(model, target)
    names = None if class_names is None else class_names.read_text("utf-8").splitlines()
    try:
        made = make(
            model,
            top=top,
            classes=None if classes is None else ids(classes),
            upsampled=element_type(upsampled),
            output=output,
            class_names=names,
        )
    except (GraftError, CertificateError) as refusal:
        return refuse(model, refusal, as_json=as_json)
    show(model, made, made.save(target), as_json=as_json)
    return 0


def ids(text: str) -> list[int]:
    """Return the class ids of `--classes`.

    Raises:
        InputError: they are none.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(
            "--classes", expected="ids, as in 281,282", got=repr(text), fix="write it so"
        )
    return [int(part) for part in parts]


def element_type(text: str | None) -> Literal["float32", "uint8"] | None:
    """Return the type of `--upsampled`.

    Raises:
        InputError: it is none of the two.
    """
    if text is None:
        return None
    types: dict[str, Literal["float32", "uint8"]] = {"float32": "float32", "uint8": "uint8"}
    if text not in types:
        raise InputError(
            "--upsampled", expected="float32 or uint8", got=repr(text), fix="choose one of them"
        )
    return types[text]


def require_other(source: Path, target: Path) -> None:
    """Refuse to write over the file that is read.

    Raises:
        InputError: both are the same file.
    """
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(
            str(target),
            expected="another file than the model itself",
            got="the same",
            fix="choose another name for -o",
        )


def show(model: Path, made: Grafted, path: Path, *, as_json: bool) -> None:
    """Tell what was grafted."""
    if as_json:
        _show_json(model, made, path)
        return
    from seewhy.cli.text import plain

    facts = facts_of(made) | {"wrote": f"{path}, {path.stat().st_size:,} bytes"}
    if model.is_file():
        facts["wrote"] += f" ({path.stat().st_size - model.stat().st_size:+,})"
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(plain(f"{name:<{width}}   {fact}"))


def facts_of(made: Grafted) -> dict[str, str]:
    """Return what was found and added, a line each."""
    head, held = made.head, made.certificate
    grid = " x ".join(map(str, head.grid))
    same = "the very same bits" if held.is_identical else f"within {held.difference:.0e}"
    new = {value.name: value for value in made.model.graph.output}
    return {
        "head": f"{head.kind}, {head.num_classes} classes, {head.precision}",
        "path": " -> ".join(head.path),
        "features": f"{head.features}: {head.channels} channels on a grid of {grid}, {head.layout}",
        "logits": head.logits,
        "added": ", ".join(f"{name} {_shape(new[name])}" for name in made.outputs.values()),
        "maps": f"add up to {held.deviation:.0e} (rounding explains {held.tolerance:.0e})",
        "outputs": f"{same} as before, in ONNX Runtime",
    }


def _shape(value: ValueInfoProto) -> str:
    from onnx import helper

    kind = value.type.tensor_type
    dims = [dim.dim_param or str(dim.dim_value or "?") for dim in kind.shape.dim]
    return f"{helper.tensor_dtype_to_np_dtype(kind.elem_type).name} ({', '.join(dims)})"


def _show_json(model: Path, made: Grafted, path: Path) -> None:
    from dataclasses import asdict

    from seewhy.cli.lines import DOCUMENT_VERSION, dump

    content = {
        "version": DOCUMENT_VERSION,
        "model": str(model),
        "head": made.head.describe(),
        "certificate": asdict(made.certificate),
        "outputs": made.outputs,
        "file": str(path),
        "bytes": path.stat().st_size,
        "error": None,
    }
    print(dump(content))


def refuse(model: Path, refusal: Exception, *, as_json: bool) -> int:
    """Tell why there is no graft, and return the exit code."""
    from seewhy.cli.failures import FAILED
    from seewhy.cli.text import plain

    if as_json:
        from seewhy.cli.lines import DOCUMENT_VERSION, dump

        why = {"head": None, "error": str(refusal)}
        print(dump({"version": DOCUMENT_VERSION, "model": str(model), **why}))
    else:
        typer.echo(f"seewhy: {plain(str(refusal))}", err=True)
    return FAILED
