"""Cut a network where a value is made: a trunk that computes the value, and nothing after it.

`torch.fx` traces the forward pass, but only through those modules that have to be opened for the
cut to lie between two of their parts. All others stay whole: they run their own code, with control
flow of their own, and follow `train()` and `eval()`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from seewhy.heads.pooling import SILENT
from seewhy.heads.refusals import Refusal
from seewhy.models.last_maps import POOLINGS, LastMaps
from seewhy.observe import RecordOperations, Trace, copied
from seewhy.wording import complaint

_NETWORK, _FLAG = "network.", "is_training"
_FIX = (
    "make the layers up to the feature maps a module of their own, called in forward, with the"
    " last poolings behind it or keep_grid=False"
)


def cut(network: nn.Module, example: Tensor, trace: Trace, maps: LastMaps) -> fx.GraphModule:
    """The part of a network that leads to its last feature maps, sharing its modules.

    Args:
        network: in evaluation mode.
        example: the input that it was observed with.
        trace: what was observed.
        maps: where to cut, and which poolings to leave out.

    Raises:
        Refusal: the way to the maps cannot be traced.
    """
    caller = _Caller(network)
    opened = {network}
    while True:
        traced = _traced(caller, opened, example)
        node, closed = traced.node_of(traced.like(maps.number, trace))
        numbers = [traced.like(number, trace) for number in maps.left_out]
        skipped = [traced.pooling_of(number) for number in numbers]
        to_open = {*closed, *(module for _, modules in skipped for module in modules)}
        if not to_open:
            break
        opened |= to_open
    _require_one_way(caller, opened, traced, node)
    graph = _without_rest(traced, node, {node for node, _ in skipped})
    return fx.GraphModule(_parts(caller, graph), graph, class_name="Trunk")


class IsTraining(nn.Module):
    """Tells the parts of a trunk whether it is in training mode."""

    def forward(self) -> bool:
        """Whether `train()` was called last, and not `eval()`."""
        return self.training


class _Caller(nn.Module):
    """Calls a network, so that its own hooks are a part of what is traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.is_training = IsTraining().eval()

    def forward(self, x: Tensor) -> Any:
        return self.network(x)


class _Tracer(fx.Tracer):
    """Goes into opened modules only. Their `training` becomes a part of the graph.

    Attributes:
        in_training: what `if self.training` is told.
        was_asked: whether the forward pass asked.
    """

    def __init__(self, opened: Iterable[nn.Module], *, in_training: bool = False) -> None:
        super().__init__()
        self.opened = set(opened)
        self.in_training, self.was_asked = in_training, False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return m not in self.opened

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        if m not in self.opened:
            return super().call_module(m, forward, args, kwargs)
        training = m.training
        m.training = self.create_proxy("call_module", _FLAG, (), {})  # type: ignore[assignment]
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            m.training = training

    def to_bool(self, obj: fx.Proxy) -> bool:
        if obj.node.target != _FLAG:
            return super().to_bool(obj)
        self.was_asked = True
        return self.in_training

    def as_far_as_possible(self, root: nn.Module) -> Exception | None:
        """Trace into `self.graph`, and return what stopped it: that may lie behind the cut."""
        try:
            self.trace(root)
        except Exception as problem:  # whatever a forward pass does to what is no tensor
            return problem
        return None


class _Watched(fx.Interpreter):
    """Runs a graph and notes which values each of its nodes made.

    Attributes:
        made: the values that were made while a node ran.
        results: the value that it gave.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph, trace: Trace) -> None:
        super().__init__(root, garbage_collect_values=False, graph=graph)
        self.trace = trace
        self.made: dict[fx.Node, range] = {}
        self.results: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        start = len(self.trace.tensors)
        result = super().run_node(n)
        self.made[n] = range(start, len(self.trace.tensors))
        if isinstance(result, Tensor):
            self.results[n] = self.trace.number(result)
        return result


@dataclass(frozen=True)
class _Traced:
    """A graph of the network, as far as it could be traced, and what it computed.

    Attributes:
        root: what the graph's nodes refer to.
        nodes: the nodes in order.
        made: the values that each node made.
        results: the value that each node gave.
        trace: the values.
        was_asked: whether control flow depends on the training mode.
        problem: why it could be traced no further.
    """

    root: nn.Module
    nodes: list[fx.Node]
    made: Mapping[fx.Node, range]
    results: Mapping[fx.Node, int]
    trace: Trace
    was_asked: bool
    problem: Exception | None

    def like(self, number: int, original: Trace) -> int:
        """The number here of a value of the original pass: the one made from the input as late."""
        place = sorted(original.from_input).index(number)
        here = sorted(self.trace.from_input)
        if place >= len(here):
            raise _untraceable(self.problem)
        found = here[place]
        is_same = self.trace.shape(found) == original.shape(number) and (
            not self.trace.is_final(found)
            or not original.is_final(number)
            or torch.allclose(
                self.trace.tensors[found], original.tensors[number], 1e-3, equal_nan=True
            )
        )
        if not is_same:
            raise _untraceable(self.problem)
        return found

    def node_of(self, number: int) -> tuple[fx.Node, list[nn.Module]]:
        """The node that made a value; the module to open if that is not what the node gives."""
        node = next(node for node in self.nodes if number in self.made[node])
        return node, [] if self.results.get(node) == number else [self._module(node)]

    def pooling_of(self, number: int) -> tuple[fx.Node, list[nn.Module]]:
        """The node that pools; the module to open if the node does more than that."""
        node = next(node for node in self.nodes if number in self.made[node])
        return node, [] if self._names(node) <= POOLINGS | SILENT else [self._module(node)]

    def writes(self, node: fx.Node) -> bool:
        """Whether a node changes tensors in place."""
        operations = [self.trace.producers[number] for number in self.made[node]]
        return any(op is not None and op.func._schema.is_mutable for op in operations)  # noqa: SLF001

    def _names(self, node: fx.Node) -> set[str]:
        operations = [self.trace.producers[number] for number in self.made[node]]
        return {operation.name for operation in operations if operation is not None}

    def _module(self, node: fx.Node) -> nn.Module:
        module = self.root.get_submodule(str(node.target)) if node.op == "call_module" else None
        if module is None or isinstance(module, torch.jit.ScriptModule):
            name = str(node.target).removeprefix(_NETWORK) if module else node.name
            raise Refusal(
                f"makes its last feature maps in the middle of {name}, which cannot be opened",
                _FIX,
            )
        return module


def _traced(root: nn.Module, opened: set[nn.Module], example: Tensor) -> _Traced:
    tracer = _Tracer(opened)
    problem = tracer.as_far_as_possible(root)
    nodes = [node for node in tracer.graph.nodes if node.op != "output"]
    if problem is not None:
        tracer.graph.output(nodes[-1])
    trace = Trace()
    (example,) = copied((example,))
    trace.from_input.add(trace.number(example))
    watched = _Watched(root, tracer.graph, trace)
    with torch.no_grad(), RecordOperations(trace):
        watched.run(example)
    return _Traced(root, nodes, watched.made, watched.results, trace, tracer.was_asked, problem)


def _untraceable(problem: Exception | None) -> Refusal:
    said = f" ({complaint(problem)})" if problem else ""
    return Refusal(
        f"comes to its last feature maps in a way that torch.fx cannot trace{said}",
        _FIX,
    )


def _require_one_way(
    caller: nn.Module, opened: set[nn.Module], traced: _Traced, node: fx.Node
) -> None:
    """Refuse a network that comes to its feature maps in another way while it trains."""
    if not traced.was_asked:
        return
    tracer = _Tracer(opened, in_training=True)
    tracer.as_far_as_possible(caller)
    numbers: dict[object, int] = {}
    evaluating = _numbered(traced.nodes, numbers)
    training = _numbered(tracer.graph.nodes, numbers)
    if evaluating[node] not in training.values():
        raise Refusal(
            "computes its feature maps in another way while it trains (if self.training)",
            "make that part a module of its own, and call it in forward",
        )


def _numbered(nodes: Iterable[fx.Node], numbers: dict[object, int]) -> dict[fx.Node, int]:
    """Give nodes that compute the same the same number."""
    found: dict[fx.Node, int] = {}
    for node in nodes:
        args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), lambda n: found[n])
        key = (node.op, str(node.target), str(args), str(kwargs))
        found[node] = numbers.setdefault(key, len(numbers))
    return found


def _without_rest(traced: _Traced, last: fx.Node, skipped: set[fx.Node]) -> fx.Graph:
    """The graph up to a node, without what the node does not need, and without skipped nodes."""
    before = traced.nodes[: traced.nodes.index(last) + 1]
    needed = {last}
    for node in reversed(before):
        if node in needed or node.op == "placeholder" or traced.writes(node):
            needed |= {node, *node.all_input_nodes}
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in before:
        if node in skipped:
            copies[node] = copies[node.all_input_nodes[0]]
        elif node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            copies[node].type = None  # an annotation that is a string could not be pickled
    graph.output(copies[last])
    return graph


def _parts(caller: nn.Module, graph: fx.Graph) -> dict[str, Any]:
    """What the graph's nodes refer to, under the names that the network has for it."""
    parts: dict[str, Any] = {}
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            part = functools.reduce(getattr, str(node.target).split("."), caller)
            node.target = str(node.target).removeprefix(_NETWORK)
            parts[node.target] = part
    return parts
