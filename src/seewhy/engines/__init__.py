"""What runs the network: PyTorch, its compiler, ONNX Runtime, OpenVINO, MNN. One file an engine.

engine = make_engine(model, head, "openvino", precision="bfloat16", threads=2)
seen = engine(batch)          # logits and feature maps, from which the maps are made
seewhy.explain(model, batch, engine=engine)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seewhy.engines.choose import Choice, Trial, choose
from seewhy.engines.engine import PRECISIONS, TOLERANCES, Engine, Order, Precision
from seewhy.errors import InputError
from seewhy.heads import Head, unwrap
from seewhy.wording import near_or

if TYPE_CHECKING:
    from seewhy.models import Classifier

__all__ = [
    "AUTO",
    "ENGINES",
    "PRECISIONS",
    "TOLERANCES",
    "Choice",
    "Engine",
    "Order",
    "Precision",
    "Trial",
    "choose",
    "make_engine",
    "make_order",
    "require_known",
]


def _maker(module: str, name: str) -> Callable[[Order], Engine]:
    """The maker of an engine whose file is read when it is first wanted."""

    def make(order: Order) -> Engine:
        engine: Engine = getattr(importlib.import_module(f"seewhy.engines.{module}"), name)(order)
        return engine

    return make


ENGINES: Mapping[str, Callable[[Order], Engine]] = {
    "torch": _maker("torch_eager", "TorchEngine"),
    "compile": _maker("compiled", "Compiled"),
    "onnx": _maker("onnx_runtime", "OnnxRuntime"),
    "openvino": _maker("openvino", "OpenVino"),
    "mnn": _maker("mnn", "Mnn"),
}
AUTO = "auto"


def make_engine(
    model: nn.Module | Classifier,
    head: Head,
    name: str = "torch",
    *,
    precision: Precision = "float32",
    threads: int | None = None,
    batch: int | None = None,
    example: Tensor | None = None,
    note: Callable[[str], object] = lambda _line: None,
) -> Engine:
    """Make what runs a network; it keeps the weights that the network has now.

    Args:
        model: what `load_model` gives, or an `nn.Module`.
        head: its head, see `find_head`.
        name: one of `ENGINES`, or "auto" for the fastest on the example whose maps add up.
        precision: what the network computes with; never chosen silently.
        threads: how many threads; by default as many as PyTorch uses.
        batch: how many pictures will mostly come together; by default as in the example.
        example: prepared pictures like those to come (B, channel, *size). Engines other than
            "torch" take this size only, and "int8" is calibrated on them: take a hundred.
        note: is told, a line each, how the engines did that "auto" chose from.

    Raises:
        InputError: there is no such engine, or it has no such precision; or an example is needed.
        ModelError: the network cannot be taken there.
        MissingExtraError: the engine's library is not installed.
    """
    require_known(name)
    order = make_order(model, head, precision, threads, batch, example)
    if name != AUTO:
        return ENGINES[name](order)
    choice = choose(order, ENGINES)
    for trial in choice.trials:
        note(str(trial))
    return choice.engine


def require_known(name: str) -> None:
    """See that there is an engine of that name.

    Raises:
        InputError: there is none.
    """
    names = (*ENGINES, AUTO)
    if name not in names:
        raise InputError(
            "engine",
            expected=f"one of {', '.join(names)}",
            got=repr(name),
            fix=near_or(name, names, "choose one of these"),
        )


def make_order(
    model: nn.Module | Classifier,
    head: Head,
    precision: Precision = "float32",
    threads: int | None = None,
    batch: int | None = None,
    example: Tensor | None = None,
) -> Order:
    """Put together what is wanted; see `make_engine`.

    Raises:
        InputError: it makes no sense.
    """
    if precision not in PRECISIONS:
        raise InputError(
            "precision",
            expected=f"one of {', '.join(PRECISIONS)}",
            got=repr(precision),
            fix=near_or(str(precision), PRECISIONS, "choose one of these"),
        )
    for what, count in {"threads": threads, "batch": batch}.items():
        if count is not None and count < 1:
            raise InputError(what, expected="1 or more", got=str(count), fix="leave it out")
    if example is None:
        example = _example(model, precision, batch)
    network = model if isinstance(model, nn.Module) else model.module
    threads = threads or torch.get_num_threads()
    return Order(unwrap(network), head, precision, threads, batch or len(example), example)


def _example(model: nn.Module | Classifier, precision: Precision, batch: int | None) -> Tensor:
    if precision == "int8":
        raise InputError(
            "example",
            expected="prepared pictures to calibrate int8 on",
            got="none",
            fix="pass example=, about a hundred pictures like those to come",
        )
    if isinstance(model, nn.Module):
        raise InputError(
            "example",
            expected="prepared pictures like those to come",
            got="none, for a bare module",
            fix="pass example=, a batch (B, channel, height, width)",
        )
    return model.example(batch or 2)
