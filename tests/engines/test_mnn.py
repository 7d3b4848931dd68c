"""MNN: as exact as float32 is, silent, and refused where it computes something else."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable

import onnx
import pytest
import torch
from tests.engines.test_runtimes import NETS, gap, pictures
from tests.nets import Net
from torch import Tensor, nn

import seewhy
from seewhy.engines import Order, make_engine, make_order, mnn_library
from seewhy.engines.exported import Exported, exported, run_exported
from seewhy.errors import ModelError


class Deep(nn.Module):
    """Six convolutions of 3 x 3, wide enough for Winograd's algorithm; nothing cancels out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 64, 64, 64, 64, 64, 64)
        layers = [nn.Conv2d(i, o, 3, padding=1) for i, o in itertools.pairwise(widths)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.layers = nn.ModuleList(layers)
        self.fc = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


@torch.no_grad()
def test_its_tiles_are_small_enough_for_float32() -> None:
    """Large ones, which MNN takes unless told not to, are off by 7e-4 here."""
    net, x = Deep().eval(), torch.randn(4, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    head = seewhy.heads.cached_head(net, x)
    expected = x.double()
    for layer in Deep().double().layers:
        expected = layer(expected).relu()
    off = {
        name: float(
            (make_engine(net, head, name, example=x)(x).features - expected).abs().max()
            / expected.max()
        )
        for name in ("torch", "onnx", "mnn")
    }
    assert off["torch"] < 2e-6
    assert off["onnx"] < 2e-6
    assert off["mnn"] < 2e-6


def test_a_batch_of_any_size_by_one_engine() -> None:
    net, x = NETS["linear"], pictures(9)
    engine = make_engine(net, seewhy.heads.cached_head(net, x), "mnn", threads=2, example=x)
    for count in (9, 1, 4, 5, 8, 3):
        torch.testing.assert_close(engine(x[:count]).logits, net(x[:count]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(40,), (6, 8, 10)])
def test_signals_and_volumes_are_left_to_others(sizes: tuple[int, ...]) -> None:
    convolution = {1: nn.Conv1d, 3: nn.Conv3d}[len(sizes)]
    net = nn.Sequential(
        convolution(2, 8, 3, padding=1),
        nn.ReLU(),
        {1: nn.AdaptiveAvgPool1d, 3: nn.AdaptiveAvgPool3d}[len(sizes)](1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()
    x = torch.randn(3, 2, *sizes)
    with pytest.raises(ModelError) as caught:
        seewhy.explain(net, x, engine="mnn")
    assert str(caught.value) == (
        f"engine mnn: expected pictures (channel, height, width), got shape {(2, *sizes)}; "
        'use the engine "onnx", "openvino" or "torch"'
    )


def test_standard_output_belongs_to_others() -> None:
    """MNN greets there when it is first imported, through C, which keeps lines back in a pipe."""
    code = "from seewhy.engines.mnn_library import imported as f; print(1); f(); f(); print(2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n2\n"


def test_what_others_write_meanwhile_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def talking(_name: str, _extra: str) -> str:
        os.write(1, b"meanwhile\nThe device supports: nothing\n")
        return "MNN"

    monkeypatch.delitem(sys.modules, "MNN", raising=False)
    monkeypatch.setattr(mnn_library, "import_extra", talking)
    assert mnn_library.imported() == "MNN"
    assert capfd.readouterr().out == "meanwhile\n"


def order(net: nn.Module) -> Order:
    x = pictures()
    return make_order(net, seewhy.heads.cached_head(net, x), example=x)


def model_of(node: onnx.NodeProto) -> onnx.ModelProto:
    kind = onnx.TensorProto.FLOAT
    described = onnx.helper.make_tensor_value_info
    sides = [described("images", kind, ["batch", 3])], [described("logits", kind, ["batch", 3])]
    return onnx.helper.make_model(onnx.helper.make_graph([node], "network", *sides))


def test_a_network_that_it_does_not_know_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    node = onnx.helper.make_node("Nonsense", ["images"], ["logits"], domain="nowhere")
    strange = Exported(model_of(node), (3, 12, 12))
    monkeypatch.setattr(mnn_library, "exported", lambda _order: strange)
    with pytest.raises(ModelError) as caught:
        make_engine(NETS["linear"], order(NETS["linear"]).head, "mnn", example=pictures())
    message = str(caught.value)
    assert message.startswith("engine mnn: expected a network that MNN runs, got ")
    assert "Nonsense" in message
    assert message.endswith('; use the engine "onnx", "openvino" or "torch"')
    assert capfd.readouterr().out == ""


def test_a_conversion_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, other = Net(gap).eval(), Net(gap).eval()
    with torch.no_grad():
        other.fc.bias.add_(1)
    wrong = exported(order(other))
    monkeypatch.setattr(
        mnn_library, "run_exported", lambda _made, head, images: run_exported(wrong, head, images)
    )
    with pytest.raises(ModelError, match=r"^MNN's network: expected the network's logits, got oth"):
        make_engine(net, order(net).head, "mnn", example=pictures())


class Broken:
    """A library whose every call fails as MNN's do."""

    def __init__(self, *_given: object) -> None:
        raise Exception("Create session failed")  # which is what MNN raises


def test_what_fails_in_mnn_is_one_line_and_left_out_by_auto(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from seewhy.engines import mnn

    net = Net(gap).eval()
    monkeypatch.setattr(mnn, "Lane", Broken)
    with pytest.raises(ModelError) as caught:
        make_engine(net, order(net).head, "mnn", example=pictures())
    assert str(caught.value) == (
        "engine mnn: expected a network that MNN runs, got Exception: Create session failed; "
        'use the engine "onnx", "openvino" or "torch"'
    )
    said: list[str] = []
    make_engine(net, order(net).head, "auto", example=pictures(), note=said.append)
    assert any(line.startswith("mnn: left out, engine mnn: expected") for line in said)


@pytest.mark.parametrize(
    ("batch", "threads", "lanes"), [(8, 2, 2), (2, 2, 2), (1, 2, 1), (3, 8, 1)]
)
def test_a_lane_a_thread_unless_pictures_are_few(batch: int, threads: int, lanes: int) -> None:
    net, x = NETS["linear"], pictures(batch)
    engine = make_engine(net, order(net).head, "mnn", threads=threads, example=x)
    assert engine.describe()["lanes"] == str(lanes)
    torch.testing.assert_close(engine(x).logits, net(x), rtol=1e-4, atol=1e-5)


class Curved(nn.Module):
    """Activations that take an exponential, which a library may approximate."""

    def __init__(self, last: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = last
        self.first, self.second = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3)
        self.gate, self.fc = nn.Conv2d(16, 16, 1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(self.first(x))
        x = nn.functional.hardswish(self.second(x))
        x = self.last(x * torch.sigmoid(self.gate(x)) * torch.softmax(self.gate(x), 1) * 10)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def test_exponentials_are_as_exact_as_float32() -> None:
    net, x = Curved(torch.tanh).eval(), pictures(4)
    head = seewhy.heads.cached_head(net, x)
    expected = make_engine(net, head, "torch", example=x)(x).features
    got = make_engine(net, head, "mnn", example=x)(x).features
    assert float((got - expected).abs().max() / expected.abs().max()) < 5e-6


def test_gelu_is_left_to_others() -> None:
    """MNN's is a polynomial: here it would be off by 5e-5."""
    net = Curved(nn.functional.gelu).eval()
    with pytest.raises(ModelError) as caught:
        make_engine(net, order(net).head, "mnn", example=pictures())
    assert str(caught.value) == (
        "engine mnn: expected a network without GELU, which MNN approximates, got one with it; "
        'use the engine "onnx", "openvino" or "torch"'
    )
