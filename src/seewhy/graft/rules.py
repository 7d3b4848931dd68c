"""One rule for each operator that may stand between pooled features and logits.

A rule turns a node into steps, the last applied first, or gives up with a reason. All of them rely
on the shapes that a run showed: behind the pooling a tensor has one axis of channels, and no other
of more than one entry but the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seewhy.graft.graph import Graph
from seewhy.graft.steps import Affine, Matrix, Norm, Quantised, Step

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]


class Refusal(Exception):  # noqa: N818 -- it is caught and told as a reason, never shown as it is
    """Why a walk ends without a head."""


@dataclass(frozen=True)
class Reader:
    """The graph, and the tensors of one run.

    Attributes:
        graph: which node makes what.
        tensors: by name, of those on the way.
        batch: pictures in the run.
    """

    graph: Graph
    tensors: Mapping[str, Array]
    batch: int

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that a tensor had."""
        if name not in self.tensors:
            raise Refusal(f"a tensor {name} that is not on the way to the logits")
        return self.tensors[name].shape

    def channels(self, name: str) -> int:
        """Return how many channels a tensor behind the pooling has.

        Raises:
            Refusal: it is none: a grid is left, or the batch is not its first axis.
        """
        shape = self.shape(name)
        if len(shape) < 2 or shape[0] != self.batch:
            raise Refusal(f"a tensor {name} of shape {shape} with no batch in front")
        if sum(side != 1 for side in shape[1:]) > 1:
            raise Refusal(f"no global average pooling: {name} still has the shape {shape}")
        return int(np.prod(shape[1:]))


Rule = Callable[[Reader, "onnx.NodeProto"], Sequence[Step]]


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute's value, or the default where the node has none."""
    from onnx import helper

    found = next((each for each in node.attribute if each.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def axes(reader: Reader, node: onnx.NodeProto, rank: int) -> tuple[int, ...]:
    """Return the axes that a node reduces, counted from the front, from attribute or input."""
    found = attribute(node, "axes")
    if found is None and len(node.input) > 1 and node.input[1]:
        found = _constant(reader, node.input[1]).ravel()
    if found is None or not len(found):
        return () if attribute(node, "noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(int(axis) % rank for axis in found))


def data_input(graph: Graph, node: onnx.NodeProto) -> str | None:
    """Return the one input that carries the data, or None where there is no such one."""
    if node.op_type == "Gather":
        row = graph.producers.get(node.input[0])
        return str((row if row is not None and row.op_type == "Reshape" else node).input[0])
    if node.op_type not in (*ARITHMETIC, "MatMul"):
        return node.input[0] if node.input else None
    varying = [name for name in node.input if not graph.is_constant(name)]
    return varying[0] if len(varying) == 1 else None


def _constant(reader: Reader, name: str) -> Array:
    if not reader.graph.is_constant(name):
        raise Refusal(f"a {name} that differs from run to run")
    return reader.graph.value(name)


def _vector(reader: Reader, name: str, like: str) -> Array:
    """Return a constant as numbers, one for each channel of the tensor `like`."""
    shape = (1, *reader.shape(like)[1:])
    try:
        spread = np.broadcast_to(np.asarray(_constant(reader, name), np.float64), shape)
    except ValueError:
        raise Refusal(f"a {name} that does not fit the shape {shape}") from None
    return spread.ravel()


def _nothing(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    """The same numbers in another form: Identity, Dropout, Flatten, Cast and their like."""
    before, after = reader.channels(node.input[0]), reader.channels(node.output[0])
    if before != after:
        raise Refusal(f"a {node.op_type} that turns {before} channels into {after}")
    if not np.issubdtype(reader.tensors[node.output[0]].dtype, np.floating):
        quantises = node.op_type == "QuantizeLinear"
        if not quantises and reader.tensors[node.output[0]].dtype.name != "bfloat16":
            raise Refusal(f"a {node.op_type} to whole numbers")
    return ()


def _strided(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    """PyTorch's `as_strided`: all entries laid out in a row and gathered into another form."""
    data = data_input(reader.graph, node)
    before, after = reader.tensors.get(data or ""), reader.tensors[node.output[0]]
    if before is None or before.size != after.size or (before.ravel() != after.ravel()).any():
        raise Refusal("one token of several (Gather), as class tokens are")
    reader.channels(node.output[0])
    return ()


def _arithmetic(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    data = data_input(reader.graph, node)
    if data is None:
        raise Refusal(f"a {node.op_type} of two computed tensors")
    channels = reader.channels(data)
    if reader.channels(node.output[0]) != channels:
        raise Refusal(f"a {node.op_type} that changes the number of channels")
    is_first = data == node.input[0]
    other = _vector(reader, node.input[1 if is_first else 0], node.output[0])
    if node.op_type == "Div":
        if not is_first:
            raise Refusal("a division by computed features")
        return [Affine.of(channels, scale=1 / other)]
    if node.op_type == "Mul":
        return [Affine.of(channels, scale=other)]
    if node.op_type == "Add":
        return [Affine.of(channels, shift=other)]
    return [Affine.of(channels, *((1, -other) if is_first else (-1, other)))]


def _gemm(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    if attribute(node, "transA", 0):
        raise Refusal("a Gemm of transposed features")
    matrix = _matrix(reader, node.input[1], by_class=bool(attribute(node, "transB", 0)))
    shift: Any = 0.0
    if len(node.input) > 2 and node.input[2]:
        shift = attribute(node, "beta", 1.0) * _vector(reader, node.input[2], node.output[0])
    return [Affine.of(matrix.classes, attribute(node, "alpha", 1.0), shift), matrix]


def _matmul(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    data = data_input(reader.graph, node)
    if data is None:
        raise Refusal("a MatMul of two computed tensors")
    if data != node.input[0] or reader.shape(data)[-1] != reader.channels(data):
        raise Refusal("a MatMul over another axis than that of the channels")
    return [_matrix(reader, node.input[1], by_class=False)]


def _conv(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    matrix = _matrix(reader, node.input[1], by_class=True)
    reader.channels(node.input[0])
    if any(side != 1 for side in matrix.shape[2:]) or attribute(node, "group", 1) != 1:
        raise Refusal("a convolution behind the pooling that is no linear layer")
    if any(attribute(node, "pads", [0])) or attribute(node, "auto_pad", b"NOTSET") == b"SAME_UPPER":
        raise Refusal("a padded convolution behind the pooling")
    has_bias = len(node.input) > 2 and node.input[2]
    shift = np.asarray(_constant(reader, node.input[2]), np.float64) if has_bias else 0.0
    return [Affine.of(matrix.classes, 1.0, shift), matrix]


def _batch_norm(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    if attribute(node, "training_mode", 0):
        raise Refusal("a BatchNormalization in training mode")
    channels = reader.channels(node.input[0])
    scale, shift, mean, variance = (
        np.asarray(_constant(reader, name), np.float64) for name in node.input[1:5]
    )
    scale = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    return [Affine.of(channels, scale, shift - mean * scale)]


def _layer_norm(reader: Reader, node: onnx.NodeProto) -> Sequence[Step]:
    data = node.input[0]
    channels = reader.channels(data)
    axis = attribute(node, "axis", -1) % len(reader.shape(data))
    if axis == 0 or int(np.prod(reader.shape(data)[axis:])) != channels:
        raise Refusal("a LayerNormalization over another axis than that of the channels")
    has_shift = len(node.input) > 2 and node.input[2]
    shift = _vector(reader, node.input[2], data) if has_shift else 0.0
    weights = Affine.of(channels, _vector(reader, node.input[1], data), shift)
    return [weights, Norm(attribute(node, "epsilon", 1e-5), data)]


def _matrix(reader: Reader, whole: str, *, by_class: bool) -> Matrix:
    """Find the tensor in the file that a layer's weights are made of, by names alone."""
    if not reader.graph.is_constant(whole):
        raise Refusal("weights that are computed from the picture")
    shape = reader.graph.shape(whole)
    if len(shape) < 2 or any(side != 1 for side in shape[2:]):
        raise Refusal(f"weights of shape {shape}")
    name, is_by_class = whole, by_class
    node = reader.graph.producers.get(name)
    while node is not None and (node.op_type == "Identity" or _turns(node)):
        is_by_class ^= node.op_type == "Transpose"
        name = node.input[0]
        node = reader.graph.producers.get(name)
    if node is not None and node.op_type == "DequantizeLinear":
        return _dequantised(reader, node, is_by_class, whole, by_class)
    return Matrix(
        name, reader.graph.shape(name), is_by_class, whole=whole, whole_is_by_class=by_class
    )


def _turns(node: onnx.NodeProto) -> bool:
    return node.op_type == "Transpose" and list(attribute(node, "perm", [1, 0])) == [1, 0]


def _dequantised(
    reader: Reader, node: onnx.NodeProto, is_by_class: bool, whole: str, by_class: bool
) -> Matrix:
    if attribute(node, "block_size", 0):
        raise Refusal("weights quantised block by block")
    name, scale = node.input[:2]
    shape = reader.graph.shape(name)
    axis = attribute(node, "axis", 1) % max(len(shape), 1)
    zero = node.input[2] if len(node.input) > 2 and node.input[2] else None
    if zero is not None and not reader.graph.value(zero).astype(np.float64).any():
        zero = None
    per_entry = int(np.prod(reader.graph.shape(scale), dtype=int)) > 1
    quantised = Quantised(scale, zero, axis if per_entry else None)
    return Matrix(name, shape, is_by_class, quantised, whole=whole, whole_is_by_class=by_class)


ARITHMETIC = ("Add", "Sub", "Mul", "Div")
SAME = (
    "Identity", "Dropout", "Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose",
    "QuantizeLinear", "DequantizeLinear",
)  # fmt: skip
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(SAME, _nothing),
    **dict.fromkeys(ARITHMETIC, _arithmetic),
    "Gather": _strided,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
}
