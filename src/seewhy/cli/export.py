"""`seewhy export`: a PyTorch model as a file that runs without it, with its maps if wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli import options
from seewhy.cli.graft import Classes, Top, Upsampled, element_type, ids, refuse, show
from seewhy.errors import CertificateError, GraftError, InputError

if TYPE_CHECKING:
    from seewhy.models import Classifier

HELP = """Write a model as ONNX, or as a package of torch.export, with its maps.

[bold]Examples[/bold]

\b
seewhy export efficientnet-lite0 -o lite0.onnx --graft
seewhy export timm:resnet50 -o resnet50.onnx --opset 17
seewhy export resnet20-cifar10 -o resnet20.pt2

How pictures are to be prepared, and what classes are called, goes into the
file's metadata. A .pt2 always carries maps: torch.export.load reads it, or with
--compile torch._inductor.aoti_load_package, compiled ahead of time.
"""


@options.with_model(argument=True)
def export(
    *,
    model: options.ModelOptions,
    to: Annotated[
        Path, typer.Option("-o", "--to", metavar="FILE", help="A name that ends in .onnx or .pt2.")
    ],
    graft: Annotated[
        bool, typer.Option("--graft", metavar=" ", help="Add maps, as seewhy graft does.")
    ] = False,
    top: Top = 5,
    classes: Classes = None,
    upsampled: Upsampled = None,
    opset: Annotated[
        int | None, typer.Option(min=11, metavar="N", help="Version of ONNX's operators.")
    ] = None,
    is_compiled: Annotated[
        bool, typer.Option("--compile", metavar=" ", help="A .pt2 of machine code; takes g++.")
    ] = False,
    as_json: options.AsJson = False,
    _debug: options.Debug = False,
) -> int:
    """Run `seewhy export` and return its exit code."""
    kind = _kind(to)
    network = model.load()
    if kind == ".pt2":
        return _package(
            network, to, classes or f"top{top}", is_compiled=is_compiled, as_json=as_json
        )
    if not graft:
        return _plain(network, to, opset, as_json=as_json)
    from seewhy.exporting import exported
    from seewhy.graft import graft as make

    wanted = None if classes is None else ids(classes)
    element = element_type(upsampled)
    with exported(network, opset=opset, near=to.absolute().parent) as draft:
        try:
            made = make(draft, top=top, classes=wanted, upsampled=element)
        except (GraftError, CertificateError) as refusal:
            return refuse(Path(network.name), refusal, as_json=as_json)
        show(Path(network.name), made, made.save(to), as_json=as_json)
    return 0


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".onnx", ".pt2"):
        raise InputError(
            f"-o {path}",
            expected="a name that ends in .onnx or .pt2",
            got=suffix or "none",
            fix="choose one",
        )
    return suffix


def _plain(network: Classifier, to: Path, opset: int | None, *, as_json: bool) -> int:
    from seewhy.exporting import exported
    from seewhy.graft.opening import open_model
    from seewhy.graft.saving import write

    with exported(network, opset=opset, near=to.absolute().parent) as draft:
        opened = open_model(draft)
        _say(network, write(opened.model, opened.folder, to), as_json=as_json)
    return 0


def _package(
    network: Classifier, to: Path, classes: str, *, is_compiled: bool, as_json: bool
) -> int:
    from seewhy.exporting import export_package

    written = export_package(network, to, classes=classes, is_compiled=is_compiled)
    _say(network, written, as_json=as_json)
    return 0


def _say(network: Classifier, path: Path, *, as_json: bool) -> None:
    from seewhy.cli.lines import DOCUMENT_VERSION, dump
    from seewhy.cli.text import plain

    size = path.stat().st_size
    if as_json:
        facts = {"model": network.name, "file": str(path), "bytes": size}
        print(dump({"version": DOCUMENT_VERSION, **facts}))
    else:
        print(plain(f"wrote   {path}, {size:,} bytes"))
