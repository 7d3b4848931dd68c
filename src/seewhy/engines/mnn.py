"""MNN on the CPU: where a network is convolutions of 3 x 3, it multiplies 2.25 times less often.

By Winograd's algorithm (Lavin and Gray, CVPR 2016, F(2x2, 3x3)) 2 x 2 results take 16 products in
place of 36, and are as accurate as the plain sum. Left alone MNN takes larger tiles, which are
faster still and off by 1e-3 of the features: not what float32 promises.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.engines import parts
from seewhy.engines.engine import Order, require_size
from seewhy.engines.exported import (
    INPUT,
    OUTPUTS,
    exported,
    noise,
    require_same,
    run_exported,
)
from seewhy.engines.mnn_library import OTHERS, converted, imported, not_taken
from seewhy.errors import ModelError
from seewhy.heads import Seen
from seewhy.wording import complaint

PART = 4  # pictures; one by one they take longer, for Winograd's products are of matrices
WINOGRAD_MEMORY_LEVEL, SMALL_TILES = 3, 1  # the hint's number in MNN's `HintMode`, and its value


class Mnn:
    """An interpreter a lane, and the threads that call them."""

    name = "mnn"

    def __init__(self, order: Order) -> None:
        order.require_precision(self.name, "float32")
        order.require_steps(self.name)
        _require_pictures(order)
        mnn = imported()
        self.precision, self.threads = order.precision, order.threads
        self._head, self._size = order.head, tuple(order.example.shape[1:])
        self._lanes = parts.lanes(order, PART)
        made = exported(order)
        model, threads = converted(made), max(1, order.threads // self._lanes)
        self._free: SimpleQueue[_Lane] = SimpleQueue()
        for _ in range(self._lanes):
            self._free.put(_Lane(mnn, model, threads))
        self._pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="seewhy-mnn")
        images = noise(PART + 1, self._size)
        require_same("MNN's network", self(images), run_exported(made, order.head, images))

    def describe(self) -> dict[str, str]:
        """See `Engine`."""
        facts = {"engine": self.name, "precision": self.precision}
        return {
            **facts,
            "library": f"MNN {metadata.version('MNN')}",
            "threads": str(self.threads),
            "lanes": str(self._lanes),
        }

    def __call__(self, batch: Tensor) -> Seen:
        """See `Engine`; pictures of the size that the engine was made for."""
        pieces = parts.split(require_size(self.name, batch, self._size), PART)
        each = map if self._lanes == 1 else self._pool.map
        return parts.joined(list(each(self._run, pieces)), self._head)

    def _run(self, piece: Tensor) -> tuple[Tensor, Tensor]:
        lane = self._free.get()
        try:
            return lane(piece)
        finally:
            self._free.put(lane)


class _Lane:
    """A model read for itself: the sessions of one interpreter wait for each other."""

    def __init__(self, mnn: Any, model: bytes, threads: int) -> None:
        self._mnn = mnn
        self._shape: tuple[int, ...] = ()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "network.mnn")
            file.write_bytes(model)
            self._interpreter = mnn.Interpreter(str(file))
        self._interpreter.setSessionHint(WINOGRAD_MEMORY_LEVEL, SMALL_TILES)
        self._session = self._interpreter.createSession({"backend": "CPU", "numThread": threads})

    def __call__(self, piece: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of a few pictures.

        Raises:
            ModelError: MNN cannot run the network.
        """
        try:
            self._fit(tuple(piece.shape))
            fed = self._interpreter.getSessionInput(self._session, INPUT)
            fed.copyFrom(self._tensor(piece.numpy()))
            code = self._interpreter.runSession(self._session)
            if code != 0:
                raise RuntimeError(f"error {code} of MNN")
            logits, features = (self._output(name) for name in OUTPUTS)
        except Exception as problem:  # MNN raises `Exception` itself
            raise not_taken(complaint(problem)) from problem
        return logits, features

    def _fit(self, shape: tuple[int, ...]) -> None:
        """Make room for another number of pictures, which takes a moment."""
        if shape != self._shape:
            fed = self._interpreter.getSessionInput(self._session, INPUT)
            self._interpreter.resizeTensor(fed, shape)
            self._interpreter.resizeSession(self._session)
            self._shape = shape

    def _output(self, name: str) -> Tensor:
        there = self._interpreter.getSessionOutput(self._session, name)
        here = self._tensor(np.empty(there.getShape(), np.float32))
        there.copyToHostTensor(here)
        return torch.from_numpy(np.array(here.getNumpyData()))  # a copy: `here` goes

    def _tensor(self, values: np.ndarray[Any, Any]) -> Any:
        mnn = self._mnn
        kind, order = mnn.Halide_Type_Float, mnn.Tensor_DimensionType_Caffe
        return mnn.Tensor(values.shape, kind, values, order)


def _require_pictures(order: Order) -> None:
    """Refuse signals and volumes, whose features MNN lays out in another way, or not at all."""
    size = tuple(order.example.shape[1:])
    if len(size) != 3:
        raise ModelError(
            "engine mnn",
            expected="pictures (channel, height, width)",
            got=f"shape {size}",
            fix=OTHERS,
        )
