"""A graph with its names looked up: who makes a tensor, what is constant, and its value."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seewhy.errors import GraftError
from seewhy.graft.opening import Opened, import_onnx, opset
from seewhy.wording import complaint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import onnx

Array = NDArray[Any]


class Graph:
    """What a model's graph says, by name. It is read, never written."""

    def __init__(self, opened: Opened) -> None:
        self.name = opened.name
        self.model = opened.model
        self.folder: Path | None = opened.folder
        self.opset = opset(opened.model)
        graph = opened.model.graph
        self.nodes = list(graph.node)
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [each for each in graph.input if each.name not in self.initializers]
        self.producers = {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def varying(self) -> set[str]:
        """The names of the tensors that may differ from run to run."""
        varying = {value.name for value in self.inputs}
        for node in self.nodes:
            if _is_restless(node) or not varying.isdisjoint(node.input):
                varying.update(node.output)
        varying.discard("")
        return varying

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is the same in every run."""
        return (name in self.initializers or name in self.producers) and name not in self.varying

    def value(self, name: str) -> Array:
        """Return the value of a constant tensor.

        Raises:
            GraftError: it cannot be evaluated.
        """
        onnx = import_onnx()
        try:
            if name in self.initializers:
                folder = str(self.folder) if self.folder else ""
                return np.asarray(onnx.numpy_helper.to_array(self.initializers[name], folder))
            return self._evaluated(name)
        except Exception as problem:
            raise GraftError(
                self.name,
                expected=f"a constant {name} that can be read",
                got=complaint(problem),
                fix="export it again",
            ) from problem

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a constant tensor, without its data where the file tells it."""
        tensor = self.initializers.get(name)
        return self.value(name).shape if tensor is None else tuple(tensor.dims)

    def part(self, outputs: Iterable[str], inputs: Iterable[str]) -> bytes:
        """Return the part of the graph between some tensors as a model of its own.

        The graph's own inputs stay inputs where they are needed. Its outputs carry no types;
        ONNX Runtime takes it so.
        """
        onnx = import_onnx()
        cut, wanted = set(inputs), list(outputs)
        nodes = self._needed(wanted, cut)
        used = {name for node in nodes for name in node.input} | set(wanted)
        given = [each for each in self.inputs if each.name in used and each.name not in cut]
        graph = onnx.helper.make_graph(
            nodes,
            "part",
            given,
            [onnx.ValueInfoProto(name=name) for name in wanted],
            [tensor for name, tensor in self.initializers.items() if name in used - cut],
        )
        model = onnx.helper.make_model(graph, opset_imports=self.model.opset_import)
        model.ir_version = max(self.model.ir_version, 4)  # before 4, initializers were inputs too
        return bytes(model.SerializeToString())

    def _needed(self, outputs: Collection[str], cut: Collection[str]) -> list[onnx.NodeProto]:
        needed = set(outputs)
        kept = []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(set(node.output) - set(cut) - {""}):
                kept.append(node)
                needed.update(_reads(node))
        return kept[::-1]

    def _evaluated(self, name: str) -> Array:
        from seewhy.graft.running import Runner

        return Runner(self.part([name], []), self.folder)({}, [name])[0]


def names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield every name in a graph and in those inside its nodes."""
    for values in (graph.input, graph.output, graph.initializer, graph.value_info):
        yield from (value.name for value in values)
    for node in graph.node:
        yield node.name
        yield from (*node.input, *node.output)
        for inner in _inner(node):
            yield from names(inner)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, also inside the graphs that it holds."""
    yield from node.input
    for inner in _inner(node):
        yield from (name for each in inner.node for name in _reads(each))


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _is_restless(node: onnx.NodeProto) -> bool:
    random = node.op_type.startswith("Random") or node.op_type in ("Multinomial", "Bernoulli")
    return random or any(True for _ in _inner(node))
