"""MNN: as exact as float32 is, silent, and refused where it computes something else."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import onnx
import pytest
import torch
from tests.engines.test_runtimes import NETS, gap, pictures
from tests.nets import Net
from torch import Tensor, nn

import seewhy
from seewhy.engines import make_engine, make_order, mnn_library
from seewhy.engines.exported import Exported, exported
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


def test_a_network_that_it_does_not_know_is_refused_in_one_line() -> None:
    node = onnx.helper.make_node("Nonsense", ["images"], ["logits"], domain="nowhere")
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "network",
        [onnx.helper.make_tensor_value_info("images", kind, ["batch", 3])],
        [onnx.helper.make_tensor_value_info("logits", kind, ["batch", 3])],
    )
    with pytest.raises(ModelError) as caught:
        mnn_library.converted(Exported(onnx.helper.make_model(graph), (3,)))
    message = str(caught.value)
    assert message.startswith("engine mnn: expected a network that MNN runs, got ")
    assert message.endswith('; use the engine "onnx", "openvino" or "torch"')


def test_a_conversion_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, other, x = Net(gap).eval(), Net(gap).eval(), pictures()
    with torch.no_grad():
        other.fc.bias.add_(1)
    head = seewhy.heads.cached_head(net, x)
    wrong = mnn_library.converted(exported(make_order(other, head, example=x)))
    monkeypatch.setattr(mnn_library, "_convert", lambda *_given: wrong)
    with pytest.raises(ModelError, match=r"^MNN's network: expected the network's logits, got oth"):
        make_engine(net, head, "mnn", example=x)
