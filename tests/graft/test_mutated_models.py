"""Files that something happened to: a clear refusal or a correct graft, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from tests.graft import graphs

from seewhy.cli import main
from seewhy.errors import SeewhyError
from seewhy.graft import Grafted, graft

Array = NDArray[Any]
COUNT = 200
MODELS: tuple[Callable[[], onnx.ModelProto], ...] = (
    graphs.torchscript,
    graphs.dynamo,
    graphs.keras,
    graphs.conv_head,
    graphs.class_maps,
    graphs.batch_norm,
    graphs.layer_norm,
    graphs.quantised,
    graphs.torchscript_view,
)


def flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def truncate(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def mutate_field(content: bytes, draw: random.Random) -> bytes:
    """Change what a graph says, so that it still parses."""
    model = onnx.ModelProto.FromString(content)
    draw.choice(FIELDS)(model, draw)
    return bytes(model.SerializeToString())


def _operator(model: onnx.ModelProto, draw: random.Random) -> None:
    names = ["ReduceMax", "ReduceSum", "GlobalMaxPool", "Relu", "Softmax", "Mul", "Nope", "Neg"]
    draw.choice(model.graph.node).op_type = draw.choice(names)


def _wire(model: onnx.ModelProto, draw: random.Random) -> None:
    node = draw.choice([each for each in model.graph.node if each.input])
    others = [name for each in model.graph.node for name in each.output] + ["", "x", "nowhere"]
    node.input[draw.randrange(len(node.input))] = draw.choice(others)


def _attribute(model: onnx.ModelProto, draw: random.Random) -> None:
    found = [each for node in model.graph.node for each in node.attribute]
    if found:
        attribute = draw.choice(found)
        attribute.i = draw.choice((0, 1, 2, -1, -7, 2**31))
        attribute.f = draw.choice((0.0, -1.0, 1e30, float("nan")))
        attribute.ints[:] = [draw.choice((-3, 0, 1, 2, 5, 9)) for _ in attribute.ints]


def _weights(model: onnx.ModelProto, draw: random.Random) -> None:
    tensor = draw.choice(model.graph.initializer)
    values = np.array(onnx.numpy_helper.to_array(tensor))
    odd = draw.choice((0, 1, -1, 3) if values.dtype.kind != "f" else (0, np.nan, np.inf, 1e30, 7))
    if values.size:
        values.flat[draw.randrange(values.size)] = np.asarray(odd).astype(values.dtype)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _sides(model: onnx.ModelProto, draw: random.Random) -> None:
    tensor = draw.choice(model.graph.initializer)
    if tensor.dims:
        tensor.dims[draw.randrange(len(tensor.dims))] = draw.choice((0, 1, 2, 6, -1, 2**40))


def _type(model: onnx.ModelProto, draw: random.Random) -> None:
    value = draw.choice([*model.graph.input, *model.graph.output])
    value.type.tensor_type.elem_type = draw.choice((0, 2, 7, 8, 9, 10, 11, 99))


def _shape(model: onnx.ModelProto, draw: random.Random) -> None:
    sides = model.graph.input[0].type.tensor_type.shape.dim
    draw.choice(sides).dim_value = draw.choice((0, 1, 2, 3, 8, -1, 2**40))


def _node(model: onnx.ModelProto, draw: random.Random) -> None:
    del model.graph.node[draw.randrange(len(model.graph.node))]


def _twice(model: onnx.ModelProto, draw: random.Random) -> None:
    model.graph.node.append(draw.choice(model.graph.node))


def _version(model: onnx.ModelProto, draw: random.Random) -> None:
    model.opset_import[0].version = draw.choice((0, 1, 9, 11, 13, 18, 99, -1))


def _elsewhere(model: onnx.ModelProto, draw: random.Random) -> None:
    tensor = draw.choice(model.graph.initializer)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=draw.choice(("../x", "/etc/passwd", "", "x")))


FIELDS = (
    _operator, _wire, _attribute, _weights, _sides, _type, _shape, _node, _twice, _version,
    _elsewhere,
)  # fmt: skip
WAYS = (flip, truncate, mutate_field, mutate_field)


def assert_correct(model: onnx.ModelProto, made: Grafted) -> None:
    """On another input: old outputs are the same, and maps add up to the graph's own logits."""
    feeds = {
        value.name: np.random.default_rng(9)
        .standard_normal([side.dim_value or 2 for side in value.type.tensor_type.shape.dim])
        .astype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
        for value in made.head.graph.inputs
    }
    before = _run(model, feeds)
    tapped = onnx.ModelProto()
    tapped.CopyFrom(made.model)
    if made.head.logits not in before:
        tapped.graph.output.append(onnx.ValueInfoProto(name=made.head.logits))
    after = _run(tapped, feeds)
    tolerance = made.certificate.tolerance
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=tolerance * (np.abs(value).max() + 1))
    classes, maps, bias = (after[made.outputs[each]] for each in ("classes", "maps", "bias"))
    logits = after[made.head.logits].reshape(len(classes), -1)
    chosen = np.take_along_axis(logits, classes, 1)
    scale = np.abs(logits).max() or 1.0
    assert np.abs(maps.mean((2, 3)) + bias - chosen).max() <= 2 * tolerance * scale


def _run(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


@pytest.mark.slow
def test_mutated_models(tmp_path: Path) -> None:
    draw = random.Random(0)
    grafted = refused = 0
    for number in range(COUNT):
        content = draw.choice(MODELS)().SerializeToString()
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(draw.choice(WAYS)(content, draw))
        try:
            made = graft(path)
        except SeewhyError:  # which is one line, as all of them are
            refused += 1
        else:
            assert_correct(onnx.load(path), made)
            grafted += 1
    assert grafted > COUNT // 10
    assert refused > COUNT // 10


@pytest.mark.parametrize("seed", range(5))
def test_the_command_says_it_in_one_line(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(truncate(graphs.torchscript().SerializeToString(), random.Random(seed)))
    assert main(["graft", str(path)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("seewhy: model.onnx: expected ")
    assert len(said.err.splitlines()) == 1
    assert not said.out
