"""Which layer a map is made from, what of the network runs backwards, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.methods.nets_of_layers import (
    Beside,
    ClassToken,
    Returning,
    Smooth,
    Twice,
    TwoLayers,
    seeded,
)
from tests.methods.nets_of_relus import ReluNet
from tests.methods.test_map_methods import Gap, pictures
from tests.nets import Attending, Net
from torch import Tensor, nn
from torch.nn import functional as F

import seewhy
from seewhy.errors import InputError, ModelError, SeewhyError
from seewhy.methods import METHODS, eigen_cam, grad_cam, hirescam
from seewhy.methods.layers import found

IDS = torch.tensor([3, 0, 2])


def chosen(net: nn.Module, images: Tensor) -> Any:
    (layer,) = found(net.eval(), images, ())
    return layer


class Deep(nn.Module):
    """The head reads what a function makes, after the last convolution and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1, self.stage2 = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 1, 1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stage2(self.stage1(x))), inplace=True)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def test_without_asking_it_is_what_the_head_reads() -> None:
    """Not the last convolution: what the pooling is given, after norm and ReLU in place."""
    net = seeded(Deep())
    head = seewhy.find_head(net, pictures())
    maps = hirescam(net, pictures(), IDS)
    evidence = seewhy.explain(net, pictures(), IDS[:, None], head=head)
    expected = evidence.upsample((8, 8))[:, 0] / evidence.maps[0, 0].numel()
    torch.testing.assert_close(maps, expected)
    signed = grad_cam(net, pictures(), IDS, relu=False)
    torch.testing.assert_close(signed, expected)
    for other in ("norm", "stage2"):
        assert not torch.allclose(signed, grad_cam(net, pictures(), IDS, layers=other, relu=False))


def test_without_such_a_head_it_is_the_last_with_positions() -> None:
    layer = chosen(ReluNet([nn.ReLU(), nn.ReLU(), nn.ReLU()]), pictures())
    assert layer.name == "modules_.1"  # the dense layer that follows the mean has no positions
    flattened = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 5), nn.ReLU()
    )
    assert chosen(flattened, pictures()).name == "1"


def test_what_a_function_makes_has_its_name() -> None:
    assert chosen(seeded(Smooth()), torch.randn(2, 2, 6, 6)).name == "silu"
    pooled_by_maximum = seeded(Net(lambda net, x: net.fc(x.amax((2, 3)))))
    assert chosen(pooled_by_maximum, pictures()).name == "relu"


@pytest.mark.parametrize("registers", [0, 3])
def test_of_a_class_token_transformer_it_is_what_the_last_attention_reads(registers: int) -> None:
    net = seeded(ClassToken(registers=registers))
    layer = chosen(net, pictures(side=16))
    assert layer.name == "blocks.1.before"
    assert layer.layout.grid == (4, 4)
    assert layer.layout.tokens == (1 + registers, 17 + registers)
    assert hirescam(net, pictures(side=16), IDS).abs().max() > 0


def test_tokens_are_put_back_where_they_were() -> None:
    """A patch that alone is not empty is where the patches' own map is not empty."""
    net = seeded(ClassToken())
    net.patches.bias.data.zero_()
    images = torch.zeros(1, 3, 16, 24)
    images[:, :, 4:8, 16:20] = 1.0
    net.blocks[0].before.bias.data.zero_()
    for layers in ("patches", "blocks.0.before"):
        maps = eigen_cam(net, images, torch.tensor([0]), layers=layers)
        row, column = divmod(int(maps[0].abs().argmax()), 24)
        assert (row // 4, column // 4) == (1, 4), layers


@pytest.mark.parametrize("patches", ["convolution", "unfold"])
def test_tokens_that_are_averaged(patches: str) -> None:
    net = seeded(Attending(patches), std=0.1)
    assert chosen(net, torch.randn(2, 3, 16, 16)).layout.grid == (4, 4)
    assert hirescam(net, torch.randn(2, 3, 16, 16), torch.tensor([0, 1])).shape == (2, 16, 16)


def test_by_name_by_module_and_several() -> None:
    net = Gap()
    by_name = grad_cam(net, pictures(), IDS, layers="second", relu=False)
    assert torch.equal(by_name, grad_cam(net, pictures(), IDS, layers=net.second, relu=False))
    assert torch.equal(by_name, grad_cam(net, pictures(), IDS, layers=["second"], relu=False))
    several = grad_cam(net, pictures(), IDS, layers=["second", net.first, "norm"], relu=False)
    order = grad_cam(net, pictures(), IDS, layers=["first", "norm", "second"], relu=False)
    torch.testing.assert_close(several, order)


def test_of_a_shared_module_it_is_the_last_call() -> None:
    net = Gap()
    assert torch.equal(
        grad_cam(net, pictures(), IDS, layers="relu"), grad_cam(net, pictures(), IDS)
    )


def test_a_module_under_two_names() -> None:
    net = Gap()
    net.alias = net.second
    expected = grad_cam(Gap(), pictures(), IDS, layers="second")
    assert torch.equal(grad_cam(net, pictures(), IDS, layers="alias"), expected)


def test_in_place_after_the_layer() -> None:
    """The layer's own output counts, not what a later operation makes of that memory."""

    class Apart(Gap):
        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.second(F.relu(self.norm(self.first(x)))))
            logits: Tensor = self.fc(x.mean((2, 3)))
            return logits

    for layers in ("norm", "second", ["norm", "second"]):
        ours = hirescam(Gap(), pictures(), IDS, layers=layers)
        torch.testing.assert_close(ours, hirescam(Apart(), pictures(), IDS, layers=layers))
        assert ours.min() < 0


@pytest.mark.parametrize("kind", ["tuple", "list", "dict", "dataclass"])
def test_a_layer_that_returns_more_than_a_tensor(kind: str) -> None:
    net = seeded(Returning(kind))
    expected = hirescam(net, pictures(), IDS, layers="inner.conv")
    torch.testing.assert_close(hirescam(net, pictures(), IDS, layers="inner"), expected)
    assert expected.abs().max() > 0


def test_what_a_layer_returns_counts_wherever_it_is_used() -> None:
    net = seeded(Twice())
    expected = hirescam(net, pictures(), IDS, layers="block.conv")
    assert torch.equal(hirescam(net, pictures(), IDS, layers="block"), expected)
    assert expected.abs().max() > 0


def saved(net: nn.Module, **options: Any) -> int:
    """How many numbers a call keeps for its backward pass."""
    count = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal count
        count += tensor.numel()
        return tensor

    grad_cam(net, pictures(), IDS)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        grad_cam(net, pictures(), IDS, **options)
    return count


def test_nothing_is_recorded_before_the_layer() -> None:
    def net(depth: int) -> nn.Module:
        trunk = [nn.Conv2d(3, 4, 3, padding=1)]
        trunk += [nn.Conv2d(4, 4, 3, padding=1) for _ in range(depth)]
        return nn.Sequential(*trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    assert saved(net(2)) == saved(net(9)) < saved(net(2), layers="0")
    assert saved(net(3), layers=["1", "3"]) == saved(net(9), layers=["7", "9"])


def test_a_network_that_switches_gradients_off_up_to_its_head() -> None:
    net = seeded(Beside())
    with torch.no_grad():
        features = net.trunk(pictures())
    leaf = features.clone().requires_grad_()
    logits = net.fc(F.relu(leaf).square().mean((2, 3)))
    (gradient,) = torch.autograd.grad(logits.gather(1, IDS[:, None]).sum(), leaf)
    small = (gradient * features).sum(1, keepdim=True)
    expected = F.interpolate(small, (8, 8), mode="bilinear")[:, 0]
    torch.testing.assert_close(hirescam(net, pictures(), IDS, layers="trunk"), expected)


def test_a_network_that_was_rebuilt() -> None:
    net: Any = Gap()
    grad_cam(net, pictures(), IDS)
    grad_cam(net, pictures(), IDS, layers="second")
    net.relu = nn.Identity()
    net.second = nn.Conv2d(6, 8, 3)
    assert grad_cam(net, pictures(), IDS).shape == (3, 8, 8)
    rebuilt = Gap()
    rebuilt.relu, rebuilt.second = net.relu, net.second
    assert torch.equal(grad_cam(net, pictures(), IDS), grad_cam(rebuilt, pictures(), IDS))


def test_a_network_that_is_wrapped() -> None:
    wrapped = nn.DataParallel(Gap())
    for layers in (None, "second"):
        expected = grad_cam(Gap(), pictures(), IDS, layers=layers)
        assert torch.equal(grad_cam(wrapped, pictures(), IDS, layers=layers), expected)


def test_pictures_of_another_size() -> None:
    net = seeded(ClassToken())
    for height, width in ((16, 16), (16, 24), (24, 16), (16, 16)):
        images = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
        maps = hirescam(net, images, torch.tensor([0]))
        again = hirescam(seeded(ClassToken()), images, torch.tensor([0]))
        assert torch.equal(maps, again)


def refused(kind: type[SeewhyError], net: nn.Module, layers: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        grad_cam(net, pictures(), IDS, layers=layers, **options)
    return str(caught.value)


def test_a_layer_that_does_not_exist() -> None:
    assert refused(InputError, Gap(), "secnd") == (
        "layer 'secnd': expected one of the 6 layers of the model, got none of these;"
        " did you mean second?"
    )
    far = "got none of these; see the names in model.named_modules()"
    assert refused(InputError, Gap(), ["second", "zzz"]).endswith(far)
    assert refused(InputError, Gap(), nn.Conv2d(3, 3, 1)).startswith("Conv2d: expected one of")
    assert refused(InputError, Gap(), []) == (
        "layers: expected one or more layers, got none; name them, or leave `layers` out"
    )


def test_a_layer_that_never_runs() -> None:
    assert refused(ModelError, Beside(), "never") == (
        "layer 'never': expected feature maps (B, K, H, W), or tokens whose places are known,"
        " got no output: this pass does not call it; name one that runs"
    )


def test_a_layer_without_positions() -> None:
    assert refused(ModelError, Gap(), "fc") == (
        "layer 'fc': expected feature maps (B, K, H, W), or tokens whose places are known,"
        " got a tensor of shape (2, 5); name a layer that comes before the pooling"
    )
    vector = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert "got a tensor of shape (2, 4, 1, 1); name" in refused(ModelError, vector, "1")


def test_a_layer_beside_the_way() -> None:
    assert refused(ModelError, seeded(Beside()), "thrown_away") == (
        "layer 'thrown_away': expected a layer on the way to the logits, got one that no gradient"
        " of them reaches; name a layer that the logits are computed from"
    )


def test_a_network_without_positions() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5))
    assert refused(ModelError, flat, None) == (
        "layers: expected a layer with positions in the picture that the logits depend on,"
        " got a network in which none was found; name one of its layers"
    )


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["grad-cam", "eigen-cam", "score-cam", "ablation-cam", "finer-cam", "hirescam"]
)
def test_features_that_are_not_finite(name: str, wrong: float) -> None:
    net, images = TwoLayers(), torch.ones(1, 2, 2, 2)
    images[0, 1, 0, 1] = wrong
    method: Any = METHODS[name].function
    with pytest.raises(ModelError) as caught:
        method(net, images, torch.tensor([0]), layers="features")
    assert str(caught.value) == (
        "layer 'features': expected finite features, got NaN or infinite ones; check the weights"
        " and the pictures for NaN, or compute in float32"
    )


def test_gradients_that_are_not_finite() -> None:
    class Root(TwoLayers):
        def forward(self, x: Tensor) -> Tensor:
            return self.features(x).sqrt().sum((1, 2, 3))[:, None]  # type: ignore[no-any-return]

    with pytest.raises(ModelError, match="layer 'features': expected finite gradients, got NaN or"):
        grad_cam(Root(), torch.zeros(1, 2, 2, 2), torch.tensor([0]), layers="features")


def test_half_precision() -> None:
    net = seeded(Net(lambda net, x: net.fc(x.mean((2, 3)))), std=0.2)
    expected = grad_cam(net, pictures(), IDS)
    found = grad_cam(net.bfloat16(), pictures().bfloat16(), IDS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05 * float(expected.max()), rtol=0.05)
