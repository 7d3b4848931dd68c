"""MNN as a library: imported silently, and a network in its own format, tried before it is used."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from seewhy.engines import mnn_lane, parts
from seewhy.engines.engine import Order
from seewhy.engines.exported import (
    INPUT,
    OUTPUTS,
    Exported,
    exported,
    noise,
    require_same,
    run_exported,
)
from seewhy.errors import ModelError
from seewhy.heads import Head
from seewhy.models.parts import import_extra

GREETING = b"The device supports"
STAMP = re.compile(r"^\[[\d:]+\] :\d+: ")
APPROXIMATED = ("Gelu", "Erf")  # off by up to 1e-4 of the features
OTHERS = 'use the engine "onnx", "openvino" or "torch"'
_FIRST = Lock()
_CACHE: weakref.WeakKeyDictionary[Exported, bytes] = weakref.WeakKeyDictionary()


def imported() -> Any:
    """MNN, without the line about the processor that it prints when it is first imported.

    Standard output belongs to the answer of a command.
    """
    with _FIRST:
        is_first = "MNN" not in sys.modules
        with _without_greeting() if is_first else contextlib.nullcontext():
            return import_extra("MNN", "mnn")


@contextlib.contextmanager
def _without_greeting() -> Iterator[None]:
    """What is written to standard output in the context is written after it, but for that line."""
    with contextlib.ExitStack() as after:
        try:
            out = os.dup(1)
        except OSError:  # it is closed
            yield
            return
        after.callback(os.close, out)
        held = after.enter_context(tempfile.TemporaryFile())
        _flush()
        os.dup2(held.fileno(), 1)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                _flush()
            os.dup2(out, 1)
            held.seek(0)
            lines = [line for line in held if line.strip() and not line.startswith(GREETING)]
            with open(out, "wb", closefd=False) as rest:
                rest.writelines(lines)


def _flush() -> None:
    """Write what Python and C hold back: both do where standard output is a file or a pipe."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)


def converted(order: Order) -> bytes:
    """The network of an order in MNN's own format.

    Raises:
        ModelError: MNN does not run it, approximates it, or computes something else.
        MissingExtraError: a library of the export is not installed.
    """
    made = exported(order)
    if any(node.op_type in APPROXIMATED for node in made.model.graph.node):
        raise ModelError(
            "engine mnn",
            expected="a network without GELU, which MNN approximates",
            got="one with it",
            fix=OTHERS,
        )
    if made not in _CACHE:
        with tempfile.TemporaryDirectory() as folder:
            _CACHE[made] = _tried(made, order.head, Path(folder))
    return _CACHE[made]


def _tried(made: Exported, head: Head, folder: Path) -> bytes:
    names = ("network.onnx", "network.mnn", "images.npy", "answer.npz")
    source, target, asked, answer = files = [folder / name for name in names]
    images = noise(mnn_lane.PART + 1, made.size)
    source.write_bytes(made.serialised())
    np.save(asked, images.numpy())
    done = subprocess.run(  # noqa: S603 -- Python itself, with a program of ours
        [sys.executable, "-P", mnn_lane.__file__, *files, INPUT, *OUTPUTS],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise not_taken(_why(done))
    with np.load(answer) as arrays:
        seen = [torch.from_numpy(arrays[name]) for name in arrays.files]
    got = parts.joined([(seen[0], seen[1]), (seen[2], seen[3])], head)
    require_same("MNN's network", got, run_exported(made, head, images))
    return target.read_bytes()


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """The last thing that a process said of the matter, and its exit code."""
    said = [STAMP.sub("", line).strip() for line in (done.stdout + done.stderr).splitlines()]
    reasons = [line for line in said if line not in ("", "Converted Failed!")]
    return f"{reasons[-1] if reasons else 'not a word'} (exit code {done.returncode})"


def not_taken(got: str) -> ModelError:
    """Return the error for a network that MNN does not run."""
    return ModelError(
        "engine mnn",
        expected="a network that MNN runs",
        got=got,
        fix=OTHERS,
    )
