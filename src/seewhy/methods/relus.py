"""Change what ReLUs pass back, without touching the model: on the graph of one forward pass.

Every ReLU that took part in a forward pass has left a node in autograd's graph, and a hook on that
node changes what it passes back. So it does not matter whether one module was used many times,
whether ReLUs work in place, are plain functions, or clamp at six; nothing is set on any module,
and the hooks go with the graph.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seewhy.errors import ModelError

# From what an ordinary backward step would pass on, and the signal that came to it, to what is
# passed on instead.
Rule = Callable[[Tensor, Tensor], Tensor]


def change_relus(rule: Rule, output: Tensor) -> None:
    """Let every ReLU that led to `output` pass back what `rule` says.

    ReLU, ReLU6 and clamping at zero count as ReLUs; SiLU, GELU, leaky ReLU and the like do not,
    and keep their ordinary derivative.

    Raises:
        ModelError: there are none.
    """
    relus = [node for node in _nodes(output) if _is_relu(node)]
    if not relus:
        raise ModelError(
            "model",
            expected="a network with ReLUs, whose backward pass this method changes",
            got="one without",
            fix="choose another method, such as gradient",
        )
    for node in relus:
        node.register_hook(functools.partial(_apply, rule))


def _apply(
    rule: Rule, ordinary: tuple[Tensor | None, ...], signal: tuple[Tensor | None, ...]
) -> tuple[Tensor, ...] | None:
    if ordinary[0] is None or signal[0] is None:
        return None
    return (rule(ordinary[0], signal[0]),)


def _nodes(output: Tensor) -> Iterator[Node]:
    """Every node of the graph that `output` came from."""
    waiting = [output.grad_fn]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        yield node
        before = [source for source, _ in node.next_functions if source not in seen]
        seen.update(before)
        waiting += before


# What the node of a ReLU is called, and where it keeps the value that it cuts off at.
_THRESHOLDS = {
    "ReluBackward": None,
    "HardtanhBackward": "_saved_min_val",  # ReLU6 is a hardtanh from 0 to 6
    "ThresholdBackward": "_saved_threshold",
    "ClampBackward": "_saved_min",
    "ClampMinBackward": "_saved_min",
}


def _is_relu(node: Node) -> bool:
    kind = node.name().rstrip("0123456789")
    where = _THRESHOLDS.get(kind)
    return kind in _THRESHOLDS and (where is None or _is_zero(getattr(node, where, None)))


def _is_zero(threshold: object) -> bool:
    return isinstance(threshold, (int, float)) and threshold == 0


class NoReluHidden(TorchFunctionMode):
    """Within, the graph shows every ReLU.

    A ReLU that works in place on a view of another tensor (on flattened features, say) would be
    wrapped up in a node that does not show it. It is computed beside, then copied in.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        beside = _beside(func, args, kwargs or {})
        if beside is not None and args[0]._is_view():  # noqa: SLF001  (nothing public tells)
            return args[0].copy_(beside(args[0].clone()))
        return func(*args, **(kwargs or {}))


def _beside(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Callable[[Tensor], Tensor] | None:
    """What a ReLU in place makes of its input, as a function; None for every other call."""
    if func in _IN_PLACE and args:
        return lambda x: _IN_PLACE[func](x, *args[1:], **kwargs)
    if func in _MAYBE_IN_PLACE and args:
        given = inspect.signature(func).bind(*args, **kwargs)
        if given.arguments.pop("inplace", False):
            return lambda x: func(x, *given.args[1:], **given.kwargs)
    return None


_MAYBE_IN_PLACE = {F.relu, F.relu6, F.hardtanh, F.threshold}
_IN_PLACE: dict[Any, Callable[..., Tensor]] = {
    torch.relu_: torch.relu,
    Tensor.relu_: torch.relu,
    F.hardtanh_: F.hardtanh,
    torch.threshold_: torch.threshold,
    torch.clamp_: torch.clamp,
    Tensor.clamp_: torch.clamp,
    torch.clip_: torch.clamp,
    Tensor.clip_: torch.clamp,
    torch.clamp_min_: torch.clamp_min,
    Tensor.clamp_min_: torch.clamp_min,
}
