"""ONNX Runtime on the CPU: the exported network, in float32 or in 8-bit integers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from seewhy.engines import parts
from seewhy.engines.engine import Order, require_size
from seewhy.engines.exported import run_in_onnxruntime
from seewhy.engines.network import network
from seewhy.engines.quantised import account
from seewhy.heads import Seen
from seewhy.models.parts import import_extra


class OnnxRuntime:
    """A session, and the threads that call it."""

    name = "onnx"

    def __init__(self, order: Order) -> None:
        order.require_precision(self.name, "float32", "int8")
        order.require_steps(self.name)
        self.precision, self.threads = order.precision, order.threads
        self._library = f"onnxruntime {import_extra('onnxruntime', 'onnx').__version__}"
        self._head, self._size = order.head, tuple(order.example.shape[1:])
        self._part = parts.size(order.precision)
        lanes = parts.lanes(order, self._part)
        model = network(order)
        self._run = run_in_onnxruntime(model.serialised(), threads=max(1, order.threads // lanes))
        self._lanes, self._pool = lanes, ThreadPoolExecutor(lanes, thread_name_prefix="seewhy-onnx")
        self._facts = account(self, order)

    def describe(self) -> dict[str, str]:
        """See `Engine`."""
        facts = {"engine": self.name, "precision": self.precision, "library": self._library}
        lanes = {"threads": str(self.threads), "lanes": str(self._lanes)}
        return {**facts, **lanes, **self._facts}

    def __call__(self, batch: Tensor) -> Seen:
        """See `Engine`; pictures of the size that the engine was made for."""
        pieces = parts.split(require_size(self.name, batch, self._size), self._part)
        each = map if self._lanes == 1 else self._pool.map
        return parts.joined(list(each(self._run, pieces)), self._head)
