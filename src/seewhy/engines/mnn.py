"""MNN on the CPU: convolutions of 3 x 3 and stride 1 take 2.25 times fewer multiplications.

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

import torch
from torch import Tensor

from seewhy.engines import parts
from seewhy.engines.engine import Order, require_size
from seewhy.engines.exported import INPUT, OUTPUTS
from seewhy.engines.mnn_lane import PART, Lane
from seewhy.engines.mnn_library import OTHERS, converted, imported, not_taken
from seewhy.errors import ModelError, SeewhyError
from seewhy.heads import Seen
from seewhy.wording import complaint


class Mnn:
    """A lane a thread, and the threads that call them; few pictures have one lane with all threads.

    MNN keeps one pool of threads for a process, which no two of several lanes would get at once.
    """

    name = "mnn"

    def __init__(self, order: Order) -> None:
        order.require_precision(self.name, "float32")
        order.require_steps(self.name)
        _require_pictures(order)
        self.precision, self.threads = order.precision, order.threads
        self._head, self._size = order.head, tuple(order.example.shape[1:])
        self._lanes = order.threads if order.batch >= order.threads else 1
        self._part = max(1, min(PART, order.batch // self._lanes))
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for lane in _lanes(order, self._lanes):
            self._free.put(lane)
        self._pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="seewhy-mnn")

    def describe(self) -> dict[str, str]:
        """See `Engine`."""
        facts = {"engine": self.name, "precision": self.precision}
        lanes = {"threads": str(self.threads), "lanes": str(self._lanes)}
        return {**facts, "library": f"MNN {metadata.version('MNN')}", **lanes}

    def __call__(self, batch: Tensor) -> Seen:
        """See `Engine`; pictures of the size that the engine was made for."""
        pieces = parts.split(require_size(self.name, batch, self._size), self._part)
        each = map if self._lanes == 1 else self._pool.map
        return parts.joined(list(each(self._run, pieces)), self._head)

    def _run(self, piece: Tensor) -> tuple[Tensor, Tensor]:
        lane = self._free.get()
        try:
            logits, features = lane(piece.numpy())
        except Exception as problem:  # MNN raises `Exception` itself
            raise not_taken(complaint(problem)) from problem
        finally:
            self._free.put(lane)
        return torch.from_numpy(logits), torch.from_numpy(features)


def _lanes(order: Order, count: int) -> list[Lane]:
    """The network, so many times."""
    try:
        mnn, model = imported(), converted(order)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "network.mnn")
            file.write_bytes(model)
            threads, names = max(1, order.threads // count), (INPUT, *OUTPUTS)
            return [Lane(mnn, str(file), threads, names) for _ in range(count)]
    except SeewhyError:
        raise
    except Exception as problem:  # MNN's own, a full disk, no Python to run
        raise not_taken(complaint(problem)) from problem


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
