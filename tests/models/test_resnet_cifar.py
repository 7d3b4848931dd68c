"""ResNets for CIFAR: the paper's sizes, shortcuts by hand, a head that adds up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import seewhy
from seewhy.models.resnet_cifar import Option, PaddedShortcut, resnet


def _parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_option_a_has_the_parameters_of_table_6(depth: int, millions: float) -> None:
    assert float(f"{_parameters(resnet(depth)) / 1e6:.2g}") == millions


def test_the_parameters_of_resnet_20_by_hand() -> None:
    convolutions = 9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
    norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    assert _parameters(resnet(20)) == convolutions + norms + 64 * 10 + 10 == 269_722


def test_option_b_adds_two_projections_and_their_norms() -> None:
    projections = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert _parameters(resnet(20, option="B")) - _parameters(resnet(20)) == projections


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_the_depth_counts_the_layers_with_weights(depth: int) -> None:
    layers = [m for m in resnet(depth).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth


def test_a_padded_shortcut_keeps_every_second_cell_between_zero_channels() -> None:
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    out = PaddedShortcut(2, 4)(x)
    assert out[0, 1].tolist() == [[0, 2], [8, 10]]
    assert out[0, 2].tolist() == [[16, 18], [24, 26]]
    assert out[0, [0, 3]].abs().sum() == 0


@pytest.mark.parametrize("option", ["A", "B"])
def test_the_head_is_linear_on_8_by_8_cells_and_adds_up(option: Option) -> None:
    torch.manual_seed(0)
    module, pictures = resnet(20, 7, option).eval(), torch.randn(3, 3, 32, 32)
    head = seewhy.find_head(module, pictures)
    result = seewhy.explain(module, pictures, "all")
    assert (head.kind, head.grid, head.channels) == ("linear", (8, 8), 64)
    assert result.certificate.max() <= result.tolerance
    assert result.maps.shape == (3, 7, 8, 8)


def test_the_same_seed_builds_the_same_weights() -> None:
    torch.manual_seed(3)
    first = resnet(20).state_dict()
    torch.manual_seed(3)
    second = resnet(20).state_dict()
    other = resnet(20).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_activations_neither_vanish_nor_explode_at_the_start() -> None:
    torch.manual_seed(0)
    features = resnet(56).layer3(torch.rand(16, 32, 16, 16))
    assert 0.1 < features.std() < 10
