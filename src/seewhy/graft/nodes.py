"""Add nodes to a graph, under names that nothing else there has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seewhy.graft.graph import names
from seewhy.graft.opening import import_onnx, opset

if TYPE_CHECKING:
    import onnx

AXES_ARE_INPUTS = 18  # of every operator that reduces; before, they are attributes of most


class Builder:
    """Appends nodes to a model's graph. Every method returns the name of what a node makes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._onnx = import_onnx()
        self.model = model
        self._opset = opset(model)
        self._taken = set(names(model.graph))
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], str] = {}

    def unused(self, name: str) -> str:
        """Return `name`, or one like it that is not taken, and take it."""
        free, number = name, 2
        if free in self._taken:
            free = f"seewhy_{name}"
        while free in self._taken:
            free, number = f"seewhy_{name}_{number}", number + 1
        self._taken.add(free)
        return free

    def node(self, operator: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """Add a node with one output, of the name `to` where it is given."""
        return self.nodes(operator, *inputs, to=(to,), **attributes)[0]

    def nodes(self, operator: str, *inputs: str, to: Sequence[str], **attributes: Any) -> list[str]:
        """Add a node with several outputs; an empty name gets one that is free."""
        made = [name or self.unused(f"seewhy/{operator}") for name in to]
        label = self.unused(f"seewhy/node/{operator}")
        node = self._onnx.helper.make_node(operator, list(inputs), made, name=label, **attributes)
        self.model.graph.node.append(node)
        return made

    def again(self, node: onnx.NodeProto) -> str:
        """Add a second node that does what a node with one output does."""
        copy = self._onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = self.unused(f"seewhy/node/{node.op_type}")
        copy.output[0] = self.unused(f"seewhy/{node.op_type}")
        self.model.graph.node.append(copy)
        return str(copy.output[0])

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant, or find the same one. A node, for before IR 4 initializers are inputs."""
        array = np.ascontiguousarray(np.asarray(value, dtype))
        array = array.reshape(np.shape(value))
        key = (array.dtype.name, array.tobytes(), array.shape)
        if key not in self._constants:
            tensor = self._onnx.numpy_helper.from_array(array)
            self._constants[key] = self.node("Constant", value=tensor)
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """Add a list of whole numbers: a shape, axes, indices."""
        return self.constant(values, np.int64)

    def cast(self, name: str, dtype: Any, to: str = "") -> str:
        """Convert a tensor's type."""
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        made = to or self.unused("seewhy/Cast")  # its attribute is called as our argument `to` is
        label = self.unused("seewhy/node/Cast")
        node = self._onnx.helper.make_node("Cast", [name], [made], name=label, to=kind)
        self.model.graph.node.append(node)
        return made

    def reduce(self, operator: str, name: str, axes: Sequence[int]) -> str:
        """Reduce axes and keep them; in the form that the model's opset has."""
        if self._opset >= AXES_ARE_INPUTS:
            return self.node(operator, name, self.integers(*axes), keepdims=1)
        return self.node(operator, name, axes=list(axes), keepdims=1)

    def reshape(self, name: str, *shape: int, to: str = "") -> str:
        """Give a tensor another shape; 0 keeps a side, -1 is what is left."""
        return self.node("Reshape", name, self.integers(*shape), to=to)

    def sides(self, name: str, axes: Sequence[int]) -> str:
        """Return some of a tensor's sides, as a list of whole numbers."""
        return self.node("Gather", self.node("Shape", name), self.integers(*axes), axis=0)

    def joined(self, *lists: str) -> str:
        """Join lists of whole numbers."""
        return self.node("Concat", *lists, axis=0)

    def output(self, name: str, dtype: Any, shape: Sequence[int | str | None]) -> None:
        """Make a tensor an output of the graph."""
        helper = self._onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.model.graph.output.append(helper.make_tensor_value_info(name, kind, list(shape)))
