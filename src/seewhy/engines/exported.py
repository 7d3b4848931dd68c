"""The network as an ONNX model with two outputs, `logits` and `features`, for any batch size.

Made once for each network, head and size of pictures; made anew when the weights changed. What
the exporter wrote is run before it is used: its outputs must be those of the network.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from seewhy import heads
from seewhy.attachment import TwoOutputs
from seewhy.engines import parts
from seewhy.engines.engine import Order
from seewhy.engines.weights import Stamp, stamp
from seewhy.errors import ModelError
from seewhy.heads import Head, Seen
from seewhy.models.parts import import_extra
from seewhy.observe import in_eval_mode, run_eagerly
from seewhy.wording import complaint

INPUT, OUTPUTS = "images", ("logits", "features")
DEVIATION = 1e-3  # over the largest value: far more than another order of summation can make


@dataclass(frozen=True, eq=False)
class Exported:
    """An ONNX model with the input `images` and the outputs `logits` and `features`.

    Attributes:
        model: an `onnx.ModelProto`.
        size: the shape (channel, *size) of the pictures.
    """

    model: Any
    size: tuple[int, ...]

    def serialised(self) -> bytes:
        """The model as the bytes of a file."""
        whole: bytes = self.model.SerializeToString()
        return whole


_CACHE: weakref.WeakKeyDictionary[nn.Module, tuple[Head, Stamp, Exported]] = (
    weakref.WeakKeyDictionary()
)


def exported(order: Order) -> Exported:
    """The network of an order as an ONNX model in float32.

    Raises:
        ModelError: it cannot be exported, or what is exported computes something else.
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
    """
    size, now = tuple(order.example.shape[1:]), stamp(order.model)
    head, then, made = _CACHE.get(order.model, (None, None, None))
    if made is None or head is not order.head or then != now or made.size != size:
        made = _export(order)
        _CACHE[order.model] = order.head, now, made
    return made


def _export(order: Order) -> Exported:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(name, "onnx")
    network, size = _on_cpu_in_float32(order.model), tuple(order.example.shape[1:])
    problems = []
    for export in (_by_dynamo, _by_tracing):
        try:
            made = Exported(export(network, order.head, size), size)
            images = noise(3, size)
            expected = _by_itself(network, order.head, images)
            require_same("the exported network", run_exported(made, order.head, images), expected)
            return made
        except Exception as problem:  # exporters raise whatever they like
            problems.append(problem)
    raise ModelError(
        type(order.model).__name__,
        expected="a network that can be exported to ONNX",
        got=complaint(problems[0]),
        fix='use the engine "torch"',
    ) from problems[0]


def _on_cpu_in_float32(model: nn.Module) -> nn.Module:
    weights = [*model.parameters(), *model.buffers()]
    floats = [weight.dtype for weight in weights if weight.is_floating_point()]
    if all(dtype == torch.float32 for dtype in floats) and not any(w.is_cuda for w in weights):
        return model
    return copy.deepcopy(model).to("cpu", torch.float32)


@contextlib.contextmanager
def _ready(network: nn.Module) -> Iterator[None]:
    """Within the context, a network is in evaluation mode, and exporters keep their advice."""
    with warnings.catch_warnings(), in_eval_mode(network), torch.no_grad():
        for advice in (FutureWarning, DeprecationWarning, UserWarning, TracerWarning):
            warnings.simplefilter("ignore", advice)
        yield


def noise(batch: int, size: tuple[int, ...]) -> Tensor:
    """Pictures (batch, channel, *size) to try a network on, the same every time."""
    return torch.randn(batch, *size, generator=torch.Generator().manual_seed(batch))


def _by_dynamo(network: nn.Module, head: Head, size: tuple[int, ...]) -> Any:
    with _ready(network):
        program = torch.onnx.export(
            TwoOutputs(network, head).eval(),
            (noise(2, size),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            verbose=False,
        )
    assert program is not None, "a program, because it was not written to a file"
    return program.model_proto


def _by_tracing(network: nn.Module, head: Head, size: tuple[int, ...]) -> Any:
    """By the older exporter, where `torch.export` does not get through."""
    import onnx

    file: Any = io.BytesIO()  # which the exporter takes, though it does not say so
    layout = {OUTPUTS[1]: head.layout.axes.index("batch"), INPUT: 0, OUTPUTS[0]: 0}
    with _ready(network):
        torch.onnx.export(
            TwoOutputs(network, head).eval(),
            (noise(2, size),),
            file,
            dynamo=False,
            dynamic_axes={name: {axis: "batch"} for name, axis in layout.items()},
            input_names=[INPUT],
            output_names=list(OUTPUTS),
        )
    return onnx.load_from_string(file.getvalue())


def _by_itself(network: nn.Module, head: Head, images: Tensor) -> Seen:
    with torch.no_grad(), in_eval_mode(network), run_eagerly():
        return Seen(*heads.run(network, head, (images,), {}))


def run_exported(made: Exported, head: Head, images: Tensor) -> Seen:
    """What an exported network gives in ONNX Runtime."""
    run = run_in_onnxruntime(made.serialised(), threads=torch.get_num_threads())
    return parts.joined([run(images)], head)


def require_same(what: str, got: Seen, expected: Seen) -> None:
    """See that a network taken elsewhere computes what it did, but for the order of its sums.

    Args:
        what: the network, as a message is to name it.
        got: what it gives.
        expected: what it should give, of the same pictures.

    Raises:
        ModelError: it computes something else.
    """
    pairs = (got.logits, expected.logits), (got.features, expected.features)
    for name, (theirs, ours) in zip(OUTPUTS, pairs, strict=True):
        largest = DEVIATION * float(ours.nan_to_num().abs().max())
        if (
            theirs.shape != ours.shape
            or not torch.isclose(theirs, ours, rtol=0.0, atol=largest, equal_nan=True).all()
        ):
            raise ModelError(
                what,
                expected=f"the network's {name}",
                got="others",
                fix='use the engine "torch"',
            )


def run_in_onnxruntime(model: bytes, *, threads: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A function that runs a model with two outputs: batch in, logits and features out."""
    onnxruntime = import_extra("onnxruntime", "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> tuple[Tensor, Tensor]:
        fed: dict[str, np.ndarray[Any, Any]] = {INPUT: images.contiguous().numpy()}
        logits, features = session.run(list(OUTPUTS), fed)
        return torch.from_numpy(logits), torch.from_numpy(features)

    return run
