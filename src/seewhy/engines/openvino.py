"""OpenVINO on the CPU. Its precision is always told: left alone it may compute in bfloat16."""

from __future__ import annotations

from threading import Lock
from typing import Any

import torch
from torch import Tensor

from seewhy.engines import parts
from seewhy.engines.engine import Order, Precision, require_size
from seewhy.engines.exported import INPUT
from seewhy.engines.network import network
from seewhy.engines.quantised import account
from seewhy.errors import InputError
from seewhy.heads import Seen
from seewhy.models.parts import import_extra

# Of an 8-bit model, the rest computes in float32.
HINTS: dict[Precision, str] = {
    "float32": "f32",
    "bfloat16": "bf16",
    "float16": "f16",
    "int8": "f32",
}
CAPABILITIES: dict[Precision, str] = {"bfloat16": "BF16", "float16": "FP16"}
_FIRST = Lock()


class OpenVino:
    """A compiled model, and as many requests as a batch has parts."""

    name = "openvino"

    def __init__(self, order: Order) -> None:
        order.require_precision(self.name, *HINTS)
        order.require_steps(self.name)
        openvino = imported()
        core = openvino.Core()
        _require_capability(core, order.precision)
        self.precision, self.threads = order.precision, order.threads
        self._library = f"openvino {openvino.__version__.partition('-')[0]}"
        self._head, self._size = order.head, tuple(order.example.shape[1:])
        self._part = parts.size(order.precision)
        self._lanes = parts.lanes(order, self._part)
        model = core.read_model(network(order).serialised())
        self._model = core.compile_model(model, "CPU", self._settings())
        self._requests: list[Any] = []
        self._facts = account(self, order)

    def describe(self) -> dict[str, str]:
        """See `Engine`."""
        facts = {"engine": self.name, "precision": self.precision, "library": self._library}
        lanes = {"threads": str(self.threads), "lanes": str(self._lanes)}
        return {**facts, **lanes, **self._facts}

    def __call__(self, batch: Tensor) -> Seen:
        """See `Engine`; pictures of the size that the engine was made for."""
        pieces = parts.split(require_size(self.name, batch, self._size), self._part)
        while len(self._requests) < len(pieces):
            self._requests.append(self._model.create_infer_request())
        running = self._requests[: len(pieces)]
        for request, piece in zip(running, pieces, strict=True):
            request.start_async({INPUT: piece.numpy()}, share_inputs=True)
        for request in running:
            request.wait()
        return parts.joined([_outputs(request) for request in running], self._head)

    def _settings(self) -> dict[str, str | int | bool]:
        return {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "PERFORMANCE_HINT": "THROUGHPUT" if self._lanes > 1 else "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self._lanes,
            # Each engine would pin its threads to the first cores, and two would share them.
            "ENABLE_CPU_PINNING": False,
        }


def imported() -> Any:
    """OpenVINO, safe to be called by several threads at once.

    Its table of element types is made by the first that asks for one, who lets go of Python's lock
    (GIL) midway; a second one then waits for the table with that lock in hand, for ever.
    """
    openvino = import_extra("openvino", "openvino")
    with _FIRST:
        openvino.Type.f32.to_dtype()
    return openvino


def _outputs(request: Any) -> tuple[Tensor, Tensor]:
    logits, features = (torch.from_numpy(request.get_output_tensor(i).data) for i in range(2))
    return logits, features


def _require_capability(core: Any, precision: Precision) -> None:
    needed = CAPABILITIES.get(precision)
    has = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if needed is not None and needed not in has:
        raise InputError(
            "engine openvino",
            expected=f"a processor that computes in {precision}",
            got=f"one with {', '.join(has)}",
            fix='choose the precision "float32"',
        )
