"""MNN as a library: imported silently, and a network in its own format."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from seewhy.engines.exported import Exported
from seewhy.errors import ModelError
from seewhy.models.parts import import_extra

GREETING = b"The device supports"
# MNN's own `MNN.tools.mnnconvert` installs a package and reports to a server when it is imported.
CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"
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
    _flush()
    out = os.dup(1)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 1)
        try:
            yield
        finally:
            _flush()
            os.dup2(out, 1)
            os.close(out)
            held.seek(0)
            lines = [line for line in held if line.strip() and not line.startswith(GREETING)]
            os.write(1, b"".join(lines))


def _flush() -> None:
    """Write what Python and C hold back: both do where standard output is a file or a pipe."""
    if sys.stdout is not None:
        sys.stdout.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)


def converted(made: Exported) -> bytes:
    """A network in MNN's own format, by its converter, in a process that may die.

    Raises:
        ModelError: the converter does not take it.
    """
    if made not in _CACHE:
        with tempfile.TemporaryDirectory() as folder:
            _CACHE[made] = _convert(made, Path(folder))
    return _CACHE[made]


def _convert(made: Exported, folder: Path) -> bytes:
    source, target = folder / "network.onnx", folder / "network.mnn"
    source.write_bytes(made.serialised())
    files = ("--modelFile", source, "--MNNModel", target)
    done = subprocess.run(  # noqa: S603 -- Python itself, on files of our own
        [sys.executable, "-c", CONVERT, "-f", "ONNX", *files, "--bizCode", "seewhy"],
        capture_output=True,
        text=True,
        check=False,
    )
    if not target.is_file():
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise not_taken(said[-1].strip() if said else f"none, and exit code {done.returncode}")
    return target.read_bytes()


def not_taken(got: str) -> ModelError:
    """Return the error for a network that MNN does not run."""
    return ModelError(
        "engine mnn",
        expected="a network that MNN runs",
        got=got,
        fix=OTHERS,
    )
