"""Walk back from an output to the pooled features; on the way, what each node does becomes a step.

First by names alone, to know which tensors to look at; then, with their shapes from a run, by the
rules. A node that has no rule ends the walk with its name as the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seewhy.graft.graph import Graph
from seewhy.graft.head import OnnxHead
from seewhy.graft.rules import RULES, Reader, Refusal, attribute, axes, data_input
from seewhy.graft.steps import Step, fold

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
PROBABILITIES = ("Softmax", "LogSoftmax", "Sigmoid")
POOLING = ("GlobalAveragePool", "ReduceMean", "ReduceSum", "AveragePool")
_REASONS = {
    **dict.fromkeys(("GlobalMaxPool", "ReduceMax", "MaxPool"), "max pooling"),
    **dict.fromkeys(("GlobalLpPool", "LpPool", "ReduceL2"), "pooling by a norm"),
    **dict.fromkeys(("Slice", "Split"), "one token of several, as class tokens are"),
    **dict.fromkeys(("If", "Loop", "Scan"), "a branch or loop"),
    **dict.fromkeys(
        ("Relu", "LeakyRelu", "Clip", "HardSwish", "HardSigmoid", "Gelu", "Erf", "Tanh", "Elu",
         "Selu", "PRelu", "Mish", "Swish", "Softplus", "Softmax", "Sigmoid"),
        "an activation between pooling and logits",
    ),
}  # fmt: skip
_LONGEST = 64  # nodes


@dataclass(frozen=True)
class Trail:
    """A way back from an output, by names.

    Attributes:
        output: where it starts.
        logits: the last tensor before probabilities.
        nodes: from the one that makes the logits backwards.
    """

    output: str
    logits: str
    nodes: tuple[onnx.NodeProto, ...]

    @property
    def tensors(self) -> list[str]:
        """The tensors on it that can be looked at in a run."""
        return [self.logits, *(name for node in self.nodes for name in _data(node))]


@dataclass(frozen=True)
class Pooling:
    """Where the grid ends.

    Attributes:
        operator: its name.
        features: the tensor that is pooled, or the one with a grid that it is a form of.
        spatial: the axes of `features` that are pooled.
        channel: its axis of channels.
        is_sum: whether it sums.
    """

    operator: str
    features: str
    spatial: tuple[int, ...]
    channel: int
    is_sum: bool


def trail(graph: Graph, output: str) -> Trail:
    """Follow the data back from an output, as far as rules or pooling may lead."""
    logits = _before_probabilities(graph, output)
    return Trail(output, logits, tuple(_back(graph, logits)))


def read(reader: Reader, way: Trail) -> OnnxHead:
    """Read a head off the tensors that a run showed.

    Raises:
        Refusal: there is none.
    """
    classes = reader.channels(way.logits)
    if not np.issubdtype(reader.tensors[way.logits].dtype, np.floating):
        raise Refusal(f"no logits but {reader.tensors[way.logits].dtype.name}")
    steps: list[Step] = []
    path: list[str] = []
    for node in way.nodes:
        pooling = _pooling(reader, node)
        if pooling is not None:
            return _head(reader, way, steps, (pooling, [node.op_type, *path[::-1]]), classes)
        steps.extend(_steps(reader, node))
        path.append(node.op_type)
    raise Refusal("no pooling between the logits and the input")


def _head(
    reader: Reader,
    way: Trail,
    steps: Sequence[Step],
    found: tuple[Pooling, list[str]],
    classes: int,
) -> OnnxHead:
    pooling, path = found
    shape = reader.shape(pooling.features)
    grid = tuple(shape[axis] for axis in pooling.spatial)
    if np.prod(grid) < 2:
        raise Refusal("features on a grid of one position, so that a map tells nothing")
    folded = fold(reader.graph, steps, classes)
    if isinstance(folded, str):
        raise Refusal(folded)
    channels = shape[pooling.channel]
    expected = classes if folded.matrix is None else folded.matrix.channels
    if channels != expected:
        raise Refusal(f"{channels} channels of features where its linear layer takes {expected}")
    return OnnxHead(
        kind="normalised" if folded.norm else "linear" if folded.matrix else "class-maps",
        output=way.output,
        logits=way.logits,
        features=pooling.features,
        spatial=pooling.spatial,
        channel=pooling.channel,
        grid=grid,
        channels=channels,
        num_classes=classes,
        pooling=pooling.operator,
        is_sum=pooling.is_sum,
        path=tuple(path),
        precision=_precision(reader.tensors, way, path),
        tail=folded,
        graph=reader.graph,
    )


def _before_probabilities(graph: Graph, output: str) -> str:
    """Return the tensor in front of the last softmax or sigmoid on the way, if there is one."""
    logits = name = output
    seen = 0
    while (node := graph.producers.get(name)) is not None and seen < _LONGEST:
        if node.op_type in PROBABILITIES:
            logits = node.input[0]
        elif node.op_type not in ("Identity", "Cast", "Flatten", "Reshape", "Squeeze"):
            break
        name, seen = node.input[0], seen + 1
    return logits


def _back(graph: Graph, name: str) -> Iterator[onnx.NodeProto]:
    for _ in range(_LONGEST):
        node = graph.producers.get(name)
        if node is None:
            return
        yield node
        data = data_input(graph, node)
        if data is None or (node.op_type not in RULES and node.op_type not in POOLING):
            return
        name = data


def _data(node: onnx.NodeProto) -> list[str]:
    """The tensors that a rule may ask a shape of: those that carry data in and out."""
    known = node.op_type in RULES or node.op_type in POOLING
    count = 2 if node.op_type in ("Add", "Sub", "Mul", "Div", "MatMul") else 1
    return [*(name for name in node.input[:count] if known), node.output[0]]


def _steps(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if rule is None:
        reason = _REASONS.get(node.op_type, "an operator that no rule is for")
        raise Refusal(f"{reason}: {node.op_type} {node.output[0]}")
    return rule(reader, node)


def _pooling(reader: Reader, node: onnx.NodeProto) -> Pooling | None:
    """Return what a node pools, or None where it is none that pools."""
    if node.op_type not in POOLING or node.domain not in ("", "ai.onnx"):
        return None
    data = node.input[0]
    shape = reader.shape(data)
    reduced = _reduced(reader, node, shape)
    if all(shape[axis] == 1 for axis in reduced):
        return None
    kept = [axis for axis in range(1, len(shape)) if axis not in reduced]
    if 0 in reduced or len(kept) != 1 or kept[0] not in (1, len(shape) - 1):
        raise Refusal(f"a {node.op_type} over the axes {reduced} of {shape}, no global pooling")
    name, spatial, channel = _with_grid(reader, *_before_transpose(reader, data, reduced, kept[0]))
    return Pooling(node.op_type, name, spatial, channel, node.op_type == "ReduceSum")


def _reduced(reader: Reader, node: onnx.NodeProto, shape: tuple[int, ...]) -> tuple[int, ...]:
    grid = tuple(range(2, len(shape)))
    if node.op_type == "GlobalAveragePool":
        return grid
    if node.op_type != "AveragePool":
        return axes(reader, node, len(shape))
    if any(side != 1 for side in reader.shape(node.output[0])[2:]):
        raise Refusal("average pooling over parts of the grid")
    kernel = attribute(node, "kernel_shape", [])
    if list(kernel) != list(shape[2:]) or any(attribute(node, "pads", [0])):
        raise Refusal(f"average pooling by {list(kernel)} over a grid of {list(shape[2:])}")
    return grid


def _before_transpose(
    reader: Reader, name: str, spatial: tuple[int, ...], channel: int
) -> tuple[str, tuple[int, ...], int]:
    """Return the features as they were before they were turned, if they were.

    Runtimes move a Transpose that nobody else reads, and the order of a sum with it: reading it
    would change the last bits of the model's own outputs.
    """
    node = reader.graph.producers.get(name)
    if node is None or node.op_type != "Transpose":
        return name, spatial, channel
    turned = list(attribute(node, "perm", range(len(reader.shape(name)))[::-1]))
    before = tuple(sorted(turned[axis] for axis in spatial))
    place = turned[channel]
    last = len(turned) - 1
    if turned[0] != 0 or place not in (1, last) or list(before) != [turned[a] for a in spatial]:
        return name, spatial, channel
    return _before_transpose(reader, node.input[0], before, place)


def _with_grid(
    reader: Reader, name: str, spatial: tuple[int, ...], channel: int
) -> tuple[str, tuple[int, ...], int]:
    """Return the tensor with a grid of two sides that a sequence of positions was made of.

    Raises:
        Refusal: the input is a picture, and there is no such tensor.
    """
    if len(spatial) > 1 or not _is_picture(reader.graph):
        return name, spatial, channel
    node = reader.graph.producers.get(name)
    if node is not None and node.op_type in ("Reshape", "Flatten"):
        before, shape = reader.shape(node.input[0]), reader.shape(name)
        place = 1 if channel == 1 else len(before) - 1
        sides = tuple(axis for axis in range(1, len(before)) if axis != place)
        if len(before) > 3 and before[0] == shape[0] and before[place] == shape[channel]:
            return _before_transpose(reader, node.input[0], sides, place)
    raise Refusal("a sequence of positions without a grid of rows and columns")


def _is_picture(graph: Graph) -> bool:
    return any(len(each.type.tensor_type.shape.dim) >= 4 for each in graph.inputs)


def _precision(tensors: Mapping[str, Array], way: Trail, path: Sequence[str]) -> str:
    if {"QuantizeLinear", "DequantizeLinear"} & set(path):
        return "int8"
    nodes = way.nodes[: len(path)]
    names = {tensors[name].dtype.name for node in nodes for name in (node.input[0], node.output[0])}
    return next((name for name in ("bfloat16", "float16", "float32") if name in names), "float64")
