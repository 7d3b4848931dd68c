"""Deconvnet and guided backpropagation: literals, plain loops, Captum, and ReLUs of every kind."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.methods.nets_of_relus import WRITTEN, ReluNet, separate
from tests.oracles import methods as oracle
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.errors import ModelError
from seewhy.methods import METHODS, MapFunction, deconvnet, gradient, guided_backprop
from seewhy.methods.deconvnet import positive_signal
from seewhy.methods.guided_backprop import positive_gradient
from seewhy.methods.passes import class_gradient
from seewhy.methods.relus import NoReluHidden, change_relus

FIRST = [[1.0, 2.0, -1.0], [-1.0, 1.0, 0.0], [2.0, 0.0, 1.0], [1.0, -3.0, 1.0]]
SECOND = [[1.0, -2.0, 3.0, 4.0], [-1.0, 5.0, -2.0, 1.0]]
X = [1.0, 2.0, 3.0]  # into the ReLUs go 2, 1, 5 and -2


class Dense(nn.Module):
    """Two dense layers; pictures (B, 1, 1, pixels)."""

    def __init__(self, first: list[list[float]], second: list[list[float]]) -> None:
        super().__init__()
        self.register_buffer("first", torch.tensor(first, dtype=torch.float64))
        self.register_buffer("second", torch.tensor(second, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.first, Tensor)
        assert isinstance(self.second, Tensor)
        return F.relu(x.flatten(1) @ self.first.T) @ self.second.T


def row(
    method: MapFunction, first: list[list[float]], second: list[list[float]], of: int
) -> list[float]:
    image = torch.tensor(X[: len(first[0])], dtype=torch.float64).view(1, 1, 1, -1)
    maps = method(Dense(first, second), image, torch.tensor([of]))
    return [float(value) for value in maps.flatten()]


def test_by_hand() -> None:
    """Class 0 sends 1, -2, 3, 4 back to the ReLUs, of which the fourth was cut off on the way."""
    #                                             1 * FIRST[0] - 2 * FIRST[1] + 3 * FIRST[2]
    assert row(gradient, FIRST, SECOND, 0) == [1 + 2 + 6, 2 - 2 + 0, -1 + 0 + 3]
    #                                             without the negative one
    assert row(guided_backprop, FIRST, SECOND, 0) == [1 + 6, 2 + 0, -1 + 3]
    #                                             and with the fourth: 4 * FIRST[3]
    assert row(deconvnet, FIRST, SECOND, 0) == [1 + 6 + 4, 2 + 0 - 12, -1 + 3 + 4]


RULES = {gradient: oracle.gradient, guided_backprop: oracle.guided, deconvnet: oracle.deconvnet}
NUMBERS = st.floats(-3, 3).map(lambda value: round(value, 2))


def matrices(rows: int, columns: int) -> st.SearchStrategy[list[list[float]]]:
    line = st.lists(NUMBERS, min_size=columns, max_size=columns)
    return st.lists(line, min_size=rows, max_size=rows)


@given(matrices(4, 3), matrices(2, 4), st.integers(0, 1))
def test_against_the_oracle(first: list[list[float]], second: list[list[float]], of: int) -> None:
    for method, rule in RULES.items():
        expected = oracle.projected(rule, first, second, X, of)
        assert row(method, first, second, of) == pytest.approx(expected, abs=1e-5)


def pictures(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


CLASSES = torch.tensor([4, 0, 2])
MAKERS: dict[str, tuple[MapFunction, Callable[[Tensor, Tensor], Tensor]]] = {
    "deconvnet": (deconvnet, positive_signal),
    "guided-backprop": (guided_backprop, positive_gradient),
}


def by_captum(name: str, net: nn.Module) -> Tensor:
    attr = pytest.importorskip("captum.attr")
    kind = {"deconvnet": attr.Deconvolution, "guided-backprop": attr.GuidedBackprop}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it sets hooks
        found = kind(net).attribute(pictures().requires_grad_(), target=CLASSES)
    assert isinstance(found, Tensor)
    return found.detach()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("written", WRITTEN)
def test_however_a_relu_is_written_captums_maps_of_separate_modules(
    name: str, written: str
) -> None:
    method, rule = MAKERS[name]
    net = WRITTEN[written]().eval()
    torch.testing.assert_close(net(pictures()), separate().eval()(pictures()))
    expected = by_captum(name, separate().eval())
    with NoReluHidden():
        signal = class_gradient(net, pictures(), CLASSES, functools.partial(change_relus, rule))
    torch.testing.assert_close(signal, expected)
    torch.testing.assert_close(method(net, pictures(), CLASSES), expected.sum(1))
    assert (expected - by_gradient(net)).abs().max() > 0.01  # so that the test can fail


@pytest.mark.parametrize("name", MAKERS)
def test_captum_knows_no_relu6_and_returns_the_plain_gradient(name: str) -> None:
    net = ReluNet([nn.ReLU6(), nn.ReLU6(), nn.ReLU6()]).eval()
    plain = by_gradient(net)
    torch.testing.assert_close(by_captum(name, net), plain)
    ours = MAKERS[name][0](net, pictures(), CLASSES)
    assert (ours - plain.sum(1)).abs().max() > 0.01


def by_gradient(net: nn.Module) -> Tensor:
    return class_gradient(net, pictures(), CLASSES)


@pytest.mark.parametrize("name", MAKERS)
def test_relu6_has_two_ends(name: str) -> None:
    """Guided backpropagation cuts off what came in above six, too; the deconvnet does not."""
    first, second = [[4.0], [1.0]], [[1.0, 10.0]]

    class Six(Dense):
        def forward(self, x: Tensor) -> Tensor:
            assert isinstance(self.first, Tensor)
            assert isinstance(self.second, Tensor)
            return F.relu6(x.flatten(1) @ self.first.T) @ self.second.T

    image = torch.tensor([[[[2.0]]]], dtype=torch.float64)  # into the ReLUs go 8 and 2
    found = METHODS[name].function(Six(first, second), image, torch.tensor([0]))
    assert found.item() == {"deconvnet": 4 + 10, "guided-backprop": 10}[name]


def test_switches_lead_the_signal_back_to_the_maximum() -> None:
    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(F.max_pool2d(x, 2)).flatten(1) @ torch.tensor([[3.0], [5.0]])

    image = torch.tensor([[[[1.0, 7.0, 0.0, 1.0], [2.0, 0.0, 8.0, 3.0]]]])
    expected = [[[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0]]]
    assert deconvnet(Pooled(), image, torch.tensor([0])).tolist() == expected


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.LeakyReLU(), nn.GELU(), nn.Hardtanh()])
@pytest.mark.parametrize("name", MAKERS)
def test_without_relus_it_is_refused(name: str, activation: nn.Module) -> None:
    with pytest.raises(ModelError) as caught:
        METHODS[name].function(ReluNet([activation] * 3), pictures(), CLASSES)
    assert str(caught.value) == (
        "model: expected a network with ReLUs, whose backward pass this method changes, got one"
        " without; choose another method, such as gradient"
    )


def test_other_activations_keep_their_derivative() -> None:
    """Half of the network has SiLU: there, the backward pass is the ordinary one."""
    net = ReluNet([nn.SiLU(), nn.ReLU(), nn.SiLU()]).eval()
    images = pictures().double()
    net.double()
    found = guided_backprop(net, images, CLASSES)
    leaf = images.clone().requires_grad_()
    inner = net.second(F.max_pool2d(F.silu(net.norm(net.first(leaf))), 2))
    ends = inner.detach().requires_grad_()
    chosen = net.last(F.silu(net.dense(F.relu(ends).mean((2, 3))))).gather(1, CLASSES[:, None])
    (signal,) = torch.autograd.grad(chosen.sum(), ends)
    (expected,) = torch.autograd.grad(inner, leaf, signal.clamp(min=0))
    torch.testing.assert_close(found, expected.sum(1).float())
