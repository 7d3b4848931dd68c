"""What surrounds attention in a forward pass: the modules it is in, and convolutions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def modules_entered(network: nn.Module) -> Iterator[list[str]]:
    """The names of the modules that a forward pass is in at the moment, outermost first.

    The hooks are PyTorch's global ones and go when the context ends.
    """
    names = {module: name for name, module in network.named_modules()}
    entered: list[str] = []

    def enter(module: nn.Module, _args: Any) -> None:
        if module in names:
            entered.append(names[module])

    def leave(module: nn.Module, _args: Any, _output: Any) -> None:
        if module in names:
            entered.pop()

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield entered
    finally:
        for hook in hooks:
            hook.remove()


class SeeConvolutions(TorchFunctionMode):
    """Notes the shapes of what convolutions give, and whether any comes after attention began.

    Convolutions of one position, which are dense layers, do not count as coming after it.
    """

    def __init__(self, has_begun: Callable[[], bool]) -> None:
        super().__init__()
        self.has_begun = has_begun
        self.before_attention: list[torch.Size] = []
        self.among_attention = False

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _CONVOLUTIONS:
            weight = args[1] if len(args) > 1 else (kwargs or {})["weight"]
            self._note(result, weight)
        return result

    def _note(self, result: Tensor, weight: Tensor) -> None:
        if not self.has_begun():
            self.before_attention.append(result.shape)
        elif weight[0, 0].numel() > 1:
            self.among_attention = True


_CONVOLUTIONS = {F.conv1d, F.conv2d, F.conv3d}
