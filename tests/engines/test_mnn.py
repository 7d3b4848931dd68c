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
from seewhy.engines import Order, make_engine, make_order, mnn_lane, mnn_library
from seewhy.engines.exported import Exported, exported, require_same, run_exported
from seewhy.errors import ModelError
from seewhy.heads import Seen


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
def test_its_tiles_are_small_enough_for_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = Deep().eval(), torch.randn(4, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    head = seewhy.heads.cached_head(net, x)
    expected = x.double()
    for layer in Deep().double().layers:
        expected = layer(expected).relu()

    def off(name: str) -> float:
        seen = make_engine(net, head, name, example=x)(x)
        return float((seen.features - expected).abs().max() / expected.max())

    assert off("torch") < 2e-6
    assert off("onnx") < 2e-6
    assert off("mnn") < 2e-6
    monkeypatch.setattr(mnn_lane, "SMALL_TILES", 3)  # MNN's own choice
    assert 1e-4 < off("mnn") < 1e-2


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


def off(net: nn.Module) -> float:
    """How far its features are from PyTorch's, over the largest."""
    x, head = pictures(4), order(net).head
    got, expected = (make_engine(net, head, e, example=x)(x).features for e in ("mnn", "torch"))
    return float((got - expected).abs().max() / expected.abs().max())


def test_exponentials_are_as_exact_as_float32() -> None:
    assert off(Curved(torch.tanh).eval()) < 5e-6


def test_gelu_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Curved(lambda x: nn.functional.gelu(5 * x)).eval()
    with pytest.raises(ModelError) as caught:
        make_engine(net, order(net).head, "mnn", example=pictures())
    assert str(caught.value) == (
        "engine mnn: expected a network without GELU, which MNN approximates, got one with it; "
        'use the engine "onnx", "openvino" or "torch"'
    )
    monkeypatch.setattr(mnn_library, "APPROXIMATED", ())
    assert off(net) > 5e-5


def test_one_that_gives_no_number_where_there_should_be_one_is_refused() -> None:
    right = Seen(torch.ones(1, 2), torch.ones(1, 3, 2, 2))
    wrong = Seen(torch.tensor([[1.0, torch.nan]]), right.features)
    with pytest.raises(ModelError, match="expected the network's logits, got others"):
        require_same("it", wrong, right)
    require_same("it", wrong, wrong)  # NaN weights are told elsewhere
