"""Read a pickle of text, numbers, lists, dicts and arrays of bytes, and run nothing in it.

A pickle is a program. Before this one runs, its instructions are read: only those that build such
values are let through. What it calls by name is looked up in a table of four, and none of those is
numpy's own: stand-ins take the array's state and check it.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

_ALLOWED = frozenset(
    "PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD NONE NEWTRUE NEWFALSE"
    " INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING"
    " BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
    " TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT"
    " DICT SETITEM SETITEMS PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE".split()
)
_MAX_INSTRUCTIONS = 2**21  # 50,000 rows have some 300,000
_MAX_TUPLES = 16  # tuples of the same tuple, nested, would take for ever to hash


def unpickle(content: bytes) -> Any:
    """Return the value that a pickle describes; arrays are (…) of uint8, Python 2's text is bytes.

    Raises:
        pickle.UnpicklingError: it would call something, is damaged, or holds something else.
    """
    try:
        _look_through(content)
        return _Reader(io.BytesIO(content), encoding="bytes").load()
    except pickle.UnpicklingError:
        raise
    except Exception as problem:  # damaged instructions can raise anything
        raise pickle.UnpicklingError("a damaged pickle or another file") from problem


def _look_through(content: bytes) -> None:
    """Read all instructions, so that what is no pickle at all is not taken for a hostile one."""
    problem, tuples = "", 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        tuples += "TUPLE" in opcode.name
        problem = problem or _objection(opcode.name, argument, count, tuples)
        if count > _MAX_INSTRUCTIONS:
            break
    if problem:
        raise pickle.UnpicklingError(problem)


def _objection(name: str, argument: Any, count: int, tuples: int) -> str:
    if name not in _ALLOWED:
        return f"a pickle with the instruction {name}"
    if name.endswith("PUT") and int(argument) > count:
        return "a pickle that reserves memory without need"
    if tuples > _MAX_TUPLES:
        return "a pickle with too many tuples"
    return "a pickle with too many instructions" if count >= _MAX_INSTRUCTIONS else ""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _STAND_INS.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"a pickle that would run {module}.{name}")
        return found


class _StandIn:
    """What a name in a pickle stands for: it can be called, and not changed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: object) -> NoReturn:
        raise pickle.UnpicklingError("a pickle that would change what it runs")


class _Bytes:
    """numpy's dtype, of which only single unsigned bytes are let through."""

    def __init__(self, code: bytes | str, *_: object) -> None:
        if code not in (b"u1", "u1", b"|u1", "|u1"):
            raise pickle.UnpicklingError(f"an array of {code!r} where bytes (u1) belong")

    def __setstate__(self, _: object) -> None:
        """A byte has no order of bytes, nor fields."""


class _Array:
    """numpy's array, checked when its state comes."""

    value: NDArray[np.uint8]

    def __init__(self, *_: object) -> None:
        self.value = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, is_fortran, content = state
        if not isinstance(kind, _Bytes):
            raise pickle.UnpicklingError("an array of objects")
        flat = np.frombuffer(content, np.uint8)
        self.value = flat.reshape(shape, order="F" if is_fortran else "C")


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


_NDARRAY = _StandIn(_Array)
_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _NDARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _NDARRAY,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(_Bytes),
    ("_codecs", "encode"): _StandIn(_encode),  # how Python 3 writes bytes for Python 2
}


def array_in(value: object) -> NDArray[np.uint8] | None:
    """Return the array that `unpickle` found in a place, or None where it found something else."""
    return value.value if isinstance(value, _Array) else None
