"""`auto`: the fastest engine whose maps add up, and an account of the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from tests.nets import Net
from torch import Tensor

import seewhy
from seewhy.engines import Engine, Order, Precision, Trial, choose, make_engine, make_order
from seewhy.errors import MissingExtraError, ModelError
from seewhy.heads import Seen


def gap(net: Net, features: Tensor) -> Tensor:
    logits: Tensor = net.fc(features.mean((2, 3)))
    return logits


@dataclass
class Fake:
    """PyTorch, with a delay, or with logits that are off."""

    name: str
    order: Order
    delay: float = 0.0
    off: float = 0.0
    precision: Precision = "float32"

    def describe(self) -> dict[str, str]:
        return {}

    def __call__(self, batch: Tensor) -> Seen:
        time.sleep(self.delay)
        seen = make_engine(self.order.model, self.order.head, example=batch)(batch)
        return Seen(seen.logits + self.off, seen.features)


def made(name: str, delay: float = 0.0, off: float = 0.0) -> Callable[[Order], Engine]:
    return lambda order: Fake(name, order, delay, off)


def missing(order: Order) -> Engine:
    raise MissingExtraError(
        "openvino", expected="the package to be installed", got="none", fix="pip install it"
    )


def order_for(head: Callable[[Net, Tensor], Tensor] = gap) -> Order:
    net, x = Net(head).eval(), torch.randn(3, 3, 12, 12)
    return make_order(net, seewhy.find_head(net, x), example=x)


def test_takes_the_fastest_whose_maps_add_up() -> None:
    makers = {
        "slow": made("slow", delay=0.2),
        "quick": made("quick"),
        "wrong": made("wrong", off=1.0),
        "openvino": missing,
    }
    choice = choose(order_for(), makers, seconds=0.1)
    assert choice.engine.name == "quick"
    by_name = {trial.engine: trial for trial in choice.trials}
    assert choice.trials[0] == by_name["quick"]
    assert (by_name["quick"].speed or 0) > (by_name["slow"].speed or 0) > 0
    assert by_name["wrong"].left_out == "rounding explains 1e-05"
    assert str(by_name["openvino"]) == (
        "openvino: left out, openvino: expected the package to be installed, got none; "
        "pip install it"
    )


def test_says_so_where_none_can_be_used() -> None:
    with pytest.raises(ModelError) as caught:
        choose(order_for(), {"wrong": made("wrong", off=1.0)}, seconds=0.0)
    line = str(caught.value)
    assert line.startswith("engine auto: expected one engine for float32 whose maps add up, got")
    assert "left out, rounding explains 1e-05" in line


def test_a_trial_in_words() -> None:
    assert str(Trial("onnx", 139.6, 2.1e-6)) == "onnx: 140 pictures/s, off by 2e-06"
    assert str(Trial("onnx", 139.6, 0.1, "rounding explains 1e-05")) == (
        "onnx: 140 pictures/s, off by 1e-01; left out, rounding explains 1e-05"
    )


def test_auto_explains_and_leaves_the_compiler_out() -> None:
    net, x = Net(gap).eval(), torch.randn(3, 3, 12, 12)
    result = seewhy.explain(net, x, "all", engine="auto")
    torch.testing.assert_close(result.maps, seewhy.explain(net, x, "all").maps)
    order = make_order(net, seewhy.heads.cached_head(net, x), example=x)
    from seewhy.engines import ENGINES

    trials = {trial.engine: trial for trial in choose(order, ENGINES, seconds=0.0).trials}
    assert trials["compile"].left_out == "compiling takes up to a minute; name it to use it"
    assert all(trials[name].speed for name in ("torch", "onnx", "openvino", "mnn"))


def test_a_head_that_is_read_anew_runs_in_pytorch() -> None:
    net, x = Net(lambda net, f: net.fc(f.amax((2, 3)))).eval(), torch.randn(3, 3, 12, 12)
    head = seewhy.heads.cached_head(net, x)
    assert make_engine(net, head, "auto", example=x).name == "torch"


def test_integers_that_decide_differently_are_left_out() -> None:
    net = Net(gap).eval()
    x = torch.randn(32, 3, 3, 3, generator=torch.Generator().manual_seed(0)) * 2
    x = torch.nn.functional.interpolate(x, (12, 12), mode="bilinear")
    order = make_order(net, seewhy.find_head(net, x), "int8", example=x)
    with pytest.raises(ModelError, match=r"left out, [0-9]+ of 32 pictures keep their top-1"):
        choose(order, {"wrong": lambda order: Shuffled("wrong", order)}, seconds=0.0)


@dataclass
class Shuffled(Fake):
    """Its classes are mixed up before the maps are made: they still add up."""

    precision: Precision = "int8"

    def __call__(self, batch: Tensor) -> Seen:
        seen = make_engine(self.order.model, self.order.head, example=batch)(-batch)
        return Seen(seen.logits, seen.features)
