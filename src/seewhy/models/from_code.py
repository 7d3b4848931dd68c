"""Networks made by the user's own function: `package.module:function` or `file.py:function`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from seewhy.errors import ModelError
from seewhy.images import Preprocess
from seewhy.models.parts import Parts, Request
from seewhy.wording import complaint, near_or

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

PREFIXES = ("timm", "torchvision", "hf")


def load(request: Request) -> Parts:
    """Return what the function returns; its pictures are prepared as ImageNet's usually are."""
    place, _, function = request.name.rpartition(":")
    is_file = place.endswith(".py")
    folder = Path(place).resolve().parent if is_file else Path.cwd()
    with _importable(folder):
        code = _import_file(place, request) if is_file else _import_module(place, request)
        made = _call(_find(code, function, request), code, request)
    if isinstance(made, nn.Module):
        return Parts(made, Preprocess())
    raise _error(request, "a function that returns an nn.Module", type(made).__name__)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let code import its neighbours, after everything that is installed, for a while."""
    if str(folder) in sys.path:
        yield
        return
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _import_file(place: str, request: Request) -> ModuleType:
    """Run a file as a module of a name that nothing else has."""
    path = Path(place)
    if not path.is_file():
        files = [each.name for each in path.parent.glob("*.py")]
        raise _error(request, "a Python file", "none there", near_or(path.name, files, _CHECK))
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    name = f"_seewhy_{digest}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code  # dataclasses and pickle look themselves up there
    try:
        spec.loader.exec_module(code)
    except (Exception, SystemExit) as problem:
        del sys.modules[name]
        raise _error(request, "a file that imports", _where(problem, code), _REPAIR) from problem
    return code


def _import_module(place: str, request: Request) -> ModuleType:
    try:
        return importlib.import_module(place)
    except (Exception, SystemExit) as problem:
        absent = isinstance(problem, ModuleNotFoundError) and f"{place}.".startswith(
            f"{problem.name}."
        )
        fix = near_or(place, PREFIXES, "check its name and where you run this") if absent else None
        raise _error(
            request, "a module that imports", complaint(problem), fix or _REPAIR
        ) from problem


def _find(code: ModuleType, function: str, request: Request) -> Callable[[], object]:
    found: object = getattr(code, function, None)
    if callable(found):
        return found
    public = [name for name, value in vars(code).items() if callable(value) and name[0] != "_"]
    got = "none of that name" if found is None else type(found).__name__
    raise _error(request, f"a function '{function}'", got, near_or(function, public, _CHECK))


def _call(function: Callable[[], object], code: ModuleType, request: Request) -> object:
    """Call the function; a module is taken as it is, a class of modules is made."""
    if isinstance(function, nn.Module):
        return function
    try:
        return function()
    except (Exception, SystemExit) as problem:
        raise _error(
            request, "a function that runs without arguments", _where(problem, code), _REPAIR
        ) from problem


_CHECK = "check the name"
_REPAIR = "repair it; --debug shows the traceback"


def _where(problem: BaseException, code: ModuleType) -> str:
    """Say what was raised, and in which line of the user's file."""
    frames = traceback.extract_tb(problem.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == code.__file__]
    place = f" (line {lines[-1]})" if lines else ""
    return complaint(problem) + place


def _error(request: Request, expected: str, got: str, fix: str = _CHECK) -> ModelError:
    return ModelError(f"model {request.spec}", expected=expected, got=got, fix=fix)
