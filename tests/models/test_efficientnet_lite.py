from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.same_padding import same_convolution
from torch import Tensor, nn

from seewhy.models.efficientnet_lite import CONFIGS, ConvNorm, EfficientNetLite, from_published


@pytest.fixture(scope="module")
def lite0() -> EfficientNetLite:
    torch.manual_seed(0)
    return EfficientNetLite(CONFIGS["efficientnet-lite0"], num_classes=5).eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "millions", "exactly", "blocks"),
    [
        ("efficientnet-lite0", "4.7", 4_652_008, 16),
        ("efficientnet-lite1", "5.4", 5_416_680, 21),
        ("efficientnet-lite2", "6.1", 6_092_072, 21),
    ],
)
def test_parameters_as_published(name: str, millions: str, exactly: int, blocks: int) -> None:
    net = EfficientNetLite(CONFIGS[name])
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == exactly
    assert f"{count / 1e6:.1f}" == millions
    assert len(net.blocks) == blocks


def test_lite2_is_wider_but_for_stem_and_top() -> None:
    net = EfficientNetLite(CONFIGS["efficientnet-lite2"])
    channels = sorted({block.channels for block in net.blocks if isinstance(block.channels, int)})
    assert channels == [16, 24, 48, 88, 120, 208, 352]
    assert net.stem.conv.out_channels == 32
    assert net.top.conv.out_channels == 1280


@pytest.mark.parametrize(("side", "grid"), [(224, 7), (240, 8), (260, 9), (33, 2), (1, 1)])
def test_the_grid_is_the_input_over_32_rounded_up(
    lite0: EfficientNetLite, side: int, grid: int
) -> None:
    with torch.inference_mode():
        features = lite0.blocks(lite0.stem(noise(1, 3, side, 32)))
    assert features.shape == (1, 320, grid, 1)


@given(
    values=st.lists(st.integers(-9, 9), min_size=1, max_size=20),
    kernel=st.sampled_from([3, 5]),
    stride=st.sampled_from([1, 2]),
    vertical=st.booleans(),
)
def test_convolutions_are_padded_as_tensorflow_pads(
    values: list[int], kernel: int, stride: int, vertical: bool
) -> None:
    weights = list(range(1, kernel + 1))
    layer = ConvNorm(1, 1, kernel=kernel, stride=stride, activate=False).eval()
    layer.norm = nn.Identity()  # type: ignore[assignment]
    row, line = torch.tensor(values, dtype=torch.float32), torch.zeros(kernel, kernel)
    line[kernel // 2 if stride == 1 else (kernel - 1) // 2] = torch.tensor(weights).float()
    picture = row.repeat(9, 1)  # the same row everywhere, so that the middle one sees no padding
    if vertical:
        picture, line = picture.T, line.T
    with torch.no_grad():
        layer.conv.weight.copy_(line[None, None])
        out = layer(picture[None, None])[0, 0]
    middle = (out.T if vertical else out)[2]
    assert middle.tolist() == same_convolution(values, weights, stride)


def test_activations_stay_between_0_and_6(lite0: EfficientNetLite) -> None:
    with torch.inference_mode():
        out = lite0.stem(1000 * noise(1, 3, 32, 32))
    assert float(out.min()) == 0.0
    assert float(out.max()) == 6.0


def test_it_ends_in_pooling_dropout_and_one_linear_layer(lite0: EfficientNetLite) -> None:
    x = noise(2, 3, 64, 96)
    with torch.inference_mode():
        features = lite0.top(lite0.blocks(lite0.stem(x)))
        by_hand = features.mean((2, 3)) @ lite0.fc.weight.T + lite0.fc.bias
        assert torch.allclose(lite0(x), by_hand, atol=1e-6)
    assert features.shape == (2, 1280, 2, 3)
    assert lite0.dropout.p == 0.2


def test_compiles_without_a_graph_break(lite0: EfficientNetLite) -> None:
    x = noise(2, 3, 64, 64)
    with torch.inference_mode():
        compiled = torch.compile(lite0, fullgraph=True, backend="eager")
        assert torch.equal(compiled(x), lite0(x))


def test_exports_with_any_batch(lite0: EfficientNetLite) -> None:
    x = noise(3, 3, 64, 64)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(lite0, (x,), dynamic_shapes={"pictures": {0: batch}})
    with torch.inference_mode():
        assert torch.allclose(program.module()(x[:1]), lite0(x[:1]), atol=1e-6)


PUBLISHED_AND_OURS = [
    ("_conv_stem.weight", "stem.conv.weight"),
    ("_bn0.bias", "stem.norm.bias"),
    ("_blocks.11._expand_conv.weight", "blocks.11.expand.conv.weight"),
    ("_blocks.1._bn0.weight", "blocks.1.expand.norm.weight"),
    ("_blocks.0._depthwise_conv.weight", "blocks.0.depthwise.conv.weight"),
    ("_blocks.0._bn1.running_var", "blocks.0.depthwise.norm.running_var"),
    ("_blocks.0._project_conv.weight", "blocks.0.project.conv.weight"),
    ("_blocks.0._bn2.bias", "blocks.0.project.norm.bias"),
    ("_conv_head.weight", "top.conv.weight"),
    ("_bn1.weight", "top.norm.weight"),
    ("module._fc.weight", "module.fc.weight"),
    ("blocks.0.project.norm.bias", "blocks.0.project.norm.bias"),
]


@pytest.mark.parametrize(("published", "ours"), PUBLISHED_AND_OURS)
def test_published_names_become_ours(published: str, ours: str) -> None:
    tensor = torch.zeros(1)
    assert from_published({published: tensor}) == {ours: tensor}
