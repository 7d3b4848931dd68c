"""What networks cost, against figures computed by hand and published ones."""

from __future__ import annotations

import pytest
import torch
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.errors import InputError, ModelError
from seewhy.models.cost import Cost, cost, short


def test_a_convolution_and_a_linear_layer_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 2, 2, groups=2), nn.Flatten()
    ).append(nn.Linear(6 * 4 * 4, 5, bias=False))
    convolutions = 8 * 8 * 8 * 3 * 9 + 4 * 4 * 6 * 4 * 4  # grid x out x in (a group's) x kernel
    assert cost(net, torch.randn(1, 3, 8, 8)) == Cost(
        parameters=8 * 27 + 8 + 6 * 16 + 6 + 480, multiply_adds=convolutions + 480
    )


def test_it_is_for_one_picture() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    assert cost(net, torch.randn(7, 3, 2, 2)).multiply_adds == 60


def test_attention_is_two_matrix_products() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x)

    heads, tokens, width = 2, 5, 8
    expected = 2 * heads * tokens * tokens * width
    for device in ("cpu", "meta"):  # which run different operations
        example = torch.randn(3, heads, tokens, width, device=device)
        assert cost(Attention(), example).multiply_adds == expected
    q, k, v = torch.randn(3, 2, 4, 8), torch.randn(3, 2, 7, 8), torch.randn(3, 2, 7, 16)

    class Crossed(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v)

    assert cost(Crossed(), (q, k, v)).multiply_adds == 2 * 4 * 7 * (8 + 16)


def test_a_fused_transformer_is_counted() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    tokens, width = 5, 8
    projections, dense = 4 * tokens * width * width, 2 * tokens * width * 16
    attention = 2 * tokens * tokens * width
    assert cost(layer, torch.randn(3, tokens, width)).multiply_adds == (
        projections + attention + dense
    )
    assert torch.backends.mha.get_fastpath_enabled()


def test_shared_layers_cost_parameters_once_and_time_twice() -> None:
    layer = nn.Linear(4, 4)
    assert cost(nn.Sequential(layer, layer), torch.randn(1, 4)) == Cost(20, 32)


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds", "published"),
    [  # as torchvision's documentation lists them
        ("alexnet", 61_100_840, 714_188_480, (61.1, 0.71)),
        ("vgg16", 138_357_544, 15_470_264_320, (138.4, 15.47)),
        ("vit_b_16", 86_567_656, 17_563_828_224, (86.6, 17.56)),
    ],
)
def test_published_figures(
    name: str, parameters: int, multiply_adds: int, published: tuple[float, float]
) -> None:
    register_torchvision_schemas()
    from torchvision import models

    with torch.device("meta"):  # shapes are enough
        found = cost(getattr(models, name)(), torch.randn(2, 3, 224, 224))
    assert found == Cost(parameters, multiply_adds)
    assert round(found.parameters / 1e6, 1) == published[0]
    assert round(found.multiply_adds / 1e9, 2) == published[1]


def test_the_model_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout()).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    cost(net, torch.randn(2, 3, 4, 4))
    assert all(module.training and not module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_within_inference_mode_and_data_parallel() -> None:
    with torch.inference_mode():
        assert cost(nn.DataParallel(nn.Linear(4, 3)), torch.randn(2, 4)) == Cost(15, 12)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="example: expected a tensor"):
        cost(nn.Linear(3, 2), "picture")
    with pytest.raises(ModelError, match=r"Linear: expected a model that runs .*\(2, 4\)"):
        cost(nn.Linear(3, 2), torch.randn(2, 4))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (61_100_840, "61.1 M"),
        (714_188_480, "714 M"),
        (999_400, "999 k"),
        (999_999, "1.00 M"),
        (15_470_264_320, "15.5 G"),
    ],
)
def test_short_numbers(count: int, text: str) -> None:
    assert short(count) == text


def test_it_prints_in_a_line() -> None:
    assert str(Cost(61_100_840, 714_188_480)) == "61.1 M parameters, 714 M multiply-adds"
