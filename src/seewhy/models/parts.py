"""What a source of models is asked for, and what it hands over."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from seewhy.errors import MissingExtraError, ModelError
from seewhy.wording import complaint

if TYPE_CHECKING:
    from seewhy.images import Preprocess
    from seewhy.tasks import Task

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Request:
    """Which model is wanted.

    Attributes:
        spec: what the user wrote; messages are about it.
        name: the part after the source's prefix.
        pretrained: whether its published weights are wanted.
        num_classes: number of logits to build it with, or None for its own.
    """

    spec: str
    name: str
    pretrained: bool = True
    num_classes: int | None = None


@dataclass(frozen=True)
class Parts:
    """A model as its source knows it.

    Attributes:
        module: the network.
        preprocess: how its pictures are prepared.
        class_names: the name of each logit, where the source knows them.
        rename: translates a checkpoint's names of tensors to the module's.
        task: what the logits mean, where the source says so: see `explain`.
    """

    module: nn.Module
    preprocess: Preprocess
    class_names: tuple[str, ...] | None = None
    rename: Callable[[State], State] = dict
    task: Task | None = None


Source = Callable[[Request], Parts]


def import_extra(name: str, extra: str) -> Any:
    """Import an optional library.

    Raises:
        MissingExtraError: it is not installed.
        ModelError: it is installed and does not import, torchvision beside another torch say.
    """
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        if problem.name != package:
            raise _unusable(package, problem) from problem
        raise MissingExtraError(
            package,
            expected="the package to be installed",
            got="none",
            fix=f"pip install 'seewhy[{extra}]'",
        ) from problem
    except Exception as problem:
        raise _unusable(package, problem) from problem


def _unusable(name: str, problem: Exception) -> ModelError:
    return ModelError(
        name,
        expected="a package that imports",
        got=complaint(problem),
        fix="install versions of torch, torchvision and it that belong together",
    )


def not_obtained(request: Request, problem: Exception) -> ModelError:
    """Return the error for a model whose library failed to build it or to fetch its weights."""
    wanted = "its pretrained weights, cached or downloaded" if request.pretrained else "a network"
    return ModelError(
        f"model {request.spec}",
        expected=wanted,
        got=complaint(problem),
        fix="connect once to download them, or pass weights=FILE or pretrained=False"
        if request.pretrained
        else "check the model's name and options",
    )
