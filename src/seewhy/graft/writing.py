"""Write the head's algebra as nodes: the classes' rows, times the features, are their maps.

    rows = row_scale[c] * W[c] * column_scale        (B, k, K), gathered: the file's own W
    rows = (rows - mean(rows)) / sigma               behind a LayerNorm, whose scale is held
    maps = rows @ features                           (B, k, *S), in logits
    bias = bias[c]                                   (B, k): mean(maps) + bias is the logit

What the model computed before stays as it was: only names are read. (Zhou et al., CVPR 2016.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from seewhy.graft.head import OnnxHead
from seewhy.graft.nodes import Builder
from seewhy.graft.running import channel_axis
from seewhy.graft.steps import Matrix, Norm

if TYPE_CHECKING:
    import onnx

Upsampled = Literal["float32", "uint8"]
MIDDLE, REACH = 128, 127  # of 8 bits: a map's zero, and the way from there to its largest magnitude
_SMALLEST = 1e-30  # a scale that no map of zeros divides by


@dataclass(frozen=True)
class Plan:
    """What is to be written.

    Attributes:
        head: what was found.
        types: the element type of each tensor that is read, by name.
        top: how many of the most probable classes, where none are fixed.
        classes: the fixed ones.
        upsampled: whether maps at the input's size are wanted, and as what.
        is_flat: whether logits are (B, C) and not (B, C, 1, 1).
        is_shared: whether to read the file's own weights, or a copy of them.
    """

    head: OnnxHead
    types: Mapping[str, np.dtype[Any]]
    top: int
    classes: tuple[int, ...] | None = None
    upsampled: Upsampled | None = None
    is_flat: bool = False
    is_shared: bool = True

    @property
    def count(self) -> int:
        """k, the classes of each picture."""
        return len(self.classes) if self.classes else min(self.top, self.head.num_classes)


def write(model: onnx.ModelProto, plan: Plan) -> dict[str, str]:
    """Add nodes and outputs; return each output's name by what it is."""
    return _Writer(Builder(model), plan).write()


class _Writer:
    def __init__(self, add: Builder, plan: Plan) -> None:
        self.add, self.plan, self.head = add, plan, plan.head

    def write(self) -> dict[str, str]:
        names = {each: self.add.unused(each) for each in self._wanted()}
        chosen = self._chosen(names["classes"])
        flat = self._flat_features()
        raw = self._class_maps(flat, chosen) if self._is_class_maps else self._maps(flat, chosen)
        scaled = self._times_positions(raw) if self.head.is_sum else raw
        self.add.node("Reshape", scaled, self._shape_of_maps(), to=names["maps"])
        self._bias(chosen, names["bias"])
        self._declare(names)
        if self.plan.upsampled:
            self._upsampled(names)
        return names

    def _wanted(self) -> tuple[str, ...]:
        extra = {None: (), "float32": ("upsampled",), "uint8": ("upsampled", "upsampled_scale")}
        return ("classes", "maps", "bias", *extra[self.plan.upsampled])

    @property
    def _is_class_maps(self) -> bool:
        return self.head.tail.matrix is None

    @property
    def _is_channels_first(self) -> bool:
        return self.head.channel == 1

    def _float(self, name: str, source: str | None = None) -> str:
        """Return a tensor in float32, in which maps are summed whatever the model computes in."""
        is_float = self.plan.types.get(source or name) == np.float32
        return name if is_float else self.add.cast(name, np.float32)

    def _grid_sides(self) -> str:
        """Return the grid's sides, as constants where the input's size is fixed."""
        if self._is_fixed:
            return self.add.integers(*self.head.grid)
        return self.add.sides(self.head.features, self.head.spatial)

    def _shape_of_maps(self) -> str:
        if self._is_fixed:
            return self.add.integers(0, 0, *self.head.grid)
        return self.add.joined(self.add.integers(0, 0), self._grid_sides())

    @property
    def _is_fixed(self) -> bool:
        picture = self.head.graph.inputs[0]
        return all(isinstance(_side(picture, axis), int) for axis in range(1, _rank(picture)))

    # classes

    def _chosen(self, output: str) -> str:
        """Make the output of classes, and return their indices: (B, k), or (1, k) if fixed."""
        if self.plan.classes is None:
            logits = self._float(self.head.logits)
            logits = logits if self.plan.is_flat else self.add.reshape(logits, 0, -1)
            k = self.add.integers(self.plan.count)
            return self.add.nodes("TopK", logits, k, to=("", output), axis=1)[1]
        fixed = self.add.constant([self.plan.classes], np.int64)
        self._for_each_picture(fixed, output)
        return fixed

    def _for_each_picture(self, values: str, output: str) -> None:
        """Repeat (1, k) to (B, k)."""
        batch = self.add.sides(self.head.features, [0])
        self.add.node("Expand", values, self.add.joined(batch, self.add.integers(1)), to=output)

    # features

    def _flat_features(self) -> str:
        """Return the features as (B, K, N), or (B, N, K) where channels are last."""
        name = self.head.features
        node = self.head.graph.producers.get(name)
        if node is not None and node.op_type == "DequantizeLinear":
            name = self.add.again(node)  # its own: runtimes fuse the other with what it feeds
        name = self._float(name, self.head.features)
        if self._is_channels_first:
            return self.add.reshape(name, 0, self.head.channels, -1)
        return self.add.reshape(name, 0, -1, self.head.channels)

    # rows

    def _maps(self, flat: str, chosen: str) -> str:
        """Return rows times features, (B, k, N)."""
        rows = self._rows(chosen)
        if self.head.tail.norm is not None:
            rows = self._held(rows, self.head.tail.norm)
        if self._is_channels_first:
            return self.add.node("MatMul", rows, flat)
        turned = self.add.node("Transpose", rows, perm=[0, 2, 1])
        return self.add.node("Transpose", self.add.node("MatMul", flat, turned), perm=[0, 2, 1])

    def _rows(self, chosen: str) -> str:
        """Gather the classes' weights and scale them: (B, k, K), or (1, k, K) if fixed."""
        tail = self.head.tail
        assert tail.matrix is not None
        rows = self._gathered(tail.matrix, chosen)
        if (tail.column_scale != 1).any():
            rows = self.add.node("Mul", rows, self.add.constant(tail.column_scale))
        return self._row_scaled(rows, chosen)

    def _gathered(self, matrix: Matrix, chosen: str) -> str:
        channels = self.head.channels
        if matrix.array is not None:
            return self.add.node("Gather", self.add.constant(matrix.array), chosen, axis=0)
        if not self.plan.is_shared:
            rows = self._float(*self._own_rows(matrix, chosen))
        elif matrix.is_by_class:
            rows = self.add.node("Gather", matrix.name, chosen, axis=0)
            rows = rows if len(matrix.shape) == 2 else self.add.reshape(rows, 0, 0, channels)
            rows = self._float(rows, matrix.name)
        else:
            rows = self.add.node("Gather", matrix.name, chosen, axis=1)
            rows = self._float(self.add.node("Transpose", rows, perm=[1, 2, 0]), matrix.name)
        return self._in_numbers(matrix, rows, chosen)

    def _own_rows(self, matrix: Matrix, chosen: str) -> tuple[str, str]:
        """Gather from a copy of the weights, as they are stored; of fixed classes, only theirs."""
        values = self.head.graph.value(matrix.name).reshape(matrix.shape[:2])
        values = values if matrix.is_by_class else values.T
        if self.plan.classes is not None:
            rows = self.add.constant(values[None, list(self.plan.classes)], values.dtype)
        else:
            rows = self.add.node("Gather", self.add.constant(values, values.dtype), chosen, axis=0)
        return rows, matrix.name

    def _in_numbers(self, matrix: Matrix, rows: str, chosen: str) -> str:
        """Dequantise the rows that were gathered, and not the whole matrix."""
        how = matrix.quantised
        if how is None:
            return rows
        for name, operator in ((how.zero, "Sub"), (how.scale, "Mul")):
            if name is not None:
                rows = self.add.node(operator, rows, self._per_entry(matrix, name, chosen))
        return rows

    def _per_entry(self, matrix: Matrix, name: str, chosen: str) -> str:
        """Return a scale or zero point so that it broadcasts over the rows."""
        assert matrix.quantised is not None
        values = self.head.graph.value(name).astype(np.float32).ravel()
        if values.size == 1:
            return self.add.constant(values)
        if matrix.quantised.axis == (0 if matrix.is_by_class else 1):
            return self._per_class(values, chosen)
        return self.add.constant(values[None])  # of another shape: runtimes merge equal constants

    def _row_scaled(self, rows: str, chosen: str) -> str:
        scale = self.head.tail.row_scale
        if (scale == 1).all():
            return rows
        return self.add.node("Mul", rows, self._per_class(scale, chosen))

    def _per_class(self, values: NDArray[Any], chosen: str) -> str:
        """Return the chosen entries of (C,) as (B, k, 1)."""
        return self.add.node("Gather", self.add.constant(values[:, None]), chosen, axis=0)

    def _held(self, rows: str, norm: Norm) -> str:
        """Pull rows back through a LayerNorm: its mean is linear, its scale is held."""
        mean = self.add.reduce("ReduceMean", rows, [2])
        pooled = self.add.reshape(self._float(norm.reads), 0, 1, -1)
        centred = self.add.node("Sub", pooled, self.add.reduce("ReduceMean", pooled, [2]))
        square = self.add.node("Mul", centred, centred)
        variance = self.add.reduce("ReduceMean", square, [2])
        sigma = self.add.node(
            "Sqrt", self.add.node("Add", variance, self.add.constant([norm.epsilon]))
        )
        return self.add.node("Div", self.add.node("Sub", rows, mean), sigma)

    # class maps

    def _class_maps(self, flat: str, chosen: str) -> str:
        """Return the chosen ones of features that are class maps: (B, k, N)."""
        if not self._is_channels_first:
            flat = self.add.node("Transpose", flat, perm=[0, 2, 1])
        if self.plan.classes is not None:
            indices = self.add.integers(*self.plan.classes)
            maps = self.add.node("Gather", flat, indices, axis=1)
        else:
            one = self.add.integers(1, 1)
            shape = self.add.joined(one, self.add.sides(flat, [2]))
            indices = self.add.node("Expand", self.add.reshape(chosen, 0, 0, 1), shape)
            maps = self.add.node("GatherElements", flat, indices, axis=1)
        return self._row_scaled(maps, chosen)

    def _times_positions(self, maps: str) -> str:
        """Sum pooling: the logit is the sum of what the mean of the maps is to be."""
        count = self.add.node("ReduceProd", self._grid_sides(), keepdims=1)
        return self.add.node("Mul", maps, self.add.cast(count, np.float32))

    def _bias(self, chosen: str, output: str) -> None:
        values = self.add.constant(self.head.tail.bias)
        if self.plan.classes is None:
            self.add.node("Gather", values, chosen, axis=0, to=output)
        else:
            self._for_each_picture(self.add.node("Gather", values, chosen, axis=0), output)

    # outputs

    def _declare(self, names: Mapping[str, str]) -> None:
        batch, k = self._batch(), self.plan.count
        self.add.output(names["classes"], np.int64, (batch, k))
        self.add.output(names["maps"], np.float32, (batch, k, *self._grid()))
        self.add.output(names["bias"], np.float32, (batch, k))

    def _batch(self) -> int | str | None:
        """Return the batch as the model's input has it: a number, a name, or open."""
        return _side(self.head.graph.inputs[0], 0)

    def _grid(self) -> Sequence[int | str]:
        if self._is_fixed:
            return self.head.grid
        return [f"grid_{axis}" for axis in range(len(self.head.grid))]

    def _upsampled(self, names: Mapping[str, str]) -> None:
        """Add the maps at the input's size, bilinear with half-pixel centres."""
        picture = self.head.graph.inputs[0]
        sides = self._spatial_of(picture)
        size = self.add.sides(picture.name, sides)
        shape = self.add.joined(self.add.sides(names["maps"], [0, 1]), size)
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        is_bytes = self.plan.upsampled == "uint8"
        to = "" if is_bytes else names["upsampled"]
        none = self.add.constant(np.zeros(0))  # opset 11 wants what later ones leave out
        large = self.add.node("Resize", names["maps"], none, none, shape, to=to, **how)
        if is_bytes:
            self._as_bytes(large, names)
        dims = (self._batch(), self.plan.count, *(_side(picture, axis) for axis in sides))
        self.add.output(names["upsampled"], np.uint8 if is_bytes else np.float32, dims)
        if is_bytes:
            self.add.output(names["upsampled_scale"], np.float32, dims[:2])

    def _spatial_of(self, picture: onnx.ValueInfoProto) -> list[int]:
        dims = [each.dim_value for each in picture.type.tensor_type.shape.dim]
        return [axis for axis in range(1, len(dims)) if axis != channel_axis(dims)]

    def _as_bytes(self, large: str, names: Mapping[str, str]) -> None:
        """Write `128 + map / scale`; each map's scale takes its largest magnitude to 127."""
        axes = list(range(2, 2 + len(self.head.grid)))
        largest = self.add.reduce("ReduceMax", self.add.node("Abs", names["maps"]), axes)
        scale = self.add.node("Div", largest, self.add.constant([float(REACH)]))
        scale = self.add.node("Max", scale, self.add.constant([_SMALLEST]))
        steps = self.add.node("Round", self.add.node("Div", large, scale))
        shifted = self.add.node("Add", steps, self.add.constant([float(MIDDLE)]))
        self.add.cast(shifted, np.uint8, to=names["upsampled"])
        self.add.reshape(scale, 0, 0, to=names["upsampled_scale"])


def _side(value: onnx.ValueInfoProto, axis: int) -> int | str | None:
    """Return one side of a shape: a number, the name of an open one, or None."""
    dim = value.type.tensor_type.shape.dim[axis]
    named = dim.dim_param if isinstance(dim.dim_param, str) else ""  # bytes, if no UTF-8
    return dim.dim_value if dim.HasField("dim_value") else named or None


def _rank(value: onnx.ValueInfoProto) -> int:
    return len(value.type.tensor_type.shape.dim)
