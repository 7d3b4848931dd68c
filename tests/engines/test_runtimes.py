"""Engines that are other libraries: the same network, the same maps, the same certificate."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from tests.nets import CLASSES, WIDTH, Net
from torch import Tensor, nn

import seewhy
from seewhy.engines import TOLERANCES, Engine, Precision, make_engine, make_order
from seewhy.engines.exported import exported
from seewhy.engines.openvino import imported
from seewhy.engines.quantised import quantised
from seewhy.errors import InputError, ModelError

RUNTIMES = ("onnx", "openvino", "mnn")
ONE_BY_ONE = INTEGERS = ("onnx", "openvino")
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "mnn": "MNN"}


def gap(net: Net, features: Tensor) -> Tensor:
    logits: Tensor = net.fc(features.mean((2, 3)))
    return logits


def like_convnext(net: Net, features: Tensor) -> Tensor:
    logits: Tensor = net.fc(net.layer_norm(features.mean((2, 3))))
    return logits


def fully_convolutional(net: Net, features: Tensor) -> Tensor:
    logits: Tensor = net.maps(features).mean((2, 3))
    return logits


class Tokens(nn.Module):
    """Channels last, as in Swin: its features are (B, height, width, K)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)
        self.norm = nn.LayerNorm(WIDTH)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        tokens = self.norm(self.patches(x).permute(0, 2, 3, 1))
        return {"logits": self.fc(tokens.mean((1, 2)))}


NETS: dict[str, nn.Module] = {
    "linear": Net(gap).eval(),
    "normalised": Net(like_convnext).eval(),
    "class-maps": Net(fully_convolutional).eval(),
    "channels last, a dict": Tokens().eval(),
}


def pictures(batch: int = 3, size: int = 12) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(batch))


@pytest.mark.parametrize("engine", RUNTIMES)
@pytest.mark.parametrize("kind", NETS)
def test_explains_as_pytorch_does_and_certifies(kind: str, engine: str) -> None:
    net = NETS[kind]
    for batch in (3, 1, 9):  # more and fewer than there are threads
        x = pictures(batch)
        plain = seewhy.explain(net, x, "all")
        result = seewhy.explain(net, x, "all", engine=engine)
        torch.testing.assert_close(result.logits, plain.logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(result.maps, plain.maps, rtol=1e-4, atol=1e-4)
        assert result.tolerance == 1e-5
        assert result.is_exact


@functools.cache
def made(engine: str, precision: Precision = "float32", threads: int = 1) -> Engine:
    net, x = NETS["linear"], pictures(8)
    head = seewhy.heads.cached_head(net, x)
    return make_engine(net, head, engine, precision=precision, threads=threads, example=x)


@pytest.mark.parametrize("engine", ONE_BY_ONE)
def test_in_float32_no_picture_depends_on_the_others_of_its_batch(engine: str) -> None:
    x = pictures(8)
    together = made(engine)(x)
    for number, picture in enumerate(x):
        alone = made(engine)(picture[None])
        assert torch.equal(alone.logits[0], together.logits[number])
        assert torch.equal(alone.features[0], together.features[number])


@pytest.mark.parametrize("engine", RUNTIMES)
def test_describes_what_results_depend_on(engine: str) -> None:
    facts = made(engine, threads=2).describe()
    assert (facts["engine"], facts["precision"], facts["threads"]) == (engine, "float32", "2")
    assert facts["lanes"] == "2"  # 8 pictures are more parts than threads
    assert facts["library"].split()[0] == PACKAGES[engine]


@pytest.mark.parametrize("engine", RUNTIMES)
def test_threads_change_nothing(engine: str) -> None:
    x = pictures(8)
    one, two = made(engine, threads=1)(x), made(engine, threads=2)(x)
    torch.testing.assert_close(one.logits, two.logits)
    torch.testing.assert_close(one.features, two.features)


@pytest.mark.parametrize("engine", RUNTIMES)
def test_the_same_pictures_give_the_same_bits(engine: str) -> None:
    run, x = made(engine), pictures(8)
    first = run(x)
    kept = first.features.clone()
    run(pictures(9))
    assert torch.equal(first.features, kept)  # results are no view of what is written to next
    assert torch.equal(run(x).features, kept)


def test_openvino_computes_in_the_precision_it_says() -> None:
    net, x = NETS["linear"], pictures(8)
    exact = seewhy.explain(net, x, "all", engine=made("openvino"))
    assert float(exact.certificate.max()) <= 1e-5
    try:
        half = made("openvino", "bfloat16")
    except InputError as refusal:  # an older processor
        assert "computes in bfloat16" in str(refusal)  # noqa: PT017
        return
    result = seewhy.explain(net, x, "all", engine=half)
    assert result.tolerance == TOLERANCES["bfloat16"]
    assert 1e-5 < float(result.certificate.max()) <= result.tolerance


def test_onnx_runtime_says_what_it_has_not() -> None:
    with pytest.raises(InputError) as caught:
        made("onnx", "bfloat16")
    assert str(caught.value) == (
        "engine onnx: expected a precision of float32, int8, got bfloat16; "
        "choose one of these, or another engine"
    )


@pytest.mark.parametrize("engine", RUNTIMES)
def test_another_size_of_pictures_is_refused_by_one_made_for_a_size(engine: str) -> None:
    with pytest.raises(InputError) as caught:
        made(engine)(pictures(2, 16))
    assert str(caught.value) == (
        f"engine {engine}: expected a batch of pictures (B, 3, 12, 12), got shape (2, 3, 16, 16); "
        "make the engine with an example of this size"
    )


def test_one_made_by_name_follows_size_and_weights() -> None:
    net, x = Net(gap).eval(), pictures(2)
    seewhy.explain(net, x, engine="onnx")
    larger = pictures(2, 16)
    torch.testing.assert_close(seewhy.explain(net, larger, engine="onnx").logits, net(larger))
    with torch.no_grad():
        net.conv.weight.mul_(2)
    torch.testing.assert_close(seewhy.explain(net, x, engine="onnx").logits, net(x))


@pytest.mark.parametrize("engine", ["compile", *RUNTIMES])
def test_heads_that_are_read_anew_take_pytorch(engine: str) -> None:
    net, x = Net(lambda net, f: net.fc(f.amax((2, 3)))).eval(), pictures()
    with pytest.raises(ModelError) as caught:
        seewhy.explain(net, x, engine=engine)
    assert str(caught.value) == (
        f"engine {engine}: expected a head of kind linear, class-maps or normalised, got one of "
        'kind pooled, which is read anew in each pass; use the engine "torch"'
    )


class Restless(nn.Module):
    """Never gives the same answer twice: an export would."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net(gap)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x * (1 + random.random()))
        return logits


def test_a_network_that_no_exporter_takes_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"^Restless: expected a network that can be exported"):
        seewhy.explain(Restless().eval(), pictures(), engine="onnx")


def test_an_export_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from seewhy.engines import exported

    net, other, x = Net(gap).eval(), Net(gap).eval(), pictures()
    with torch.no_grad():
        other.fc.bias.add_(1)
    wrong = exported._by_tracing(other, seewhy.heads.cached_head(net, x), (3, 12, 12))
    for exporter in ("_by_dynamo", "_by_tracing"):
        monkeypatch.setattr(exported, exporter, lambda *_given: wrong)
    with pytest.raises(ModelError, match="expected the network's logits, got others"):
        seewhy.explain(net, x, engine="onnx")


@pytest.mark.parametrize("engine", RUNTIMES)
def test_a_missing_library_is_one_line(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = PACKAGES[engine]
    monkeypatch.setitem(sys.modules, missing, None)
    net, x = Net(gap).eval(), pictures()
    with pytest.raises(seewhy.MissingExtraError) as caught:
        seewhy.explain(net, x, engine=engine)
    assert str(caught.value) == (
        f"{missing}: expected the package to be installed, got none; pip install 'seewhy[{engine}]'"
    )


def photographs(count: int) -> Tensor:
    """Smooth pictures, which differ: noise is all alike to an average."""
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(count, 3, 3, 3, generator=generator) * 2
    return nn.functional.interpolate(small, (12, 12), mode="bilinear")


@pytest.mark.parametrize("engine", INTEGERS)
def test_integers_are_calibrated_and_their_maps_add_up(engine: str) -> None:
    net, x = NETS["linear"], photographs(32)
    head = seewhy.heads.cached_head(net, x)
    run = make_engine(net, head, engine, precision="int8", example=x)
    result = seewhy.explain(net, x, "all", head=head, engine=run)
    assert result.is_exact
    assert result.tolerance == TOLERANCES["int8"]
    plain = seewhy.explain(net, x, "all", head=head)
    off = float((result.logits - plain.logits).abs().max() / plain.logits.abs().max())
    assert 1e-4 < off < 0.05  # they are integers indeed, and good ones
    same = int((result.logits.argmax(1) == plain.logits.argmax(1)).sum())
    assert run.describe()["calibrated"] == f"on 32 pictures, of which {same} keep their top-1"
    assert same >= 29


def test_integers_want_pictures() -> None:
    model = seewhy.load_model("resnet20-cifar10")
    head = seewhy.heads.cached_head(model.module, model.example())
    with pytest.raises(InputError) as caught:
        make_engine(model, head, "onnx", precision="int8")
    assert str(caught.value) == (
        "example: expected prepared pictures to calibrate int8 on, got none; "
        "pass example=, about a hundred pictures like those to come"
    )


@pytest.mark.parametrize("has_vnni", [False, True])
def test_weights_have_7_bits_where_sums_of_products_would_overflow(
    has_vnni: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: has_vnni)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    net, x = NETS["linear"], photographs(8)
    order = make_order(net, seewhy.heads.cached_head(net, x), "int8", example=x)
    model = quantised(exported(order), order).model
    weights = [numpy_helper.to_array(each) for each in model.graph.initializer]
    kernels = [each for each in weights if each.dtype == np.int8 and each.ndim == 4]
    assert kernels
    largest = max(int(np.abs(each.astype(int)).max()) for each in kernels)
    assert (largest > 64) == has_vnni


TWO_AT_ONCE = """
import os, sys, threading
from seewhy.engines.openvino import imported

openvino = imported()
sys.setswitchinterval(1e-6)
together = threading.Barrier(2)

def first():
    together.wait()
    openvino.Type.f32.to_dtype()

threads = [threading.Thread(target=first, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os._exit(0)
"""


def test_two_threads_may_ask_openvino_for_a_type_at_once() -> None:
    """Left alone both hang, and Python with them: nothing in this process could end that."""
    pytest.importorskip("openvino")
    subprocess.run([sys.executable, "-c", TWO_AT_ONCE], check=True, timeout=120)


def test_the_engine_is_made_from_an_openvino_that_threads_may_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("openvino")
    asked: list[Any] = []

    def watched() -> Any:
        asked.append(imported())
        return asked[-1]

    monkeypatch.setattr("seewhy.engines.openvino.imported", watched)
    made.__wrapped__("openvino")
    assert len(asked) == 1
