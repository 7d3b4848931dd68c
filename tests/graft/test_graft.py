"""Grafts on models made by hand: old outputs stay, maps are those of the oracle, and add up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.graft import graphs
from tests.graft.graphs import CLASSES, GRID
from tests.oracles.grafts import cellwise

from seewhy.errors import CertificateError, ClassError, GraftError, InputError
from seewhy.graft import find, graft

Array = NDArray[Any]
NEWEST = 24  # that ONNX Runtime knows

EXACT: dict[str, Callable[[], onnx.ModelProto]] = {
    **{f"torchscript-{n}": partial(graphs.torchscript, n) for n in (11, 13, 17, 18, 21, NEWEST)},
    **{
        f"dynamo-{n}-{k}": partial(graphs.dynamo, n, k)
        for n in (11, 13, 18, NEWEST)
        for k in (0, 1)
    },
    **{f"keras-{n}-{k}": partial(graphs.keras, n, k) for n in (11, 13, 18) for k in (0, 1)},
    "paddle": graphs.paddle,
    "paddle-17": partial(graphs.paddle, 17),
    "conv-flatten": graphs.conv_head,
    "conv-squeeze-11": partial(graphs.conv_head, 11, "Squeeze"),
    "conv-squeeze-13": partial(graphs.conv_head, 13, "Squeeze"),
    "conv-sigmoid": partial(graphs.conv_head, 17, "Sigmoid"),
    "class-maps-11": partial(graphs.class_maps, 11),
    "class-maps": graphs.class_maps,
    "class-maps-last": partial(graphs.class_maps, is_last=True),
    "batch-norm": graphs.batch_norm,
    "summed-11": partial(graphs.summed, 11),
    "summed": graphs.summed,
    "two-layers": graphs.two_layers,
    "flat-grid": graphs.flat_grid,
    "tokens": partial(graphs.flat_grid, turned=True),
    "view-11": graphs.torchscript_view,
    "view-13": partial(graphs.torchscript_view, 13),
    "fixed-batch": partial(graphs.torchscript, batch=1),
    "open-size": partial(graphs.torchscript, size=("height", "width")),
}


def run(model: onnx.ModelProto, x: Array) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, {"x": x}), strict=True))


def picture(batch: int = 3, size: tuple[int, int] = GRID, seed: int = 5) -> Array:
    return np.random.default_rng(seed).standard_normal((batch, 3, *size)).astype(np.float32)


def logits_of_features(model: onnx.ModelProto) -> Callable[[Array], Array]:
    """The model from `features` on, before softmax or sigmoid, by the reference evaluator."""
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    nodes = [node for node in kept.graph.node if node.output[0] not in ("y", "features")]
    last = nodes[-1].op_type in ("Softmax", "Sigmoid")
    output = nodes[-2].output[0] if last else kept.graph.output[0].name
    shape = [None] * 4
    value = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, shape)
    reads_picture = any("x" in node.input for node in nodes)
    inputs = [value, *kept.graph.input] if reads_picture else [value]
    graph = onnx.helper.make_graph(
        nodes[:-1] if last else nodes,
        "tail",
        inputs,
        [onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        [t for t in kept.graph.initializer if t.name != "kernel"],
    )
    tail = onnx.helper.make_model(graph, opset_imports=kept.opset_import, ir_version=8)
    session = onnxruntime.InferenceSession(tail.SerializeToString())

    def logits(features: Array) -> Array:
        feeds = {"features": features}
        if reads_picture:
            feeds["x"] = picture(len(features))
        return np.asarray(session.run(None, feeds)[0]).reshape(len(features), -1)

    return logits


def features_of(model: onnx.ModelProto, x: Array) -> Array:
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    kept.graph.output.append(onnx.ValueInfoProto(name="features"))
    return run(kept, x)["features"]


@pytest.mark.parametrize("name", EXACT)
def test_old_outputs_stay_and_maps_are_those_of_the_oracle(name: str) -> None:
    model = EXACT[name]()
    made = graft(model, top=3)
    onnx.checker.check_model(made.model, full_check=True)
    assert made.certificate.is_identical
    assert made.certificate.deviation < 1e-6
    batch = 1 if name == "fixed-batch" else 3
    x = picture(batch)
    before, after = run(model, x), run(made.model, x)
    for output, value in before.items():
        assert after[output].tobytes() == value.tobytes()
    classes, maps, bias = (after[made.outputs[each]] for each in ("classes", "maps", "bias"))
    assert classes.dtype == np.int64
    assert maps.dtype == bias.dtype == np.float32
    logits_of, features = logits_of_features(model), features_of(model, x)
    logits = logits_of(features)
    np.testing.assert_array_equal(classes, np.argsort(-logits, axis=1, kind="stable")[:, :3])
    chosen = np.take_along_axis(logits, classes, axis=1)
    np.testing.assert_allclose(maps.mean((2, 3)) + bias, chosen, atol=1e-4)
    for index in range(batch):
        if "class-maps" not in name:  # there, what the head sees are the class maps themselves
            expected = cellwise(logits_of, features[index], classes[index])
            np.testing.assert_allclose(maps[index], expected, atol=2e-4)


def test_channels_last() -> None:
    model = graphs.channels_last()
    made = graft(model, top=2)
    kept = onnx.ModelProto()
    kept.CopyFrom(made.model)
    kept.graph.output.append(onnx.ValueInfoProto(name="last"))
    x = picture()
    out, weights = run(kept, x), made.head.weights()
    assert out["logits"].tobytes() == run(model, x)["logits"].tobytes()
    for index, classes in enumerate(out["classes"]):
        expected = np.einsum("ck,hwk->chw", weights[classes], out["last"][index])
        np.testing.assert_allclose(out["maps"][index], expected, atol=1e-5)


@pytest.mark.parametrize("is_last", [False, True])
def test_class_maps_are_the_features_themselves(is_last: bool) -> None:
    model = graphs.class_maps(is_last=is_last)
    made = graft(model, top=2)
    assert made.head.kind == "class-maps"
    assert made.outputs["maps"] == "seewhy_maps"  # the graph has a tensor of that name
    kept = onnx.ModelProto()
    kept.CopyFrom(made.model)
    kept.graph.output.append(onnx.ValueInfoProto(name="maps"))
    out = run(kept, picture())
    for index, classes in enumerate(out["classes"]):
        np.testing.assert_array_equal(out["seewhy_maps"][index], out["maps"][index][classes])
    assert not out["bias"].any()


def test_a_held_layer_norm() -> None:
    model = graphs.layer_norm()
    made = graft(model, top=CLASSES)
    assert made.head.kind == "normalised"
    x = picture()
    out, features = run(made.model, x), features_of(model, x).astype(np.float64)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for index in range(len(x)):
        sigma = np.sqrt(features[index].mean((1, 2)).var() + 1e-5)
        centred = features[index] - features[index].mean(0)
        for place, c in enumerate(out["classes"][index]):
            row = weights["W"][c] * weights["gamma"]
            expected = np.einsum("k,khw->hw", row, centred) / sigma
            np.testing.assert_allclose(out["maps"][index, place], expected, rtol=1e-3, atol=1e-4)
            bias = weights["W"][c] @ weights["beta"] + weights["b"][c]
            assert out["bias"][index, place] == pytest.approx(bias, abs=1e-5)
            logit = out["logits"][index, c]
            assert out["maps"][index, place].mean() + bias == pytest.approx(logit, abs=1e-4)


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("by_class", [True, False])
def test_weights_of_eight_bits(axis: int | None, by_class: bool) -> None:
    model = graphs.quantised(axis=axis, by_class=by_class)
    made = graft(model)
    assert made.head.precision == "int8"
    assert made.certificate.is_identical
    x = picture()
    before, out = run(model, x), run(made.model, x)
    assert before["logits"].tobytes() == out["logits"].tobytes()
    chosen = np.take_along_axis(out["logits"], out["classes"], axis=1)
    off = np.abs(out["maps"].mean((2, 3)) + out["bias"] - chosen).max()
    assert off / np.abs(out["logits"]).max() < 5e-2
    steps = np.round(made.head.weights() / np.abs(made.head.weights()).max(), 6)
    assert len(np.unique(steps)) > CLASSES


def test_half_precision_sums_its_maps_in_float32() -> None:
    model = graphs.half()
    made = graft(model)
    out = run(made.model, picture().astype(np.float16))
    assert made.head.precision == "float16"
    assert out["logits"].dtype == np.float16
    assert out["maps"].dtype == np.float32
    chosen = np.take_along_axis(out["logits"], out["classes"], axis=1)
    off = np.abs(out["maps"].mean((2, 3)) + out["bias"] - chosen).max()
    assert off / np.abs(out["logits"]).max() < 2e-3


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (graphs.max_pooling, "max pooling: GlobalMaxPool p"),
        (graphs.average_of_parts, r"p still has the shape \(2, 6, 1, 3\)"),
        (graphs.padded_average, r"average pooling by \[7, 9\] over a grid of \[5, 7\]"),
        (graphs.one_token, "one token of several"),
        (graphs.multilayer, "an activation between pooling and logits: Relu h"),
        (partial(graphs.multilayer, "Mul"), "a Mul of two computed tensors"),
        (graphs.two_outputs, "expected one output with a head, got 2: logits, age"),
    ],
)
def test_look_alikes_are_refused_by_name(make: Callable[[], onnx.ModelProto], reason: str) -> None:
    with pytest.raises(GraftError, match=reason):
        graft(make())


def test_weights_of_zero_prove_nothing() -> None:
    with pytest.raises(CertificateError, match="hardly depend on the features"):
        graft(graphs.zero_weights())


def test_one_of_several_outputs() -> None:
    model = graphs.two_outputs()
    assert graft(model, output="age").head.num_classes == 3
    with pytest.raises(InputError, match="expected one of logits, age"):
        graft(model, output="mood")


@pytest.mark.parametrize("name", ["torchscript-17", "keras-13-0", "class-maps", "paddle"])
def test_fixed_classes(name: str) -> None:
    model = EXACT[name]()
    made, every = graft(model, classes=[2, 0]), graft(model, top=CLASSES)
    out, ranked = run(made.model, picture()), run(every.model, picture())
    assert out[made.outputs["classes"]].tolist() == [[2, 0]] * 3
    for index in range(3):
        order = ranked[every.outputs["classes"]][index].tolist()
        places = [order.index(2), order.index(0)]
        expected = ranked[every.outputs["maps"]][index][places]
        np.testing.assert_allclose(out[made.outputs["maps"]][index], expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [[4], [-1], []])
def test_classes_that_are_none(wrong: list[int]) -> None:
    with pytest.raises(ClassError, match="classes from 0 to 3"):
        graft(graphs.torchscript(), classes=wrong)


def test_top_is_at_most_all() -> None:
    assert run(graft(graphs.torchscript(), top=50).model, picture())["maps"].shape[1] == CLASSES
    with pytest.raises(InputError, match="1 or more classes"):
        graft(graphs.torchscript(), top=0)


@pytest.mark.parametrize("opset", [11, 18])
def test_maps_at_the_size_of_the_input(opset: int) -> None:
    model = graphs.torchscript(opset, size=("h", "w"))
    floats, small = graft(model, upsampled="float32"), graft(model, upsampled="uint8")
    x = picture(size=(9, 11))
    large = run(floats.model, x)["upsampled"]
    assert large.shape == (3, 4, 9, 11)
    np.testing.assert_allclose(large, run(floats.model, x)["maps"], atol=1e-6)  # a grid as large
    out = run(small.model, x)
    assert out["upsampled"].dtype == np.uint8
    read = (out["upsampled"].astype(np.float32) - 128) * out["upsampled_scale"][..., None, None]
    assert np.abs(read - large).max() <= out["upsampled_scale"].max() / 2 + 1e-5


def test_sizes_and_batches_stay_open() -> None:
    made = graft(graphs.torchscript(size=("h", "w")))
    dims = [
        d.dim_param or d.dim_value for d in made.model.graph.output[2].type.tensor_type.shape.dim
    ]
    assert dims == ["batch", CLASSES, "grid_0", "grid_1"]
    for batch, size in ((1, (4, 6)), (5, (12, 3))):
        assert run(made.model, picture(batch, size))["maps"].shape == (batch, CLASSES, *size)


def test_what_was_found_can_be_used_by_others() -> None:
    head = find(graphs.batch_norm())
    assert (head.kind, head.features, head.channel, head.spatial) == (
        "linear",
        "features",
        1,
        (2, 3),
    )
    x = picture()
    features = features_of(graphs.batch_norm(), x)
    logits = features.mean((2, 3)) @ head.weights().T + head.bias
    np.testing.assert_allclose(logits, run(graphs.batch_norm(), x)["logits"], atol=1e-4)
    assert find(graphs.channels_last()).layout == "channels last"


def test_every_node_that_is_added_is_read() -> None:
    """ONNX Runtime warns of those that are not."""
    for make in (graphs.torchscript, graphs.keras, graphs.class_maps, graphs.summed):
        model = graft(make(), upsampled="uint8").model
        read = {name for node in model.graph.node for name in node.input}
        read |= {value.name for value in model.graph.output}
        for node in model.graph.node:
            assert node.op_type == "TopK" or set(node.output) <= read


def test_grafting_twice_is_refused() -> None:
    with pytest.raises(GraftError, match="one that is grafted already; graft the original"):
        graft(graft(graphs.torchscript()).model)


def test_an_old_opset_is_refused() -> None:
    model = graphs.torchscript(11)
    model.opset_import[0].version = 9
    with pytest.raises(GraftError, match="expected opset 11 or newer, got opset 9"):
        graft(model)


def test_the_model_is_left_alone() -> None:
    model = graphs.torchscript()
    before = model.SerializeToString()
    graft(model, upsampled="float32")
    assert model.SerializeToString() == before


def test_metadata_tells_what_was_done() -> None:
    made = graft(graphs.torchscript(), class_names=["a", "b", "c", "d"])
    facts = {entry.key: entry.value for entry in made.model.metadata_props}
    assert facts["seewhy.graft"] == "linear"
    assert facts["seewhy.class_names"] == '["a", "b", "c", "d"]'
    assert '"maps": "maps"' in facts["seewhy.outputs"]


@settings(max_examples=25)
@given(
    opset=st.sampled_from([11, 13, 17, 18, 21]),
    is_last=st.booleans(),
    keep=st.booleans(),
    weights=st.sampled_from(["gemm", "gemm-turned", "matmul", "conv"]),
    between=st.lists(st.sampled_from(["Identity", "scale", "shift", "Flatten"]), max_size=3),
    behind=st.lists(st.sampled_from(["Identity", "scale", "Softmax"]), max_size=2),
    seed=st.integers(0, 2**16),
)
def test_any_head_of_these_parts_adds_up(
    opset: int,
    is_last: bool,
    keep: bool,
    weights: str,
    between: list[str],
    behind: list[str],
    seed: int,
) -> None:
    model = composed(opset, is_last, keep or weights == "conv", weights, between, behind, seed)
    made = graft(model, top=2)
    assert made.certificate.is_identical
    x = picture(seed=seed)
    assert run(made.model, x)["out"].tobytes() == run(model, x)["out"].tobytes()


def composed(
    opset: int,
    is_last: bool,
    keep: bool,
    weights: str,
    between: list[str],
    behind: list[str],
    seed: int,
) -> onnx.ModelProto:
    sketch = graphs.Sketch(opset, seed=seed)
    name, axes = "features", (2, 3)
    if is_last and weights != "conv":
        name, axes = sketch.node("Transpose", name, to="last", perm=[0, 2, 3, 1]), (1, 2)
    name = sketch.pooled("ReduceMean", name, axes, "pooled", int(keep))
    flat = ["Flatten"] if keep and weights != "conv" else []
    for number, part in enumerate([*flat, *between]):
        name = _part(sketch, name, part, f"t{number}", can_flatten=weights != "conv")
    sketch.weight("b", CLASSES)
    if weights == "conv":
        sketch.weight("W", CLASSES, graphs.CHANNELS, 1, 1)
        name = sketch.node("Flatten", sketch.node("Conv", name, "W", "b", to="c"), to="logits")
    elif weights == "gemm":
        name = graphs.gemm(sketch, name, alpha=0.7, beta=-1.5)
    elif weights == "gemm-turned":
        sketch.weight("W", graphs.CHANNELS, CLASSES)
        name = sketch.node("Gemm", name, "W", "b", to="logits")
    else:
        sketch.weight("W", graphs.CHANNELS, CLASSES)
        name = sketch.node("Add", sketch.node("MatMul", name, "W", to="m"), "b", to="logits")
    if "Softmax" in behind:  # behind it nothing is a logit
        behind = [*(part for part in behind if part != "Softmax"), "Softmax"]
    for number, part in enumerate(behind):
        name = _part(sketch, name, part, f"u{number}", can_flatten=True)
    sketch.node("Identity", name, to="out")
    return sketch.model("out")


def _part(sketch: graphs.Sketch, name: str, part: str, to: str, *, can_flatten: bool) -> str:
    if part in ("scale", "shift"):
        number = sketch.given(f"{to}.number", sketch.draw.random() + 0.5, np.float32)
        return sketch.node("Mul" if part == "scale" else "Add", name, number, to=to)
    if part == "Flatten" and not can_flatten:
        return name
    return sketch.node(part, name, to=to)
