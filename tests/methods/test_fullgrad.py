"""FullGrad: complete to the last bias, by hand, in plain loops, against pytorch-grad-cam."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.methods.nets_of_relus import WRITTEN, ReluNet, separate
from tests.methods.tiny_vit import TinyVit
from tests.oracles import noise_and_biases as oracle
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.errors import InputError
from seewhy.methods import full_gradients, fullgrad
from seewhy.models.nets import NETS

CLASSES = torch.tensor([4, 0, 2])


def pictures(count: int = 3, side: int = 8) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


class Dense(nn.Module):
    """Two dense layers with biases; pictures (B, 1, 1, pixels)."""

    def __init__(self, first: Any, inner: Any, second: Any, outer: Any) -> None:
        super().__init__()
        given = (first, inner, second, outer)
        self.given = [torch.tensor(each, dtype=torch.float64) for each in given]

    def forward(self, x: Tensor) -> Tensor:
        first, inner, second, outer = self.given
        return F.linear(F.relu(F.linear(x.flatten(1), first, inner)), second, bias=outer)


def test_by_hand() -> None:
    """logit = 2 * relu(x1 + x2 - 1) - 3 * relu(x1 + 5) + 0.25, at x = (3, 4)."""
    net = Dense([[1.0, 1.0], [1.0, 0.0]], [-1.0, 5.0], [[2.0, -3.0]], [0.25])
    image = torch.tensor([[[[3.0, 4.0]]]], dtype=torch.float64)
    found = full_gradients(net, image, torch.tensor([0]))
    assert found.target.tolist() == [2 * 6 - 3 * 8 + 0.25]
    assert found.input.tolist() == [[[[3 * (2 - 3.0), 4 * 2.0]]]]
    assert [each.tolist() for each in found.biases] == [[[0.25]], [[-2.0, -15.0]]]
    assert found.residual.tolist() == [0.0]
    assert fullgrad(net, image, torch.tensor([0]), terms="signed").tolist() == [[[-3.0, 8.0]]]
    assert fullgrad(net, image, torch.tensor([0])).tolist() == [[[0.0, 1.0]]]


NUMBERS = st.floats(-3, 3).map(lambda value: round(value, 2))


def matrices(rows: int, columns: int) -> st.SearchStrategy[list[list[float]]]:
    return st.lists(lists(columns), min_size=rows, max_size=rows)


def lists(length: int) -> st.SearchStrategy[list[float]]:
    return st.lists(NUMBERS, min_size=length, max_size=length)


@given(matrices(4, 3), lists(4), matrices(2, 4), lists(2), lists(3), st.integers(0, 1))
def test_against_the_oracle(
    first: Any, inner: Any, second: Any, outer: Any, x: list[float], of: int
) -> None:
    image = torch.tensor(x, dtype=torch.float64).view(1, 1, 1, 3)
    found = full_gradients(Dense(first, inner, second, outer), image, torch.tensor([of]))
    expected = oracle.full_gradient(first, inner, second, outer, x, of)
    parts = (found.input.flatten(), found.biases[1][0], found.biases[0][0])
    for part, wanted in zip(parts, expected, strict=True):
        assert part.tolist() == pytest.approx(wanted, abs=1e-9)
    assert float(found.residual) == pytest.approx(0, abs=1e-9)


class Everything(nn.Module):
    """Every way to add a constant that is not a layer's bias, and ReLUs, maxima and a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.prepare, self.first = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.plain = nn.BatchNorm2d(4, affine=False)
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.mean, self.shift = nn.Parameter(torch.empty(3, 1, 1)), nn.Parameter(torch.empty(4))
        self.relu, self.last = nn.ReLU(inplace=True), nn.Linear(4, 5)
        generator = torch.Generator().manual_seed(3)
        for tensor in (*self.parameters(), self.norm.running_mean, self.plain.running_mean):
            assert tensor is not None
            nn.init.normal_(tensor, std=0.7, generator=generator)
        for norm in (self.norm, self.plain):
            assert norm.running_var is not None
            nn.init.uniform_(norm.running_var, 0.5, 2.0, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prepare((x - self.mean) / 0.5)
        y = self.relu(self.norm(self.first(x)))
        y = F.leaky_relu(self.plain(y + x), 0.1)
        y = self.up(F.max_pool2d(y, 2)) + self.shift.view(-1, 1, 1)
        y = torch.add(0.5 - y, x, alpha=2)
        y += 0.25
        y.sub_(self.shift[:, None, None])
        y = self.relu(1 + y)
        y = torch.zeros_like(y).add_(self.shift.view(-1, 1, 1)).add_(y)
        logits: Tensor = self.last(torch.relu(y).mean((2, 3))) - 3
        return logits


def small(name: str) -> nn.Module:
    """One of the papers' nets, with biases and running means that are not zero."""
    torch.manual_seed(0)
    net = NETS[name].build(5)
    for key, tensor in net.state_dict().items():
        if key.endswith(("bias", "running_mean")):
            nn.init.normal_(tensor, std=0.3)
    return net


COMPLETE: dict[str, Callable[[], nn.Module]] = {
    **WRITTEN,
    "every kind of constant": Everything,
    "ResNet-20": lambda: small("resnet20"),
    "Network in Network": lambda: small("nin"),
}


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_for_networks_of_relus(name: str) -> None:
    net = COMPLETE[name]().eval().double()
    images = pictures(side=32 if name in ("ResNet-20", "Network in Network") else 8).double()
    found = full_gradients(net, images, CLASSES)
    with torch.no_grad():
        expected = net(images).gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(found.target, expected)
    torch.testing.assert_close(found.residual, torch.zeros(3).double(), atol=1e-9, rtol=0)
    assert sum(float(each.abs().sum()) for each in found.biases) > 0.1


def test_what_is_missing_is_said() -> None:
    """Attention and GELU have constants that no layer shows."""
    found = full_gradients(TinyVit(), pictures(), CLASSES)
    assert (found.residual.abs() > 0.01).any()


def test_signed_terms_and_those_without_a_place_add_up() -> None:
    net = Everything().eval().double()
    images = pictures(side=16).double()
    found = full_gradients(net, images, CLASSES)
    flat = [each for each in found.biases if each.ndim == 2]
    assert len(flat) == 2  # the dense layer's bias, and the 3
    maps = fullgrad(net, images, CLASSES, terms="signed").double()
    total = maps.sum((1, 2)) + sum(each.sum(1) for each in flat)
    torch.testing.assert_close(total, found.target, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("terms", ["channel", "layer"])
def test_rescaled_terms_against_the_oracle(terms: Any) -> None:
    """Of a network whose layers are as large as the picture: nothing is interpolated."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 5, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).double()
    images = pictures().double()
    parts = full_gradients(net, images, CLASSES)
    found = fullgrad(net, images, CLASSES, terms=terms)
    for index in range(3):
        expected = np.zeros((8, 8))
        for part in (parts.input, *parts.biases):
            values = part[index].numpy()
            if terms == "layer":
                expected += oracle.rescaled(values).sum(0)
            else:
                expected += sum(oracle.rescaled(channel) for channel in values)
        torch.testing.assert_close(found[index], torch.from_numpy(expected).float())


def test_against_pytorch_grad_cam() -> None:
    """The same up to its last step, which stretches the map to 0..1."""
    register_torchvision_schemas()
    grad_cam = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    net, images = separate().eval(), pictures()
    chosen = [targets.ClassifierOutputTarget(int(each)) for each in CLASSES]
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = grad_cam.FullGrad(net, [])(images.clone(), chosen)
    ours = fullgrad(net, images, CLASSES)
    lowest, highest = ours.amin((1, 2), keepdim=True), ours.amax((1, 2), keepdim=True)
    stretched = (ours - lowest) / (highest - lowest)
    torch.testing.assert_close(stretched, torch.from_numpy(theirs), atol=1e-3, rtol=0)


def test_nothing_of_the_graph_is_kept() -> None:
    found = full_gradients(separate(), pictures(), CLASSES)
    assert not any(each.requires_grad for each in (found.target, found.input, *found.biases))


def test_terms_that_are_none() -> None:
    with pytest.raises(InputError) as caught:
        fullgrad(ReluNet([nn.ReLU()] * 3), pictures(), CLASSES, terms="all")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "terms: expected one of 'channel', 'layer', 'signed', got 'all'; choose one"
    )
