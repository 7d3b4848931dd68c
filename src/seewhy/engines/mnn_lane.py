"""A network in MNN: a session of its own; and, run as a program, one that is taken there and tried.

    python mnn_lane.py network.onnx network.mnn images.npy answer.npz images logits features

MNN prints to standard output as it pleases, and may die of a network that it does not know: the
first look at one is had in a process of its own. It imports neither PyTorch nor the rest of seewhy.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

PART = 4  # pictures; one by one they take longer, for Winograd's products are of matrices
WINOGRAD_MEMORY_LEVEL, SMALL_TILES = 3, 1  # the hint's number in MNN's `HintMode`, and its value


class Lane:
    """A model read for itself, for the sessions of one interpreter wait for each other.

    Args:
        mnn: the library.
        file: the network, in MNN's own format; it may be deleted afterwards.
        threads: how many threads to compute with.
        names: of its input and of its outputs.

    Raises:
        Exception: MNN does not take it, here or when it is called.
    """

    def __init__(self, mnn: Any, file: str, threads: int, names: Sequence[str]) -> None:
        self._mnn, (self._input, *self._outputs) = mnn, names
        self._shape: tuple[int, ...] = ()
        self._interpreter = mnn.Interpreter(file)
        self._interpreter.setSessionHint(WINOGRAD_MEMORY_LEVEL, SMALL_TILES)
        self._session = self._interpreter.createSession(
            {"backend": "CPU", "precision": "normal", "numThread": threads}  # "high" prints a line
        )

    def __call__(self, pictures: Array) -> list[Array]:
        """The outputs of a few pictures."""
        self._fit(pictures.shape)
        fed = self._interpreter.getSessionInput(self._session, self._input)
        _require("copy pictures", fed.copyFrom(self._tensor(pictures)))
        _require("run the network", self._interpreter.runSession(self._session) == 0)
        return [self._output(name) for name in self._outputs]

    def _fit(self, shape: tuple[int, ...]) -> None:
        """Make room for another number of pictures, which takes a moment."""
        if shape != self._shape:
            self._shape = ()
            fed = self._interpreter.getSessionInput(self._session, self._input)
            self._interpreter.resizeTensor(fed, shape)
            self._interpreter.resizeSession(self._session)
            self._shape = shape

    def _output(self, name: str) -> Array:
        there = self._interpreter.getSessionOutput(self._session, name)
        here = self._tensor(np.zeros(there.getShape(), np.float32))
        _require("copy what it computed", there.copyToHostTensor(here))
        return np.array(here.getNumpyData())  # a copy: `here` goes

    def _tensor(self, values: Array) -> Any:
        mnn = self._mnn
        kind, order = mnn.Halide_Type_Float, mnn.Tensor_DimensionType_Caffe
        return mnn.Tensor(values.shape, kind, values, order)


def _require(what: str, is_done: object) -> None:
    if not is_done:
        raise RuntimeError(f"MNN cannot {what}")


def main(source: str, target: str, images: str, answer: str, *names: str) -> int:
    """Convert a network and try it, in pieces as an engine has them; return the exit code."""
    # Not `MNN.tools.mnnconvert`: imported, it installs a package and reports to a server.
    from _tools import mnnconvert

    mnnconvert(
        ["", "-f", "ONNX", "--modelFile", source, "--MNNModel", target, "--bizCode", "seewhy"]
    )
    if not Path(target).is_file():
        return 1  # it has said why

    import MNN

    lane, pictures = Lane(MNN, target, 1, names), np.load(images)
    np.savez(answer, *lane(pictures[:PART]), *lane(pictures[PART:]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
