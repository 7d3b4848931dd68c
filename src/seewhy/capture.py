"""Pick tensors up in the middle of a forward pass, at the sites that `observe` found."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seewhy.observe import Site, follow, submodule


@dataclass(frozen=True)
class Tap:
    """Where a tensor is picked up, and whether it must be copied there.

    A copy is needed where the model overwrites the tensor later in the same pass.
    """

    site: Site
    copy: bool = False

    def keep(self, kept: list[Tensor], tree: Any) -> None:
        """Append the tensor to `kept`."""
        tensor = follow(tree, self.site.path)
        kept.append(tensor.clone() if self.copy else tensor)


# Is given what passes a site, a tree of tensors; what it returns goes on in its stead, unless None.
Handler = Callable[[Any], Any]


def capture(model: nn.Module, taps: Sequence[Tap]) -> Interception[list[list[Tensor]]]:
    """Within the context, a call of `model` leaves each tap's tensor in its list.

    The lists stay empty where the pass did not come by the site. Hooks are removed at the end,
    whatever happens in between.
    """
    kept: list[list[Tensor]] = [[] for _ in taps]
    keepers = [functools.partial(tap.keep, into) for tap, into in zip(taps, kept, strict=True)]
    return Interception(model, [tap.site for tap in taps], keepers, kept)


def intercept(
    model: nn.Module, sites: Sequence[Site], handlers: Sequence[Handler]
) -> Interception[None]:
    """Within the context, a call of `model` shows each handler what passes its site.

    Hooks are removed at the end, whatever happens in between.
    """
    return Interception(model, sites, handlers, None)


Given = TypeVar("Given")


class Interception(Generic[Given]):
    """The context of `capture` and `intercept`, which gives what it is told to.

    Every batch goes through it: written out, it costs less than an `ExitStack` of generators.
    """

    def __init__(
        self, model: nn.Module, sites: Sequence[Site], handlers: Sequence[Handler], given: Given
    ) -> None:
        self._model, self._given = model, given
        self._handlers = tuple(zip(sites, handlers, strict=True))
        self._placed: list[AbstractContextManager[object]] = []

    def __enter__(self) -> Given:
        try:
            for site, handler in self._handlers:
                self._placed.append(_place(self._model, site, handler))
        except BaseException:
            self.__exit__()
            raise
        return self._given

    def __exit__(self, *_: object) -> None:
        while self._placed:
            self._placed.pop().__exit__(None, None, None)


def _place(model: nn.Module, site: Site, handler: Handler) -> AbstractContextManager[object]:
    """Have a handler called from now on; leaving what is returned ends that."""
    if callable(site.owner):
        tap = FunctionTap(site, handler)
        tap.__enter__()  # type: ignore[no-untyped-call]
        return tap
    hook: AbstractContextManager[object] = _hook(submodule(model, site.owner), site, handler)
    return hook


class FunctionTap(TorchFunctionMode):
    """Hands the result of one call of one torch function to a handler."""

    def __init__(self, site: Site, handler: Handler) -> None:
        super().__init__()
        self.func, self.call, self.handler = site.owner, site.call, handler
        self.calls = 0

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is self.func and isinstance(result, Tensor):
            is_it = self.calls == self.call
            self.calls += 1
            replaced = self.handler(result) if is_it else None
            return result if replaced is None else replaced
        return result


def _hook(module: nn.Module, site: Site, handler: Handler) -> Any:
    """Hand what goes into or comes out of call number `site.call` of the module to `handler`.

    Calls by other threads, which may use the same module at the same time, do not count.
    """
    calls, thread = 0, threading.get_ident()

    def counted(tree: Any) -> Any:
        nonlocal calls
        if threading.get_ident() != thread:
            return None
        calls += 1
        return handler(tree) if calls == site.call + 1 else None

    if site.kind == "input":
        return module.register_forward_pre_hook(lambda _module, args: counted(args))
    return module.register_forward_hook(lambda _module, _args, output: counted(output))
