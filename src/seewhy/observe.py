"""Watch one forward pass of any `nn.Module`, and afterwards be able to say what it computed.

Two observers see the same pass. Below the model a `TorchDispatchMode` sees every ATen operation,
whatever Python spelled it (`nn.Linear`, `F.linear`, `@`, a scripted part); the operations form a
graph of numbered values. Around the model, hooks and a `TorchFunctionMode` note where in the
program each value can be picked up again in a later pass without watching: those are `Site`s.

Nothing is left on the model: the hooks are PyTorch's global ones and go when the pass ends.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Path = tuple[str | int, ...]

_EVEN_KERNEL = "Using padding='same' with even kernel lengths"  # of a copy that it may make


@dataclass(frozen=True)
class Value:
    """A tensor in an operation's arguments, by its number in the trace."""

    number: int


@dataclass(frozen=True, eq=False)
class Operation:
    """One ATen operation; tensors among its arguments are replaced by `Value`s."""

    func: torch._ops.OpOverload
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @functools.cached_property
    def name(self) -> str:
        """The operation's bare name without its in-place mark, such as `relu` or `mean`."""
        return str(self.func.overloadpacket.__name__).rstrip("_")

    def inputs(self) -> list[int]:
        """The numbers of the tensors it reads."""
        return list(self._inputs)

    @functools.cached_property
    def _inputs(self) -> tuple[int, ...]:
        """Looked for once: whoever walks the graph asks for them again and again."""
        found: list[int] = []
        _replace((self.args, dict(self.kwargs)), Value, lambda value: found.append(value.number))
        return tuple(found)


@dataclass(frozen=True)
class Site:
    """A place in the program where a tensor can be picked up during a forward pass.

    Attributes:
        kind: "output" or "input" of a module, or the result of a torch "function".
        owner: the module's qualified name, or the function itself.
        call: which call of that module or function in the pass, from 0.
        path: where the tensor lies in the output, or in the arguments.
    """

    kind: Literal["output", "input", "function"]
    owner: str | Callable[..., Any]
    call: int
    path: Path


@dataclass(eq=False)
class Trace:
    """What one forward pass computed: values numbered in order, each with what produced it."""

    output: Any = None
    tensors: list[Tensor] = field(default_factory=list)
    producers: list[Operation | None] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    from_input: set[int] = field(default_factory=set)
    sites: list[tuple[Site, int]] = field(default_factory=list)
    _passed: dict[Site, int] = field(default_factory=dict)
    _latest: dict[Hashable, int] = field(default_factory=dict)
    _identities: list[Hashable] = field(default_factory=list)

    def number(self, tensor: Tensor) -> int:
        """The number of the value that `tensor` holds now, a new one if it was never seen."""
        known = self._latest.get(_identity(tensor))
        return self.add(tensor, None) if known is None else known

    def add(self, tensor: Tensor, producer: Operation | None, place: int = 0) -> int:
        """Record a new value, number `place` among the results of its producer.

        In-place operations give an old tensor a new number.
        """
        number = len(self.tensors)
        self.tensors.append(tensor)
        self.producers.append(producer)
        self.places.append(place)
        self._identities.append(_identity(tensor))
        self._latest[self._identities[number]] = number
        if producer is not None and not self.from_input.isdisjoint(producer.inputs()):
            self.from_input.add(number)
        return number

    def note(self, site: Site, tensor: Tensor) -> None:
        """Note that a tensor passes a site now."""
        self.sites.append((site, self.number(tensor)))
        self._passed[site] = len(self.tensors)

    def is_used_before(self, number: int, site: Site) -> bool:
        """Whether something was computed from a value before it passed a site.

        A module may return what it went on from: so does a transformer that pools a token itself.
        """
        since = self.producers[number + 1 : self._passed[site]]
        return any(operation and number in operation.inputs() for operation in since)

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of a value."""
        return tuple(self.tensors[number].shape)

    def leading_to(self, number: int) -> set[int]:
        """Every value that this one was computed from."""
        found: set[int] = set()
        waiting = [number]
        while waiting:
            producer = self.producers[waiting.pop()]
            sources = set() if producer is None else set(producer.inputs()) - found
            found |= sources
            waiting += sources
        return found

    def following(self, sources: Iterable[int]) -> set[int]:
        """Every value that was computed from one of these."""
        known, found = set(sources), set()
        for number in range(min(known, default=len(self.tensors)), len(self.tensors)):
            producer = self.producers[number]
            if producer is not None and not known.isdisjoint(producer.inputs()):
                known.add(number)
                found.add(number)
        return found

    def since(self, number: int, count: int) -> Trace:
        """The same, as if the pass had begun with this value, after so many there had been."""
        producers = [None] * count + self.producers[count:]
        later = Trace(self.output, self.tensors, producers, self.places, self.names)
        later.from_input = {number} | later.following({number})
        return later

    def is_final(self, number: int) -> bool:
        """Whether the tensor still held this value when the pass ended."""
        return self._latest[self._identities[number]] == number

    def sites_of(self, number: int) -> list[tuple[Site, bool, bool]]:
        """Where the value can be picked up; whether it must be copied there; whether it is there.

        A tensor that is not overwritten later can be read after the pass from wherever it was
        seen, even from before an in-place operation gave it its final value.
        """
        if not self.is_final(number):
            return [(site, True, True) for site, n in self.sites if n == number]
        same = self._identities
        return [(site, False, n == number) for site, n in self.sites if same[n] == same[number]]


def observe(model: nn.Module, *args: Any, **kwargs: Any) -> Trace:
    """Run `model(*args, **kwargs)` once, without gradients, and record what it computes.

    Whatever the model raises is passed on; neither the model nor its input is touched either way.
    """
    trace = Trace()
    args, kwargs = copied((args, kwargs))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        trace.names[trace.number(tensor)] = name
    for _, tensor in find_tensors((args, kwargs)):
        trace.from_input.add(trace.number(tensor))
    with (
        torch.inference_mode(mode=False),  # inference mode would hide what composite operations do
        torch.no_grad(),
        run_eagerly(),
        _module_sites(model, trace),
        _FunctionSites(trace),
        RecordOperations(trace),
        warnings.catch_warnings(),
    ):
        # PyTorch says so once, to whoever runs such a network first: no user of ours has to hear it
        warnings.filterwarnings("ignore", _EVEN_KERNEL, UserWarning)
        trace.output = model(*args, **kwargs)
    return trace


def find_tensors(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Every tensor in nested tuples, lists, mappings and dataclasses, with its path."""
    if isinstance(tree, Tensor):
        yield path, tree
    else:
        for key, branch in _branches(tree):
            yield from find_tensors(branch, (*path, key))


def copied(tree: Any) -> Any:
    """Nested tuples, lists and dicts with every tensor copied: some models write to their input."""
    with torch.inference_mode(mode=False), torch.no_grad():
        if isinstance(tree, Tensor):
            return tree.detach().clone()
        if type(tree) in (tuple, list):
            return type(tree)(copied(branch) for branch in tree)
        if type(tree) is dict:
            return {key: copied(branch) for key, branch in tree.items()}
    return tree


def follow(tree: Any, path: Path) -> Any:
    """What lies at `path` in a tree: the inverse of `find_tensors`."""
    for key in path:
        is_field = dataclasses.is_dataclass(tree) and not isinstance(tree, Mapping)
        tree = getattr(tree, str(key)) if is_field else tree[key]
    return tree


def replaced_at(tree: Any, path: Path, by: Any) -> Any:
    """The tree with something else at `path`; what leads there is copied, not changed."""
    if not path:
        return by
    key, *rest = path
    branch = replaced_at(follow(tree, (key,)), tuple(rest), by)
    if isinstance(tree, tuple):
        branches = [branch if at == key else old for at, old in enumerate(tree)]
        return tree._make(branches) if hasattr(tree, "_make") else type(tree)(branches)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, Mapping):
        return dataclasses.replace(tree, **{str(key): branch})  # type: ignore[type-var]
    copied_tree = copy.copy(tree)
    copied_tree[key] = branch
    return copied_tree


def run_eagerly() -> contextlib.AbstractContextManager[object]:
    """Run what is compiled as it was written; asking whether anything can be costs next to nothing.

    `torch.compile` brings torch._dynamo in: where it was never imported, nothing is compiled.
    """
    is_possible = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if is_possible else contextlib.nullcontext()


def in_eval_mode(model: nn.Module) -> contextlib.AbstractContextManager[object]:
    """Switch the model to evaluation, and every module back to what it was afterwards."""
    training = _in_training(model)
    return _evaluating(training) if training else contextlib.nullcontext()


@contextlib.contextmanager
def _evaluating(training: Sequence[nn.Module]) -> Iterator[None]:
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


def _in_training(model: nn.Module) -> list[nn.Module]:
    """The modules in training mode, some more than once.

    Every batch asks, and `modules()` takes several times as long: each module is touched once.
    """
    every: list[nn.Module | None] = [model]
    entered: set[nn.Module] = set()
    training = []
    for module in every:
        if module is None:
            continue
        if module.training:
            training.append(module)
        children = module._modules  # noqa: SLF001
        if children and module not in entered:
            entered.add(module)
            every.extend(children.values())
    return training


def submodule(model: nn.Module, name: str) -> nn.Module:
    """The module of that name, past the slow way around that attributes take."""
    module: Any = model
    try:
        for part in name.split(".") if name else ():
            module = module._modules[part]  # noqa: SLF001
    except KeyError:
        return model.get_submodule(name)  # which says what is missing
    found: nn.Module = module
    return found


class RecordOperations(TorchDispatchMode):
    """Records every ATen operation into a trace."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        def numbered(tree: Any) -> Any:
            return _replace(tree, Tensor, lambda tensor: Value(self.trace.number(tensor)))

        operation = Operation(func, numbered(args), numbered(dict(kwargs or {})))
        result = func(*args, **(kwargs or {}))
        for place, (_, tensor) in enumerate(find_tensors(result)):
            self.trace.add(tensor, operation, place)
        return result


class _FunctionSites(TorchFunctionMode):
    """Notes which call of which torch function returned which value."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace
        self.calls: Counter[Any] = Counter()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            site = Site("function", func, self.calls[func], ())
            self.calls[func] += 1
            self.trace.note(site, result)
        return result


@contextlib.contextmanager
def _module_sites(model: nn.Module, trace: Trace) -> Iterator[None]:
    """Note the values that go into and come out of each of the model's modules, in this thread."""
    thread = threading.get_ident()
    names = {module: name for name, module in model.named_modules()}
    calls: Counter[str] = Counter()

    def note(kind: Literal["input", "output"], module: nn.Module, tree: Any) -> None:
        name = names.get(module)
        if name is None or threading.get_ident() != thread:
            return
        for path, tensor in find_tensors(tree):
            trace.note(Site(kind, name, calls[name], path), tensor)
        calls[name] += kind == "output"

    def before(module: nn.Module, args: Any) -> None:
        note("input", module, args)

    def after(module: nn.Module, _args: Any, output: Any) -> None:
        note("output", module, output)

    hooks = [register_module_forward_pre_hook(before), register_module_forward_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _branches(tree: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(tree, Mapping):
        yield from tree.items()
    elif isinstance(tree, (tuple, list)):
        yield from enumerate(tree)
    elif dataclasses.is_dataclass(tree):
        yield from ((f.name, getattr(tree, f.name)) for f in dataclasses.fields(tree))


def _replace(tree: Any, kind: type, by: Callable[[Any], Any]) -> Any:
    """The tree of tuples, lists and dicts, with every instance of `kind` replaced."""
    if isinstance(tree, kind):
        return by(tree)
    if isinstance(tree, Mapping):
        return {key: _replace(branch, kind, by) for key, branch in tree.items()}
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return tuple(_replace(branch, kind, by) for branch in tree)
    return tree


def substitute(tree: Any, by: Callable[[Value], Any]) -> Any:
    """An operation's arguments with every `Value` replaced."""
    return _replace(tree, Value, by)


def _identity(tensor: Tensor) -> Hashable:
    """What makes two tensor objects the same tensor: memory, and the way it is read.

    PyTorch may hand on a view under a new Python object, so `id` would lose it. The trace keeps
    every tensor alive, so that no memory is used twice.
    """
    if tensor.layout != torch.strided or tensor.numel() == 0:
        return id(tensor)
    memory = tensor.untyped_storage().data_ptr(), tensor.storage_offset()
    return (*memory, tuple(tensor.shape), tensor.stride(), tensor.dtype)
