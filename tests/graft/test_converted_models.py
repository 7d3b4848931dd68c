"""Grafts on what real converters make of a network: 8 bits by ONNX Runtime, and float16."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from seewhy.errors import CertificateError
from seewhy.graft import certifying, graft
from seewhy.models.nets import NETS

Array = NDArray[Any]
TOLERANCE = {"int8": 5e-2, "float16": 2e-3}  # of the scale of the logits, as docs/graft.md has it


def pictures(seed: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(seed).standard_normal((4, 3, 32, 32)).astype(dtype)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-20 with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("resnet") / "net.onnx"
    axes = {"x": {0: "batch"}, "logits": {0: "batch"}}
    how: dict[str, Any] = {"input_names": ["x"], "output_names": ["logits"], "dynamic_axes": axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter
        net = NETS["resnet20"].build(10).eval()
        torch.onnx.export(net, (torch.randn(2, 3, 32, 32),), str(path), dynamo=False, **how)
    return path


def run(path: Path, x: Array) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(path)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, {"x": x}), strict=True))


def assert_grafts(path: Path, precision: str, x: Array) -> None:
    made = graft(path, top=3)
    to = made.save(path.with_suffix(".why.onnx"))
    assert made.head.precision == precision
    assert made.certificate.is_identical
    assert made.certificate.deviation <= made.certificate.tolerance == TOLERANCE[precision]
    before, after = run(path, x), run(to, x)
    assert after["logits"].tobytes() == before["logits"].tobytes()
    assert after["maps"].shape == (4, 3, 8, 8)
    chosen = np.take_along_axis(after["logits"].astype(np.float32), after["classes"], 1)
    off = np.abs(after["maps"].mean((2, 3)) + after["bias"] - chosen).max()
    assert off <= TOLERANCE[precision] * np.abs(after["logits"]).max()


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("activations", ["QUInt8", "QInt8"])
def test_quantised_by_onnx_runtime(
    resnet: Path, by_channel: bool, activations: str, tmp_path: Path
) -> None:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: Iterator[dict[str, Array]] = ({"x": pictures(n)} for n in range(4))

        def get_next(self) -> dict[str, Array] | None:
            return next(self.batches, None)

    quantization.quantize_static(
        resnet,
        tmp_path / "net.onnx",
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=by_channel,
        reduce_range=True,  # else processors without VNNI overflow, and no map adds up
        activation_type=quantization.QuantType[activations],
        weight_type=quantization.QuantType.QInt8,
    )
    assert_grafts(tmp_path / "net.onnx", "int8", pictures(9))


@pytest.mark.parametrize("keep", [False, True])
def test_converted_to_float16(resnet: Path, keep: bool, tmp_path: Path) -> None:
    from onnxruntime.transformers.onnx_model import OnnxModel

    converted = OnnxModel(onnx.load(resnet))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers too small for it
        converted.convert_float_to_float16(keep_io_types=keep)
        converted.topological_sort()  # casts are appended at the end, which the checker refuses
    onnx.save(converted.model, tmp_path / "net.onnx")
    assert_grafts(tmp_path / "net.onnx", "float16", pictures(9, np.float32 if keep else np.float16))


@pytest.mark.parametrize(
    ("precision", "fix"),
    [
        ("int8", "on processors without VNNI products of 8 bits overflow: quantise with"),
        ("float32", "this is no head of a kind that is known; nothing was written"),
    ],
)
def test_what_does_not_add_up_says_what_to_do(precision: str, fix: str) -> None:
    head: Any = SimpleNamespace(precision=precision, tolerance=0.05)
    certifying._require("net.onnx", 0.05, head)
    with pytest.raises(CertificateError) as caught:
        certifying._require("net.onnx", 0.1, head)
    assert f"within 5e-02, got a deviation of 1e-01; {fix}" in str(caught.value)
    assert str(caught.value).endswith("; nothing was written")
