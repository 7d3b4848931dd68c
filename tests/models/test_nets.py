"""Every net by name: it builds, trains, compiles, and its head is what its name says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import seewhy
from seewhy.errors import ModelError
from seewhy.models import load_model
from seewhy.models.nets import NETS

LARGE = [name for name, net in NETS.items() if net.preprocess.size[0] > 32]
SMALL = [name for name in NETS if name not in LARGE]
FLAT = ["alexnet-cifar", "vgg-cifar"]
ONE_OF_EACH = ["resnet20", "resnet20-b", *(name for name in SMALL if "resnet" not in name)]


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def convolutions(module: nn.Module) -> int:
    return sum(parameters(m) for m in module.modules() if isinstance(m, nn.Conv2d))


def built(name: str, classes: int, seed: int = 0) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(seed)
    module = NETS[name].build(classes).eval()
    return module, torch.randn(2, 3, *NETS[name].preprocess.size)


def test_the_names() -> None:
    assert " ".join(NETS) == (
        "resnet20 resnet32 resnet44 resnet56 resnet20-b resnet32-b resnet44-b resnet56-b nin "
        "alexnet-cifar alexnet-cifar-gap vgg-cifar vgg-cifar-gap alexnet-gap vgg16-gap "
        "googlenet-gap"
    )
    assert len({net.summary for net in NETS.values()}) == len(NETS) - 1  # the two -cifar-gap


# Heads


@pytest.mark.parametrize(
    ("name", "kind", "grid", "channels"),
    [
        *((name, "linear", 8, 64) for name in NETS if name.startswith("resnet")),
        ("nin", "class-maps", 8, 6),
        ("alexnet-cifar-gap", "linear", 8, 256),
        ("vgg-cifar-gap", "linear", 8, 256),
        ("alexnet-gap", "linear", 13, 1024),
        pytest.param("vgg16-gap", "linear", 14, 1024, marks=pytest.mark.slow),
        ("googlenet-gap", "linear", 14, 1024),
    ],
)
def test_the_head_is_certified(name: str, kind: str, grid: int, channels: int) -> None:
    module, pictures = built(name, 6)
    head = seewhy.find_head(module, pictures)
    assert (head.kind, head.grid, head.channels) == (kind, (grid, grid), channels)
    result = seewhy.explain(module, pictures, "all")
    assert result.certificate.max() <= result.tolerance
    assert result.maps.shape == (2, 6, grid, grid)
    assert result.maps.std() > 0


@pytest.mark.parametrize("name", FLAT)
def test_a_flattened_head_is_explained_to_first_order(name: str) -> None:
    module, pictures = built(name, 6)
    assert seewhy.find_head(module, pictures).kind == "first-order"


@pytest.mark.parametrize("name", FLAT)
def test_both_heads_follow_the_same_trunk(name: str) -> None:
    flat, _ = built(name, 6)
    gap, _ = built(f"{name}-gap", 6)
    trunks = [module.get_submodule("trunk") for module in (flat, gap)]
    assert str(trunks[0]) == str(trunks[1])
    pictures = torch.randn(1, 3, 32, 32)
    assert trunks[0](pictures).shape == (1, 128, 8, 8)


# Parameters


def test_network_in_network_by_hand() -> None:
    first = (75 * 192 + 192) + (192 * 160 + 160) + (160 * 96 + 96)
    second = (96 * 25 * 192 + 192) + 2 * (192 * 192 + 192)
    third = (192 * 9 * 192 + 192) + (192 * 192 + 192) + (192 * 10 + 10)
    assert parameters(NETS["nin"].build(10)) == first + second + third == 966_986


def test_alexnet_gap_keeps_the_convolutions_of_alexnet() -> None:
    module = NETS["alexnet-gap"].build(1000)
    dense = (256 * 6 * 6 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    trunk = convolutions(module.get_submodule("trunk"))
    assert trunk + dense == 60_965_224  # "60 million parameters", section 1
    assert parameters(module) == trunk + (9 * 256 + 1) * 1024 + (1024 + 1) * 1000


@pytest.mark.slow
def test_vgg16_gap_keeps_the_convolutions_of_vgg16() -> None:
    module = NETS["vgg16-gap"].build(1000)
    dense = (512 * 7 * 7 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    trunk = module.get_submodule("trunk")
    assert sum(isinstance(m, nn.Conv2d) for m in trunk.modules()) == 13
    assert convolutions(trunk) + dense == 138_357_544  # "138" million for D, table 2
    assert parameters(module) == convolutions(trunk) + (9 * 512 + 1) * 1024 + (1024 + 1) * 1000


@pytest.mark.parametrize(
    ("module", "thousands", "within"),
    [
        ("inception3a", 159, 0.01),
        ("inception3b", 380, 0.01),
        ("inception4a", 364, 0.01),
        ("inception4b", 437, 0.01),
        ("inception4c", 463, 0.08),  # the paper's sum does not follow from its own row
        ("inception4d", 580, 0.02),
        ("inception4e", 840, 0.01),
    ],
)
def test_inception_modules_have_the_weights_of_table_1(
    googlenet: nn.Module, module: str, thousands: int, within: float
) -> None:
    layers = googlenet.get_submodule(f"trunk.{module}").modules()
    weights = sum(layer.weight.numel() for layer in layers if isinstance(layer, nn.Conv2d))
    assert weights / 1024 == pytest.approx(thousands, rel=within)  # its K is 1024


@pytest.fixture(scope="module")
def googlenet() -> nn.Module:
    return NETS["googlenet-gap"].build(1000)


def test_googlenet_gap_goes_to_inception_4e(googlenet: nn.Module) -> None:
    names = [name for name, _ in googlenet.get_submodule("trunk").named_children()]
    assert " ".join(names) == (
        "stem inception3a inception3b pool3 inception4a inception4b inception4c inception4d "
        "inception4e"
    )
    conv = googlenet.get_submodule("head.conv")
    assert isinstance(conv, nn.Conv2d)
    assert (conv.in_channels, conv.out_channels) == (832, 1024)
    assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))


def test_alexnets_response_norm_is_the_papers() -> None:
    maps = torch.rand(1, 96, 2, 2)
    found = NETS["alexnet-gap"].build(2).get_submodule("trunk.norm1")(maps)
    near = maps[:, 8:13].square().sum(1)  # n = 5 maps around the tenth
    wanted = maps[:, 10] / (2 + 1e-4 * near) ** 0.75
    assert torch.allclose(found[:, 10], wanted)


# Building and training


@pytest.mark.parametrize("name", [*ONE_OF_EACH, "googlenet-gap"])
def test_the_same_seed_builds_the_same_weights(name: str) -> None:
    first, again, other = (built(name, 4, seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_it_trains_in_channels_last_and_bfloat16(name: str) -> None:
    torch.manual_seed(0)
    module = NETS[name].build(2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = torch.randn(16, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(16) % 2
    pictures[labels == 0] /= 4
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(module(pictures).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[6:]) < 0.9 * losses[0]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_it_is_one_graph(name: str) -> None:
    module, pictures = built(name, 4)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(pictures), module(pictures), atol=1e-5)
    torch.compiler.reset()


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_no_class_is_preferred_at_first(name: str) -> None:
    torch.manual_seed(0)
    module = NETS[name].build(10).train()
    logits = module(torch.randn(8, 3, 32, 32))
    assert 1e-4 < logits.std() < 2


# By name


@pytest.mark.parametrize("name", ["resnet20", "nin", "vgg-cifar", "googlenet-gap"])
def test_a_net_alone_has_no_weights(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(name)
    text = str(caught.value)
    assert text.startswith(
        f"model {name}: expected weights, which this net has none of by itself, got none; "
    )
    assert text.endswith(
        f"train it by `seewhy train {name} --data PATH`, pass weights=FILE, or pretrained=False "
        "for random ones"
    )


@pytest.mark.parametrize("name", [*ONE_OF_EACH, "alexnet-gap", "googlenet-gap"])
def test_random_weights_where_they_are_asked_for(name: str) -> None:
    classifier = load_model(name, pretrained=False)
    assert classifier.num_classes == NETS[name].num_classes
    assert classifier.preprocess == NETS[name].preprocess
    assert load_model(name, pretrained=False, num_classes=7).num_classes == 7


@pytest.mark.parametrize("name", SMALL)
def test_small_pictures_are_prepared_alike(name: str) -> None:
    how = NETS[name].preprocess
    assert (how.size, how.crop, how.mode) == ((32, 32), 1.0, "squash")
    assert (how.mean, how.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "side"), [("alexnet-gap", 227), ("vgg16-gap", 224), ("googlenet-gap", 224)]
)
def test_large_pictures_are_cut_from_256(name: str, side: int) -> None:
    how = NETS[name].preprocess
    assert how.size == (side, side)
    assert int(side / how.crop) == 256
