"""Models of ONNX made by hand, as the converters of several frameworks write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
CHANNELS, CLASSES, GRID, BATCH = 6, 4, (5, 7), "batch"


@dataclass
class Sketch:
    """Nodes and weights, a line each.

    The input `x` is a picture of 3 channels (channels first unless told), `features` is what a
    convolution and a ReLU make of it.
    """

    opset: int = 17
    is_last: bool = False
    batch: int | str = BATCH
    size: tuple[int | str, int | str] = GRID
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw = np.random.default_rng(self.seed)
        self.node("Conv", "x", self.weight("kernel", CHANNELS, 3, 3, 3), to="y", pads=[1] * 4)
        self.node("Relu", "y", to="features")

    def weight(self, name: str, *shape: int) -> str:
        return self.given(name, self.draw.standard_normal(shape).astype(np.float32))

    def given(self, name: str, value: Any, dtype: Any = None) -> str:
        self.weights[name] = np.asarray(value, dtype)
        return name

    def whole(self, name: str, *values: int) -> str:
        return self.given(name, values, np.int64)

    def node(self, operator: str, *inputs: str, to: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [to], **attributes))
        return to

    def pooled(self, operator: str, name: str, axes: Sequence[int], to: str, keep: int) -> str:
        """Reduce axes in the form that the opset has."""
        are_inputs = self.opset >= (13 if operator == "ReduceSum" else 18)
        if are_inputs:
            return self.node(operator, name, self.whole(f"{to}.axes", *axes), to=to, keepdims=keep)
        return self.node(operator, name, to=to, axes=list(axes), keepdims=keep)

    def model(self, *outputs: str, kind: int = TensorProto.FLOAT, rank: int = 2) -> onnx.ModelProto:
        shape = [self.batch, 3, *self.size]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info(name, kind, [None] * rank) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8
        )


def gemm(sketch: Sketch, name: str = "pooled", to: str = "logits", **attributes: Any) -> str:
    """The linear layer as PyTorch exports it."""
    sketch.weight("W", CLASSES, CHANNELS)
    sketch.weight("b", CLASSES)
    return sketch.node("Gemm", name, "W", "b", to=to, transB=1, **attributes)


def torchscript(opset: int = 17, **how: Any) -> onnx.ModelProto:
    """GlobalAveragePool, Flatten, Gemm."""
    sketch = Sketch(opset, **how)
    sketch.node("GlobalAveragePool", "features", to="p")
    sketch.node("Flatten", "p", to="pooled", axis=1)
    gemm(sketch)
    return sketch.model("logits")


def dynamo(opset: int = 18, keep: int = 1) -> onnx.ModelProto:
    """ReduceMean with or without its sides, Reshape, Dropout, Gemm."""
    sketch = Sketch(opset)
    sketch.pooled("ReduceMean", "features", (-1, -2), "p", keep)
    sketch.node("Reshape", "p", sketch.whole("shape", -1, CHANNELS), to="r")
    sketch.node("Dropout", "r", to="pooled")
    gemm(sketch)
    return sketch.model("logits")


def keras(opset: int = 13, keep: int = 0) -> onnx.ModelProto:
    """NHWC as tf2onnx leaves it: Transpose, ReduceMean, MatMul, Add, Softmax."""
    sketch = Sketch(opset)
    sketch.node("Transpose", "features", to="last", perm=[0, 2, 3, 1])
    sketch.pooled("ReduceMean", "last", (1, 2), "p", keep)
    name = "p"
    if keep:
        name = sketch.node("Reshape", "p", sketch.whole("flat", 0, -1), to="squeezed")
    sketch.weight("W", CHANNELS, CLASSES)
    sketch.weight("b", CLASSES)
    sketch.node("MatMul", name, "W", to="product")
    sketch.node("Add", "product", "b", to="logits:0")
    sketch.node("Softmax", "logits:0", to="probabilities", axis=-1)
    return sketch.model("probabilities")


def channels_last(opset: int = 17) -> onnx.ModelProto:
    """Features that a network keeps with their channels last, as Swin does."""
    sketch = Sketch(opset)
    sketch.node("Transpose", "features", to="turned", perm=[0, 2, 3, 1])
    sketch.node("Tanh", "turned", to="last")
    sketch.pooled("ReduceMean", "last", (1, 2), "pooled", 0)
    gemm(sketch)
    return sketch.model("logits")


def paddle(opset: int = 11) -> onnx.ModelProto:
    """pool2d as an AveragePool over the whole grid, flatten_contiguous, MatMul, Add."""
    sketch = Sketch(opset)
    sketch.node("AveragePool", "features", to="pool2d_0.tmp_0", kernel_shape=list(GRID))
    sketch.node("Flatten", "pool2d_0.tmp_0", to="flatten_0.tmp_0", axis=1)
    sketch.weight("W", CHANNELS, CLASSES)
    sketch.weight("b", CLASSES)
    sketch.node("MatMul", "flatten_0.tmp_0", "W", to="linear_0.tmp_0")
    sketch.node("Add", "b", "linear_0.tmp_0", to="linear_0.tmp_1")
    sketch.node("Identity", "linear_0.tmp_1", to="save_infer_model/scale_0.tmp_0")
    return sketch.model("save_infer_model/scale_0.tmp_0")


def conv_head(opset: int = 17, after: str = "Flatten") -> onnx.ModelProto:
    """A 1x1 convolution behind the pooling, then the grid of one cell goes."""
    sketch = Sketch(opset)
    sketch.node("GlobalAveragePool", "features", to="pooled")
    sketch.weight("W", CLASSES, CHANNELS, 1, 1)
    sketch.weight("b", CLASSES)
    sketch.node("Conv", "pooled", "W", "b", to="c", kernel_shape=[1, 1])
    if after == "Squeeze":
        axes = {"axes": [2, 3]} if opset < 13 else {}
        more = () if opset < 13 else (sketch.whole("axes", 2, 3),)
        sketch.node("Squeeze", "c", *more, to="logits", **axes)
    elif after == "Flatten":
        sketch.node("Flatten", "c", to="logits")
    else:
        sketch.node("Sigmoid", "c", to="logits")
    return sketch.model("logits", rank=4 if after == "Sigmoid" else 2)


def class_maps(opset: int = 17, *, is_last: bool = False) -> onnx.ModelProto:
    """One map for each class, a ReLU, then the pooling, as in SqueezeNet."""
    sketch = Sketch(opset)
    sketch.weight("W", CLASSES, CHANNELS, 1, 1)
    sketch.weight("b", CLASSES)
    sketch.node("Conv", "features", "W", "b", to="c")
    sketch.node("Relu", "c", to="maps")  # a name that is taken
    if is_last:
        sketch.node("Transpose", "maps", to="last", perm=[0, 2, 3, 1])
        sketch.pooled("ReduceMean", "last", (1, 2), "logits", 0)
    else:
        sketch.node("GlobalAveragePool", "maps", to="p")
        sketch.node("Flatten", "p", to="logits")
    return sketch.model("logits")


def batch_norm(opset: int = 17) -> onnx.ModelProto:
    """BatchNorm behind the pooling, and numbers that scale and shift."""
    sketch = Sketch(opset)
    sketch.node("GlobalAveragePool", "features", to="p")
    for name in ("gamma", "beta", "mean"):
        sketch.weight(name, CHANNELS)
    sketch.given("variance", sketch.draw.random(CHANNELS) + 0.5, np.float32)
    sketch.node("BatchNormalization", "p", "gamma", "beta", "mean", "variance", to="n")
    sketch.node("Flatten", "n", to="pooled")
    gemm(sketch, alpha=0.5, beta=2.0, to="g")
    sketch.node("Div", "g", sketch.given("temperature", 0.3, np.float32), to="d")
    sketch.node("Sub", sketch.given("one", [1.0], np.float32), "d", to="logits")
    return sketch.model("logits")


def summed(opset: int = 17) -> onnx.ModelProto:
    """A sum, divided by the number of positions."""
    sketch = Sketch(opset)
    sketch.pooled("ReduceSum", "features", (2, 3), "s", 0)
    count = sketch.given("count", float(GRID[0] * GRID[1]), np.float32)
    sketch.node("Div", "s", count, to="pooled")
    gemm(sketch)
    return sketch.model("logits")


def two_layers(opset: int = 17) -> onnx.ModelProto:
    """Two linear layers with nothing between them."""
    sketch = Sketch(opset)
    sketch.pooled("ReduceMean", "features", (2, 3), "pooled", 0)
    sketch.weight("V", CHANNELS, 5)
    sketch.weight("v", 5)
    sketch.node("MatMul", "pooled", "V", to="m")
    sketch.node("Add", "m", "v", to="h")
    sketch.weight("W", CLASSES, 5)
    sketch.weight("b", CLASSES)
    sketch.node("Gemm", "h", "W", "b", to="logits", transB=1)
    return sketch.model("logits")


def layer_norm(opset: int = 17) -> onnx.ModelProto:
    """LayerNorm behind the pooling, as in ConvNeXt."""
    sketch = Sketch(opset)
    sketch.pooled("ReduceMean", "features", (2, 3), "p", 0)
    sketch.weight("gamma", CHANNELS)
    sketch.weight("beta", CHANNELS)
    sketch.node("LayerNormalization", "p", "gamma", "beta", to="pooled", axis=-1)
    gemm(sketch)
    return sketch.model("logits")


def flat_grid(opset: int = 17, *, turned: bool = False) -> onnx.ModelProto:
    """Positions laid out in a row before they are averaged."""
    sketch = Sketch(opset)
    sketch.node("Reshape", "features", sketch.whole("row", 0, CHANNELS, -1), to="flat")
    if turned:
        sketch.node("Transpose", "flat", to="tokens", perm=[0, 2, 1])
        sketch.pooled("ReduceMean", "tokens", (1,), "pooled", 0)
    else:
        sketch.pooled("ReduceMean", "flat", (-1,), "pooled", 0)
    gemm(sketch)
    return sketch.model("logits")


def torchscript_view(opset: int = 11) -> onnx.ModelProto:
    """`x.view(x.size(0), -1)`: a shape that is computed from another tensor's."""
    sketch = Sketch(opset)
    sketch.node("GlobalAveragePool", "features", to="p")
    sketch.node("Shape", "x", to="shape")
    sketch.node("Gather", "shape", sketch.given("zero", 0, np.int64), to="size", axis=0)
    if opset < 13:
        sketch.node("Unsqueeze", "size", to="list", axes=[0])
    else:
        sketch.node("Unsqueeze", "size", sketch.whole("first", 0), to="list")
    sketch.node("Concat", "list", sketch.whole("rest", -1), to="flat", axis=0)
    sketch.node("Reshape", "p", "flat", to="pooled")
    gemm(sketch)
    return sketch.model("logits")


def quantised(opset: int = 17, *, axis: int | None = 0, by_class: bool = True) -> onnx.ModelProto:
    """QDQ around pooling and linear layer; weights of 8 bits, for each class, channel, or all."""
    sketch = Sketch(opset)
    scale, zero = sketch.given("s", 0.1, np.float32), sketch.given("z", 0, np.uint8)
    sketch.node("QuantizeLinear", "features", scale, zero, to="q")
    sketch.node("DequantizeLinear", "q", scale, zero, to="dq")
    sketch.node("GlobalAveragePool", "dq", to="p")
    small = sketch.given("s2", 0.02, np.float32)
    sketch.node("QuantizeLinear", "p", small, zero, to="pq")
    sketch.node("DequantizeLinear", "pq", small, zero, to="pdq")
    sketch.node("Flatten", "pdq", to="pooled")
    shape = (CLASSES, CHANNELS) if by_class else (CHANNELS, CLASSES)
    count = 1 if axis is None else shape[axis]
    sketch.given("Wq", sketch.draw.integers(-127, 128, shape), np.int8)
    scales = sketch.draw.random(count) * 0.02 + 0.005
    sketch.given("ws", scales[0] if axis is None else scales, np.float32)
    sketch.given("wz", np.zeros(() if axis is None else count), np.int8)
    how = {} if axis is None else {"axis": axis}
    sketch.node("DequantizeLinear", "Wq", "ws", "wz", to="W", **how)
    if by_class:
        sketch.node("Transpose", "W", to="Wt", perm=[1, 0])
    sketch.node("MatMul", "pooled", "Wt" if by_class else "W", to="m")
    sketch.node("Add", "m", sketch.weight("b", CLASSES), to="logits")
    return sketch.model("logits")


def half(opset: int = 17) -> onnx.ModelProto:
    """Everything in float16."""
    model = torchscript(opset)
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for tensor in graph.initializer:
        name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, name))
    return model


def max_pooling() -> onnx.ModelProto:
    sketch = Sketch()
    sketch.node("GlobalMaxPool", "features", to="p")
    return _flattened(sketch)


def average_of_parts() -> onnx.ModelProto:
    """Overlapping averages, each with weights of its own."""
    sketch = Sketch()
    sketch.node("AveragePool", "features", to="p", kernel_shape=[5, 5])
    return _flattened(sketch, CHANNELS * 3)


def padded_average() -> onnx.ModelProto:
    sketch = Sketch()
    how: dict[str, Any] = {"kernel_shape": [7, 9], "pads": [1] * 4, "count_include_pad": 1}
    sketch.node("AveragePool", "features", to="p", **how)
    return _flattened(sketch)


def one_token() -> onnx.ModelProto:
    sketch = Sketch()
    sketch.node("Reshape", "features", sketch.whole("row", 0, CHANNELS, -1), to="flat")
    sketch.node("Gather", "flat", sketch.given("zero", 0, np.int64), to="pooled", axis=2)
    gemm(sketch)
    return sketch.model("logits")


def multilayer(operator: str = "Relu") -> onnx.ModelProto:
    """Two linear layers with an activation between them; or features times themselves."""
    sketch = Sketch()
    sketch.pooled("ReduceMean", "features", (2, 3), "pooled", 0)
    sketch.weight("V", CHANNELS, CHANNELS)
    sketch.node("MatMul", "pooled", "V", to="m")
    sketch.node(operator, *(["m"] if operator == "Relu" else ["m", "m"]), to="h")
    gemm(sketch, "h")
    return sketch.model("logits")


def zero_weights() -> onnx.ModelProto:
    model = torchscript()
    weights = next(each for each in model.graph.initializer if each.name == "W")
    weights.CopyFrom(numpy_helper.from_array(np.zeros((CLASSES, CHANNELS), np.float32), "W"))
    return model


def two_outputs() -> onnx.ModelProto:
    sketch = Sketch()
    sketch.pooled("ReduceMean", "features", (2, 3), "pooled", 0)
    gemm(sketch)
    sketch.node("MatMul", "pooled", sketch.weight("U", CHANNELS, 3), to="age")
    return sketch.model("logits", "age")


def _flattened(sketch: Sketch, channels: int = CHANNELS) -> onnx.ModelProto:
    sketch.node("Flatten", "p", to="pooled")
    gemm(sketch)
    sketch.weight("W", CLASSES, channels)
    return sketch.model("logits")
