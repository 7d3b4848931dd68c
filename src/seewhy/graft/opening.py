"""Read an ONNX file without its weights where those lie beside it, and refuse what is none."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from seewhy.errors import FileError, GraftError, MissingExtraError
from seewhy.wording import complaint

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

OLDEST_OPSET = 11
LARGEST = 2**31 - 1  # bytes of one protobuf message
MARK = "seewhy.graft"  # the key in metadata_props that tells a grafted file


@dataclass(frozen=True)
class Opened:
    """A model as it was read.

    Attributes:
        model: its graph; weights that lie in other files are still there.
        name: what messages call it.
        folder: where its other files lie, or None for a model in memory.
    """

    model: onnx.ModelProto
    name: str
    folder: Path | None = None


def import_onnx(name: str = "onnx") -> Any:
    """Import `onnx` or `onnxruntime`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise MissingExtraError(
            "an ONNX model",
            expected=f"the package {name.partition('.')[0]}",
            got=complaint(problem),
            fix="pip install 'seewhy[onnx]'",
        ) from problem


def open_model(source: str | Path | onnx.ModelProto) -> Opened:
    """Read a model and see that it is one that can be worked on.

    Raises:
        FileError: there is no such file, or it cannot be read.
        GraftError: it is no sound ONNX model, has an opset before 11, or was grafted already.
    """
    onnx = import_onnx()
    if isinstance(source, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(source)
        opened = Opened(copy, copy.graph.name or "the model")
    else:
        path = Path(source)
        opened = Opened(_parsed(onnx, path), path.name, path.absolute().parent)
    _require_sound(onnx, opened)
    return opened


def external(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, str]]:
    """Yield each initializer that lies in another file, and the name of that file."""
    for tensor in model.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            places = [entry.value for entry in tensor.external_data if entry.key == "location"]
            yield tensor, places[0] if places else ""


def serialised(model: onnx.ModelProto, name: str) -> bytes:
    """Return the model as bytes.

    Raises:
        GraftError: it is larger than one file of protobuf can be.
    """
    try:
        content: bytes = model.SerializeToString()
    except Exception as problem:  # protobuf's EncodeError or ValueError, as its version has it
        raise _too_large(name) from problem
    if len(content) > LARGEST:
        raise _too_large(name)
    return content


def check(model: onnx.ModelProto, name: str) -> None:
    """Let onnx.checker look at the graph; weights in other files count as inputs of their shape.

    Raises:
        GraftError: it finds something wrong.
    """
    onnx = import_onnx()
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    elsewhere = list(external(checked))
    given = {value.name for value in checked.graph.input}
    for tensor, _ in elsewhere:
        if tensor.name not in given:
            value = onnx.helper.make_tensor_value_info(
                tensor.name, tensor.data_type, list(tensor.dims)
            )
            checked.graph.input.append(value)
        checked.graph.initializer.remove(tensor)
    try:
        onnx.checker.check_model(serialised(checked, name))
    except GraftError:
        raise
    except Exception as problem:
        raise GraftError(
            name,
            expected="a model that onnx.checker takes",
            got=complaint(problem),
            fix="export it again",
        ) from problem


def _parsed(onnx: Any, path: Path) -> Any:
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise FileError(
            str(path), expected="an ONNX file", got=complaint(problem), fix="check the path"
        ) from problem
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as problem:  # protobuf's DecodeError, as its implementation has it
        raise _no_model(path.name, complaint(problem)) from problem
    return model


def _require_sound(onnx: Any, opened: Opened) -> None:
    model, name = opened.model, opened.name
    if not model.graph.node or not model.graph.output:
        raise _no_model(name, "a file without a graph")
    if any(entry.key == MARK for entry in model.metadata_props):
        raise GraftError(
            name, expected="a model as it was exported", got="one that is grafted already",
            fix="graft the original",
        )  # fmt: skip
    if opset(model) < OLDEST_OPSET:
        raise GraftError(
            name,
            expected=f"opset {OLDEST_OPSET} or newer",
            got=f"opset {opset(model)}",
            fix="convert it with onnx.version_converter, or export it again",
        )
    _require_near(opened)
    check(model, name)
    if model.functions:
        model.CopyFrom(onnx.inliner.inline_local_functions(model))


def opset(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that the model is written in; 0 if of none."""
    own = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    return max(own, default=0)


def _require_near(opened: Opened) -> None:
    """Refuse weights anywhere but below the model's folder: a file is not to name others' files."""
    for tensor, place in external(opened.model):
        if not _is_below(place):
            raise GraftError(
                opened.name,
                expected="weights in files beside the model",
                got=f"{place!r} for {tensor.name}",
                fix="save it again with onnx.save_model(save_as_external_data=True)",
            )
        if opened.folder is None or not (opened.folder / place).is_file():
            raise GraftError(
                opened.name,
                expected=f"its weights in {place}",
                got="no such file" if opened.folder else "a model in memory",
                fix="keep the file beside the model, and pass the model's path",
            )


def _is_below(place: str) -> bool:
    """Whether a path leads down from where one stands, on any system."""
    posix, windows = PurePosixPath(place), PureWindowsPath(place)
    is_rooted = posix.is_absolute() or windows.drive or windows.root
    return bool(place) and not is_rooted and ".." not in (*posix.parts, *windows.parts)


def _no_model(name: str, got: str) -> GraftError:
    return GraftError(name, expected="an ONNX model", got=got, fix="check the file")


def _too_large(name: str) -> GraftError:
    return GraftError(
        name,
        expected="a model of less than 2 GB without its weights",
        got="a larger one",
        fix="save it with onnx.save_model(save_as_external_data=True) first",
    )
