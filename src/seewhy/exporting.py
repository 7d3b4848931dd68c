"""A PyTorch classifier as a file that runs without its code: ONNX, or a package of torch.export."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seewhy import heads
from seewhy.attachment import attach
from seewhy.errors import ModelError
from seewhy.files import write_whole
from seewhy.graft.opening import import_onnx
from seewhy.observe import find_tensors, follow
from seewhy.wording import complaint

if TYPE_CHECKING:
    import onnx

    from seewhy.models import Classifier

INPUT, OUTPUT = "pixels", "logits"
LARGEST_INSIDE = 1_500_000_000  # bytes of weights that still go into the ONNX file itself
_OPTIONS: dict[str, Any] = {"dynamo": True, "verbose": False, "optimize": True}


class Logits(nn.Module):
    """A model that returns its logits and nothing else, whatever form it returns them in."""

    def __init__(self, model: nn.Module, path: tuple[Any, ...]) -> None:
        super().__init__()
        self.model, self._path = model, path

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits (B, C) of prepared pictures (B, channel, height, width)."""
        logits: Tensor = follow(self.model(pixels), self._path)
        return logits


@contextmanager
def exported(model: Classifier, *, opset: int | None = None, near: Path) -> Iterator[Path]:
    """Export a classifier to ONNX in a folder that is gone afterwards.

    The file's input `pixels` takes prepared pictures, any number of them; what preparing means is
    in its metadata, as is what the classes are called. Weights beyond what one file of protobuf
    can hold lie in a second one.

    Args:
        model: what `load_model` gives.
        opset: version of ONNX's operators; the exporter's own choice if not given.
        near: a folder on the disk where the file is wanted in the end.

    Raises:
        ModelError: PyTorch cannot export it.
        MissingExtraError: `onnx` or `onnxscript` is not installed.
    """
    onnx = import_onnx()
    import_onnx("onnxscript")
    program = _program(model, opset)
    with tempfile.TemporaryDirectory(dir=near, prefix=".seewhy-") as folder:
        path = Path(folder) / "model.onnx"
        program.save(str(path), external_data=_bytes(model.module) > LARGEST_INSIDE)
        proto = onnx.load(str(path), load_external_data=False)
        note(proto, model)
        write_whole(path, [proto.SerializeToString()])
        yield path


def note(proto: onnx.ModelProto, model: Classifier) -> None:
    """Write into the metadata how pictures are prepared and what classes are called."""
    facts = {"seewhy.model": model.name, "seewhy.preprocess": json.dumps(asdict(model.preprocess))}
    if model.class_names is not None:
        facts["seewhy.class_names"] = json.dumps(list(model.class_names))
    for key, value in facts.items():
        proto.metadata_props.add(key=key, value=value)


def export_package(
    model: Classifier, path: Path, *, classes: str = "top5", is_compiled: bool = False
) -> Path:
    """Write a classifier with its maps as a package `.pt2`, for `torch.export.load` or AOTInductor.

    It returns what `attach` makes a model return: logits, classes, maps and bias.

    Args:
        model: what `load_model` gives.
        path: of the file.
        classes: see `attach`.
        is_compiled: compile it ahead of time, for `torch._inductor.aoti_load_package`; this takes
            a C++ compiler.

    Raises:
        HeadNotFound: the model has no head whose maps are exact.
        ModelError: PyTorch cannot export or compile it.
    """
    attached = attach(model.module, model.example(), classes=classes, class_names=model.class_names)
    program = _exported(model, attached)
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".seewhy-") as folder:
        draft = Path(folder) / "model.pt2"
        try:
            if is_compiled:
                from torch._inductor import aoti_compile_and_package

                aoti_compile_and_package(program, package_path=str(draft))
            else:
                torch.export.save(program, draft)
        except Exception as problem:
            raise _not_exported(model, problem) from problem
        draft.replace(path)
    return path


def _program(model: Classifier, opset: int | None) -> Any:
    network = heads.unwrap(model.module)
    logits = Logits(network, _path_of_logits(network, model)).eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                logits,
                (model.example(),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=opset,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                **_OPTIONS,
            )
    except Exception as problem:
        raise _not_exported(model, problem) from problem


def _exported(model: Classifier, module: nn.Module) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad():
            shapes = ({0: torch.export.Dim("batch")},)
            return torch.export.export(module, (model.example(),), dynamic_shapes=shapes)
    except Exception as problem:
        raise _not_exported(model, problem) from problem


def _path_of_logits(network: nn.Module, model: Classifier) -> tuple[Any, ...]:
    """Return where the logits are in what the model returns: under that name, or first."""
    with torch.no_grad():
        output = network(model.example())
    found = list(find_tensors(output))
    if not found:
        raise _not_exported(model, TypeError("it returns no tensor"))
    named = [path for path, _ in found if path and str(path[-1]) == "logits"]
    return tuple(named[0] if named else found[0][0])


def _bytes(module: nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def _not_exported(model: Classifier, problem: Exception) -> ModelError:
    return ModelError(
        f"model {model.name}",
        expected="one that PyTorch can export",
        got=complaint(problem),
        fix="see torch.export on what it can trace",
    )
