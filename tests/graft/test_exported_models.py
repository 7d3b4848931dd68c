"""Grafts on what PyTorch exports, in ONNX Runtime and OpenVINO, and on weights in other files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from tests.graft import graphs
from tests.peers import register_torchvision_schemas

from seewhy.errors import FileError, GraftError
from seewhy.graft import graft

register_torchvision_schemas()

Array = NDArray[Any]
SIZE = 64
NETS = ("resnet18", "mobilenetv2_050", "efficientnet_lite0", "convnext_atto")


def exported(name: str, path: Path, *, is_dynamo: bool) -> None:
    """A network of timm with normalisation layers that are no identities."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=10).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.normal_(module.bias, std=0.1)
    torch.nn.init.normal_(net.get_classifier().weight, std=0.1)
    x = torch.randn(2, 3, SIZE, SIZE)
    how: dict[str, Any] = {"input_names": ["x"], "output_names": ["logits"], "verbose": False}
    if is_dynamo:
        shapes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False}
        how |= {"dynamo": True, **shapes}
    else:
        axes = {"x": {0: "batch", 2: "height", 3: "width"}}
        how |= {"dynamo": False, "dynamic_axes": axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), str(path), **how)


def run(path: Path, x: Array) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(path)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, {"x": x}), strict=True))


def run_in_openvino(path: Path, x: Array) -> dict[str, Array]:
    openvino = pytest.importorskip("openvino")
    precision = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path, "CPU", precision)
    found = model(x)
    return {output.any_name: found[output] for output in model.outputs}


def assert_adds_up(out: dict[str, Array]) -> None:
    chosen = np.take_along_axis(out["logits"], out["classes"], 1)
    off = np.abs(out["maps"].mean((2, 3)) + out["bias"] - chosen).max()
    assert off <= 1e-5 * np.abs(out["logits"]).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("is_dynamo", [True, False])
def test_exported(name: str, is_dynamo: bool, tmp_path: Path) -> None:
    path, to = tmp_path / "net.onnx", tmp_path / "net.why.onnx"
    exported(name, path, is_dynamo=is_dynamo)
    made = graft(path, top=3)
    made.save(to)
    onnx.checker.check_model(to, full_check=True)
    assert made.certificate.is_identical
    assert made.head.kind == ("normalised" if name == "convnext_atto" else "linear")
    for batch in (1, 3):
        size = SIZE if is_dynamo else SIZE + 32 * batch
        x = np.random.default_rng(1).standard_normal((batch, 3, size, size)).astype(np.float32)
        before, after = run(path, x), run(to, x)
        assert after["logits"].tobytes() == before["logits"].tobytes()
        assert after["maps"].shape == (batch, 3, size // 32, size // 32)
        assert_adds_up(after)
        other = run_in_openvino(to, x)
        assert_adds_up(other)
        scale = np.abs(after["maps"]).max()
        np.testing.assert_allclose(other["maps"], after["maps"], atol=1e-3 * scale)


@pytest.mark.parametrize("make", [graphs.class_maps, graphs.keras, graphs.batch_norm])
@pytest.mark.parametrize("upsampled", ["float32", "uint8"])
def test_made_by_hand_in_openvino(make: Any, upsampled: Any, tmp_path: Path) -> None:
    made = graft(make(), upsampled=upsampled, top=2)
    to = made.save(tmp_path / "net.onnx")
    x = np.random.default_rng(1).standard_normal((2, 3, *graphs.GRID)).astype(np.float32)
    here, there = run(to, x), run_in_openvino(to, x)
    for name, value in here.items():
        step = 1.0 if value.dtype == np.uint8 else 1e-5
        np.testing.assert_allclose(value.astype(float), there[name].astype(float), atol=step)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A model whose weights lie in a second file."""
    folder = tmp_path / "there"
    folder.mkdir()
    path = folder / "net.onnx"
    how: dict[str, Any] = {
        "save_as_external_data": True,
        "size_threshold": 0,
        "location": "net.data",
    }
    onnx.save_model(graphs.batch_norm(), path, **how)
    return path


def test_weights_in_another_file_are_shared(split: Path) -> None:
    made = graft(split)
    to = made.save(split.with_name("net.why.onnx"))
    assert sorted(path.name for path in split.parent.iterdir()) == [
        "net.data",
        "net.onnx",
        "net.why.onnx",
    ]
    x = np.random.default_rng(1).standard_normal((2, 3, *graphs.GRID)).astype(np.float32)
    assert run(to, x)["logits"].tobytes() == run(split, x)["logits"].tobytes()
    assert_adds_up(run(to, x))


def test_weights_in_another_file_come_along(split: Path, tmp_path: Path) -> None:
    to = graft(split).save(tmp_path / "net.why.onnx")
    assert (tmp_path / "net.data").read_bytes() == split.with_name("net.data").read_bytes()
    x = np.random.default_rng(1).standard_normal((2, 3, *graphs.GRID)).astype(np.float32)
    assert_adds_up(run(to, x))
    graft(split).save(tmp_path / "again.onnx")  # the same content is no obstacle
    (tmp_path / "net.data").write_bytes(b"others")
    with pytest.raises(FileError, match="expected no other file of that name"):
        graft(split).save(tmp_path / "third.onnx")
    assert (tmp_path / "net.data").read_bytes() == b"others"
    assert not (tmp_path / "third.onnx").exists()


def test_weights_that_are_not_there(split: Path) -> None:
    split.with_name("net.data").unlink()
    with pytest.raises(GraftError, match=r"expected its weights in net.data, got no such file"):
        graft(split)


@pytest.mark.parametrize("place", ["../net.data", "/etc/passwd", "a/../../net.data", "C:\\x", ""])
def test_files_of_others_are_not_read(split: Path, place: str) -> None:
    model = onnx.load(split, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = place
    split.write_bytes(model.SerializeToString())
    with pytest.raises(GraftError, match="expected weights in files beside the model"):
        graft(split)
