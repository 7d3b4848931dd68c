"""Run a model in ONNX Runtime on noise of its own input shape, and keep what its tensors were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seewhy.errors import GraftError
from seewhy.graft.opening import import_onnx, serialised
from seewhy.wording import complaint

if TYPE_CHECKING:
    import onnx

    from seewhy.graft.graph import Graph

Array = NDArray[Any]
Feeds = Mapping[str, Array]
BATCH = 2  # one picture would not tell a batch from a channel
SIZES = (224, 32, 299, 384, 512)  # pixels, where the model leaves its input's size open
LARGEST_INPUT = 2**28  # numbers
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


class Runner:
    """A session of ONNX Runtime on the CPU, quiet."""

    def __init__(self, model: bytes, folder: Path | None) -> None:
        runtime = import_onnx("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        if folder is not None:
            options.add_session_config_entry(_WEIGHTS_FOLDER, str(folder))
        self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, feeds: Feeds, outputs: Sequence[str]) -> list[Array]:
        """Return the outputs of these names."""
        return [np.asarray(each) for each in self._session.run(list(outputs), dict(feeds))]


@dataclass(frozen=True)
class Observed:
    """A run.

    Attributes:
        feeds: what the inputs were.
        tensors: what the tensors were that were asked for.
    """

    feeds: Feeds
    tensors: Mapping[str, Array]


def observe(graph: Graph, wanted: Sequence[str]) -> list[Observed]:
    """Run a model twice, on different noise, and keep the tensors of these names.

    Raises:
        GraftError: ONNX Runtime does not load it or run it.
    """
    wanted = list(dict.fromkeys(wanted))
    with _also_returning(graph.model, wanted):
        content = serialised(graph.model, graph.name)
    try:
        runner = Runner(content, graph.folder)
    except Exception as problem:
        raise _not_run(graph.name, problem) from problem
    feeds, first = _first_run(graph, runner, wanted)
    other = {name: noise(value.shape, value.dtype, seed=1) for name, value in feeds.items()}
    second = runner(other, wanted)
    return [
        Observed(each, dict(zip(wanted, values, strict=True)))
        for each, values in ((feeds, first), (other, second))
    ]


def _first_run(graph: Graph, runner: Runner, wanted: Sequence[str]) -> tuple[Feeds, list[Array]]:
    problem: Exception | None = None
    for batch, size in ((BATCH, SIZES[0]), *((1, size) for size in SIZES)):
        feeds = {each.name: _feed(graph, each, batch, size) for each in graph.inputs}
        try:
            return feeds, runner(feeds, wanted)
        except Exception as failure:
            problem = problem or failure
    assert problem is not None
    raise _not_run(graph.name, problem) from problem


def noise(shape: Sequence[int], dtype: Any, *, seed: int = 0) -> Array:
    """Return standard normal noise, or all the values of 8 bits; 0 for other whole numbers."""
    draw = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.itemsize == 1 and kind.kind in "iu":
        limits = np.iinfo(kind)
        return draw.integers(limits.min, limits.max + 1, shape, dtype=kind)
    if kind.kind in "iub":
        return np.zeros(shape, kind)
    return draw.standard_normal(shape, dtype=np.float32).astype(kind)


def _feed(graph: Graph, value: onnx.ValueInfoProto, batch: int, size: int) -> Array:
    onnx = import_onnx()
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise _odd_input(graph, value.name, "no tensor of a known rank")
    shape = shape_of(value, batch, size)
    if not 0 < np.prod([float(side) for side in shape]) <= LARGEST_INPUT:
        raise _odd_input(graph, value.name, f"shape {shape}")
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        return noise(shape, dtype)
    except (KeyError, TypeError, ValueError) as problem:
        raise _odd_input(graph, value.name, f"type {kind.elem_type}") from problem


def shape_of(value: onnx.ValueInfoProto, batch: int, size: int) -> list[int]:
    """Return an input's shape with what it leaves open filled in."""
    dims = [
        dim.dim_value if dim.HasField("dim_value") else 0
        for dim in value.type.tensor_type.shape.dim
    ]
    channel = channel_axis(dims)
    return [
        side or (batch if axis == 0 else 3 if axis == channel else size)
        for axis, side in enumerate(dims)
    ]


def channel_axis(dims: Sequence[int]) -> int:
    """Return the axis of a picture's channels: the last where only that can be one, else 1."""
    last = len(dims) - 1
    return last if last > 1 and dims[last] in (1, 3, 4) and dims[1] not in (1, 3, 4) else 1


@contextmanager
def _also_returning(model: onnx.ModelProto, wanted: Sequence[str]) -> Iterator[None]:
    """Make tensors outputs for a while; a copy would double the memory of a large model."""
    onnx = import_onnx()
    before = len(model.graph.output)
    known = {value.name for value in model.graph.output}
    extra = [name for name in wanted if name not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
    try:
        yield
    finally:
        del model.graph.output[before:]


def _not_run(name: str, problem: Exception) -> GraftError:
    return GraftError(
        name,
        expected="a model that ONNX Runtime runs",
        got=complaint(problem),
        fix="run it there first; a newer onnxruntime may know more",
    )


def _odd_input(graph: Graph, name: str, got: str) -> GraftError:
    return GraftError(
        f"{graph.name}, input {name}",
        expected="a tensor that noise can be made for",
        got=got,
        fix="export it with the shape of its pictures",
    )
