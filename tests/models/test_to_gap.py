"""`to_gap`: any flatten-headed network becomes one whose maps add up."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.peers import register_torchvision_schemas
from torch import Tensor, nn
from torch.nn import functional as F

import seewhy
from seewhy.errors import InputError, ModelError
from seewhy.models.cost import Cost
from seewhy.models.gap_account import GapAccount
from seewhy.models.to_gap import GapNet, to_gap

SIDE = 32


def picture(side: int = SIDE, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(7))


def block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True))


def chain(*tail: nn.Module) -> nn.Sequential:
    """A trunk of 16 x 16 positions and 8 channels before what is given."""
    return nn.Sequential(block(3, 4), nn.MaxPool2d(2), block(4, 8), *tail)


class Functional(nn.Module):
    """Functions in place of layers, and more lines behind the flatten than torch.fx follows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3)
        self.dropout = nn.Dropout(0.25)
        self.dense, self.out = nn.Linear(8 * 14 * 14, 20), nn.Linear(20, 5)

    def maps(self, x: Tensor) -> Any:
        return F.relu(self.second(F.relu(self.first(x))))

    def forward(self, x: Tensor) -> Any:
        x = self.dropout(F.max_pool2d(self.maps(x), 2))
        x = F.relu(self.dense(x.reshape(len(x), -1)))
        return F.log_softmax(self.out(F.dropout(x, training=self.training)), 1)


class Wide(nn.Module):
    """Convolutions as dense layers, as in timm's VGG; control flow behind the features."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(block(3, 8), nn.MaxPool2d(4))
        self.wide, self.narrow = nn.Conv2d(8, 20, 8), nn.Conv2d(20, 5, 1)

    def forward(self, x: Tensor) -> Any:
        x = self.features(x)
        if x.shape[-1] < 8:
            x = F.adaptive_avg_pool2d(x, 8)
        return self.narrow(self.wide(x).relu()).mean((2, 3))


class Residual(nn.Module):
    """A shared ReLU and a shared pooling, an addition around the last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.act, self.pool, self.norm = nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.BatchNorm2d(8)
        self.dense = nn.Linear(8 * 64, 5)

    def maps(self, x: Tensor) -> Any:
        x = self.pool(self.act(self.first(x)))
        return self.act(self.norm(x + self.second(x)))

    def forward(self, x: Tensor) -> Any:
        return self.dense(self.pool(self.maps(x)).flatten(1))


class InPlace(nn.Module):
    """Writes to tensors and does not use what the writing returns, before and after the maps."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.dense = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8 * 256, 5)

    def maps(self, x: Tensor) -> Any:
        maps: Tensor = self.features(x)
        maps.mul_(2.0)
        return F.relu_(maps)

    def forward(self, x: Tensor) -> Any:
        vector = F.max_pool2d(self.maps(x), 2).flatten(1)
        F.relu(vector.sub_(0.5), inplace=True)
        return self.dense(vector)


class Pyramid(nn.Module):
    """Spatial pyramid pooling: one feature map, pooled three times."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.dense = block(3, 8), nn.Linear(8 * 21, 5)

    def forward(self, x: Tensor) -> Any:
        x = self.features(x)
        return self.dense(torch.cat([F.adaptive_max_pool2d(x, n).flatten(1) for n in (1, 2, 4)], 1))


class Own(nn.Module):
    """Parameters and buffers of its own, a hook, an argument with a default, a dict returned."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.rand(3, 1, 1))
        self.scale, self.shift = nn.Parameter(torch.rand(8, 1, 1)), nn.Parameter(torch.rand(5))
        self.conv, self.dense = nn.Conv2d(3, 8, 3), nn.Linear(8 * 900, 5)
        self.register_forward_pre_hook(lambda _module, args: (args[0] * 2,))

    def maps(self, x: Tensor) -> Any:
        return self.conv((x * 2 - self.mean) / 0.5).relu() * self.scale

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        batch, _, _, _ = x.shape
        if mask is not None:
            x = x * mask
        maps = self.conv((x - self.mean) / 0.5).relu() * self.scale
        return {"logits": self.dense(maps.view(batch, -1)) + self.shift, "maps": maps}


class AuxiliaryInTraining(nn.Module):
    """One more head in training mode, and dropout that a function does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.aux, self.dense = nn.Linear(8 * 900, 5), nn.Linear(8 * 784, 5)

    def maps(self, x: Tensor) -> Any:
        return self.second(F.dropout(self.first(x).relu(), 0.5, self.training)).relu()

    def forward(self, x: Tensor) -> Any:
        first = F.dropout(self.first(x).relu(), 0.5, self.training)
        extra = self.aux(first.flatten(1)) if self.training else None
        logits = self.dense(self.second(first).relu().flatten(1))
        return (logits, extra) if self.training else logits


class ChannelsBehind(nn.Module):
    """(B, K, H, W) to (B, H, W, K), as networks from TensorFlow flatten."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


Maps = Callable[[Any, Tensor], Tensor]


def written_out(net: Any, x: Tensor) -> Tensor:
    maps: Tensor = net.maps(x)
    return maps


def first(count: int) -> Maps:
    return lambda net, x: net[:count](x)


def without(skipped: int, until: int) -> Maps:
    return lambda net, x: nn.Sequential(*net[:skipped], *net[skipped + 1 : until])(x)


def dense(inputs: int) -> tuple[nn.Module, ...]:
    return nn.Flatten(), nn.Linear(inputs, 20), nn.ReLU(), nn.Linear(20, 5)


# A network, its last feature maps written out, and the sides of the grids before and after.
NETS: dict[str, tuple[Callable[[], nn.Module], Maps, tuple[int, int]]] = {
    "flatten": (lambda: chain(*dense(8 * 256)), first(3), (16, 16)),
    "max pooling": (lambda: chain(nn.MaxPool2d(2), *dense(8 * 64)), first(3), (8, 16)),
    "several poolings, dropout": (
        lambda: chain(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(5), nn.Dropout(), *dense(8 * 25)),
        first(3),
        (5, 16),
    ),
    "average pooling": (lambda: chain(nn.AvgPool2d(4), *dense(8 * 16)), first(3), (4, 16)),
    "pooling before the activation": (
        lambda: chain(
            nn.Conv2d(8, 8, 1), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.ReLU(), *dense(8 * 64)
        ),
        without(4, 7),
        (8, 16),
    ),
    "one position left": (lambda: chain(nn.MaxPool2d(16), *dense(8)), first(3), (1, 16)),
    "global average, then an MLP": (
        lambda: chain(nn.AdaptiveAvgPool2d(1), *dense(8)),
        first(3),
        (16, 16),
    ),
    "global maximum": (
        lambda: chain(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
        first(3),
        (1, 16),
    ),
    "flattened twice": (
        lambda: chain(nn.Flatten(2), nn.Flatten(1), nn.Linear(8 * 256, 5)),
        first(3),
        (16, 16),
    ),
    "flattened with channels behind": (
        lambda: chain(nn.MaxPool2d(2), ChannelsBehind(), *dense(8 * 64)),
        first(3),
        (8, 16),
    ),
    "an inner module": (
        lambda: nn.Sequential(chain(nn.MaxPool2d(2)), nn.Sequential(*dense(8 * 64))),
        lambda net, x: net[0][:3](x),
        (8, 16),
    ),
    "functions": (Functional, written_out, (14, 28)),
    "wide convolution": (Wide, lambda net, x: net.features[0](x), (8, 32)),
    "residual": (Residual, written_out, (8, 16)),
    "in place": (InPlace, written_out, (16, 32)),
    "pyramid": (Pyramid, lambda net, x: net.features(x), (1, 32)),
    "own parameters": (Own, written_out, (30, 30)),
    "auxiliary head in training": (AuxiliaryInTraining, written_out, (28, 28)),
}


def converted(name: str, **options: Any) -> tuple[nn.Module, GapNet]:
    torch.manual_seed(0)
    model = NETS[name][0]().eval()
    return model, to_gap(model, **{"width": 6, "example": picture(), **options})


@pytest.mark.parametrize("name", NETS)
def test_the_trunk_gives_the_features_of_the_original_to_the_bit(name: str) -> None:
    model, net = converted(name)
    x = picture() + 1.0
    with torch.no_grad():
        assert torch.equal(net.trunk(x), NETS[name][1](model, x.clone()))


@pytest.mark.parametrize("name", NETS)
def test_the_result_has_a_certified_linear_head_on_the_finer_grid(name: str) -> None:
    _, net = converted(name)
    before, after = NETS[name][2]
    head = seewhy.find_head(net, picture())
    assert (head.kind, head.channels, head.num_classes) == ("linear", 6, 5)
    assert head.grid == net.account.grid_after == (after, after)
    assert net.account.grid_before == (before, before)
    assert head.certificate < 1e-5


@pytest.mark.parametrize("name", NETS)
def test_the_dense_layers_are_gone(name: str) -> None:
    model, net = converted(name)
    new = {id(p) for part in (net.conv, net.linear) for p in part.parameters()}
    kept = [p.shape for p in net.parameters() if id(p) not in new]
    assert all(len(shape) in (1, 3, 4) for shape in kept)
    names = {name.removeprefix("trunk.") for name in net.state_dict() if "trunk." in name}
    assert names <= set(model.state_dict())
    assert not any("dense" in name or "wide" in name or "aux" in name for name in names)


@pytest.mark.parametrize("name", NETS)
def test_the_original_is_left_as_it_was_and_shares_nothing(name: str) -> None:
    torch.manual_seed(0)
    model = NETS[name][0]()
    model.train()
    for parameter in list(model.parameters())[:1]:
        parameter.requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    net = to_gap(model, width=6, example=picture())
    assert all(m.training for m in (*model.modules(), *net.modules()))
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    memory = {t.data_ptr() for t in (*model.parameters(), *model.buffers())}
    assert memory.isdisjoint(t.data_ptr() for t in (*net.parameters(), *net.buffers()))
    assert [p.requires_grad for p in net.trunk.parameters()].count(False) == 1


@pytest.mark.parametrize("name", NETS)
def test_gradients_reach_the_first_layer(name: str) -> None:
    _, net = converted(name)
    net.train()
    F.cross_entropy(net(picture()), torch.tensor([0, 1])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.trunk.parameters())


@pytest.mark.parametrize("name", NETS)
def test_it_takes_pictures_of_another_size(name: str) -> None:
    model, net = converted(name)
    x = picture(48)
    with torch.no_grad():
        assert torch.equal(net.trunk(x), NETS[name][1](model, x.clone()))
    assert net(x).shape == (2, 5)


@pytest.mark.parametrize("name", NETS)
def test_state_goes_into_a_fresh_one(name: str) -> None:
    _, net = converted(name)
    fresh = to_gap(NETS[name][0](), width=6, example=picture()).eval()
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(picture()), net(picture()))


@pytest.mark.parametrize("name", [name for name in NETS if name != "own parameters"])
def test_it_can_be_copied_and_pickled(name: str) -> None:
    _, net = converted(name)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    for other in (copy.deepcopy(net), torch.load(file, weights_only=False)):
        assert torch.equal(other(picture()), net(picture()))
        assert other.account == net.account
        mode = other.train()
        assert all(module.training for module in mode.modules())


def test_functional_dropout_follows_the_training_mode_even_when_pickled() -> None:
    _, net = converted("auxiliary head in training")
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    for other in (net, copy.deepcopy(net), torch.load(file, weights_only=False)):
        other.train()
        assert not torch.equal(other(picture()), other(picture()))
        other.eval()
        assert torch.equal(other(picture()), other(picture()))


def test_dropout_and_batch_norm_of_the_trunk_follow_the_mode() -> None:
    tail = (nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(), nn.Conv2d(8, 8, 3))
    net = to_gap(chain(*tail, *dense(8 * 144)), width=6, example=picture())
    norm = next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.running_mean is not None
    before = norm.running_mean.clone()
    assert not torch.equal(net(picture()), net(picture()))
    assert not torch.equal(norm.running_mean, before)
    net.eval()
    before = norm.running_mean.clone()
    assert torch.equal(net(picture()), net(picture()))
    assert torch.equal(norm.running_mean, before)


COMPILE = """
import torch
from tests.models.test_to_gap import converted, picture, to_gap
for name in ("residual", "auxiliary head in training", "in place"):
    torch._dynamo.reset()
    _, net = converted(name)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(picture()), net(picture()), atol=1e-6), name
    net.train()
    compiled(picture()).sum().backward()
    assert all(p.grad is not None for p in net.trunk.parameters())
    net.eval()
    exported = torch.export.export(net, (picture(),)).module()
    assert torch.allclose(exported(picture()), net(picture()), atol=1e-6), name
    model, _ = converted(name)
    again = to_gap(torch.compile(model), width=6, example=picture())
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(picture()), net(picture())), name
"""


@pytest.mark.slow
def test_it_compiles_and_exports() -> None:
    here = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120
    subprocess.run([sys.executable, "-c", COMPILE], check=True, cwd=here)


def test_channels_last_and_autocast() -> None:
    model, net = converted("max pooling")
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = picture().to(memory_format=torch.channels_last)
    like = to_gap(model, width=6, example=x)
    like.load_state_dict(net.state_dict())
    assert like.trunk(x).is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(like(x), net(x), atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(x)
    assert logits.dtype == torch.bfloat16
    assert torch.allclose(logits.float(), net(x), atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_new_layers_are_of_the_models_type(dtype: torch.dtype) -> None:
    net = to_gap(chain(*dense(8 * 256)).to(dtype), width=6, example=picture().to(dtype))
    assert {parameter.dtype for parameter in net.parameters()} == {dtype}


def test_new_layers_are_he_initialised_from_the_global_seed() -> None:
    def made() -> GapNet:
        model = chain(*dense(8 * 256))
        torch.manual_seed(3)
        return to_gap(model, num_classes=400, width=512, example=picture())

    net, again = made(), made()
    layer: Any = net.conv.get_submodule("0")
    assert torch.equal(net.linear.weight, again.linear.weight)
    assert layer.weight.std().item() == pytest.approx((2 / (8 * 9)) ** 0.5, rel=0.02)
    assert net.linear.weight.std().item() == pytest.approx((1 / 512) ** 0.5, rel=0.02)
    assert not layer.bias.any()
    assert not net.linear.bias.any()


@pytest.mark.parametrize(("dimensions", "grid"), [(1, (30,)), (3, (6, 6, 6))])
def test_other_numbers_of_dimensions(dimensions: int, grid: tuple[int, ...]) -> None:
    conv: Any = {1: nn.Conv1d, 3: nn.Conv3d}[dimensions]
    pool: Any = {1: nn.MaxPool1d, 3: nn.MaxPool3d}[dimensions]
    side = grid[0] + 2
    x = torch.randn(2, 3, *(side,) * dimensions)
    vector = 8 * (grid[0] // 2) ** dimensions
    model = nn.Sequential(conv(3, 8, 3), nn.ReLU(), pool(2), nn.Flatten(), nn.Linear(vector, 5))
    net = to_gap(model, width=6, example=x)
    assert net.account.grid_before == tuple(extent // 2 for extent in grid)
    assert torch.equal(net.trunk(x), model[:2](x))
    assert seewhy.find_head(net, x).grid == grid


def test_keep_grid_false_keeps_the_poolings() -> None:
    tail = nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(5), *dense(8 * 25)
    model = chain(*tail)
    net = to_gap(model, width=6, keep_grid=False, example=picture())
    assert torch.equal(net.trunk(picture()), model[:5](picture()))
    assert net.account.grid_before == net.account.grid_after == (5, 5)


def test_without_a_new_convolution() -> None:
    _, net = converted("max pooling", width=None, num_classes=3)
    assert seewhy.find_head(net, picture()).describe() == (
        "linear: mean -> addmm, 8 x 16 x 16 -> 3 classes"
    )


def test_global_max_pooling_is_the_papers_gmp_and_is_exact_for_each_picture() -> None:
    _, net = converted("max pooling", pool="max")
    features = net.features(picture())
    pooled = torch.stack([maps.flatten(1).max(1).values for maps in features])
    assert torch.allclose(net(picture()), pooled @ net.linear.weight.T + net.linear.bias)
    assert seewhy.find_head(net, picture()).kind == "pooled"


def test_the_original_of_a_wrapped_model_is_used() -> None:
    model = chain(*dense(8 * 256))
    net = to_gap(nn.DataParallel(model), width=6, example=picture())
    assert torch.equal(net.trunk(picture()), model[:3](picture()))


def test_what_load_model_gives(tmp_path: Any) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(4),\n"
        "                         nn.Flatten(), nn.Linear(64, 5))\n"
    )
    classifier = seewhy.load_model(f"{file}:net", size=SIDE)
    net = to_gap(classifier, width=6)  # type: ignore[arg-type]
    assert net.account.grid_after == (30, 30)


@pytest.mark.parametrize("side", [28, 32, 64, 224])
def test_an_example_is_guessed(side: int) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(model(picture(side, 1)).shape[1], 5))
    grid = (side - 1) // 2
    assert to_gap(model, width=6).account.grid_after == (grid, grid)


# Networks that end in global average pooling already.


def test_a_network_that_needs_no_other_head_is_refused_with_a_line() -> None:
    model = chain(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    with pytest.raises(ModelError, match=r"already ends in global average pooling .*find_head"):
        to_gap(model, example=picture())
    _, net = converted("flatten")
    with pytest.raises(ModelError, match=r"GapNet.*already ends"):
        to_gap(net, example=picture())


@pytest.mark.parametrize("options", [{"num_classes": 7}, {"pool": "max"}])
def test_only_its_linear_layer_is_replaced(options: dict[str, Any]) -> None:
    model = chain(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    net = to_gap(model, example=picture(), **options)
    assert isinstance(net.conv, nn.Identity)
    assert torch.equal(net.trunk(picture()), model[:3](picture()))
    assert net.linear.weight.shape == (options.get("num_classes", 5), 8)


def test_class_maps_are_refused() -> None:
    model = chain(nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match=r"class-maps.*change its last convolution"):
        to_gap(model, num_classes=7, example=picture())


# The account.


def test_the_account_by_hand() -> None:
    model = nn.Sequential()
    model.add_module("features", chain(nn.MaxPool2d(2)))
    model.add_module("flatten", nn.Flatten())
    model.add_module("classifier", nn.Sequential(*dense(8 * 64)[1:]))
    account = to_gap(model, num_classes=3, width=6, example=picture()).account
    trunk = 3 * 4 * 9 + 4 + 4 * 8 * 9 + 8
    trunk_time = 1024 * 3 * 4 * 9 + 256 * 4 * 8 * 9
    assert account == GapAccount(
        removed=(
            "features.3 MaxPool2d",
            "flatten Flatten",
            "classifier: 2 Linear layers, 10.4 k parameters",
        ),
        kept=("features: 5 of 6 layers, 408 parameters",),
        added=("conv: 3 x 3, 8 -> 6, ReLU", "global average pooling", "linear: 6 -> 3"),
        grid_before=(8, 8),
        grid_after=(16, 16),
        before=Cost(trunk + 512 * 20 + 20 + 105, trunk_time + 512 * 20 + 100),
        after=Cost(trunk + 8 * 6 * 9 + 6 + 21, trunk_time + 256 * 8 * 6 * 9 + 18),
    )
    assert str(account) == (
        "removed  features.3 MaxPool2d\n"
        "         flatten Flatten\n"
        "         classifier: 2 Linear layers, 10.4 k parameters\n"
        "kept     features: 5 of 6 layers, 408 parameters\n"
        "added    conv: 3 x 3, 8 -> 6, ReLU\n"
        "         global average pooling\n"
        "         linear: 6 -> 3\n"
        "                      before        after\n"
        "grid                   8 x 8      16 x 16\n"
        "parameters            10.8 k          867\n"
        "multiply-adds          195 k        295 k"
    )


def test_functions_and_single_parameters_are_accounted_for_too() -> None:
    _, functional = converted("functions")
    assert "max_pool2d in forward" in functional.account.removed
    _, own = converted("own parameters")
    assert own.account.removed == ("shift, 5 parameters", "dense Linear, 36.0 k parameters")
    _, pyramid = converted("pyramid")
    assert pyramid.account.removed.count("adaptive_max_pool2d in forward") == 3


def test_many_layers_are_summed_up() -> None:
    layers = [layer for _ in range(5) for layer in (nn.Conv2d(3, 3, 1), nn.ReLU())]
    net = to_gap(nn.Sequential(*layers, *dense(3072)), width=6, example=picture())
    assert net.account.kept == ("0 to 9: 10 of 14 layers, 60 parameters",)


# What is refused, and how.


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = block(3, 4), block(4, 4)
        self.dense = nn.Linear(2 * 4 * 256, 5)

    def forward(self, x: Tensor) -> Any:
        x = F.max_pool2d(self.first(x), 2)
        return self.dense(torch.cat([x.flatten(1), self.second(x).flatten(1)], 1))


class Tokens(nn.Module):
    def __init__(self, *, one: bool) -> None:
        super().__init__()
        self.patches, self.mix = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 8)
        self.dense, self.one = nn.Linear(8 if one else 128, 5), one

    def forward(self, x: Tensor) -> Any:
        tokens = self.mix(self.patches(x).flatten(2).transpose(1, 2))
        return self.dense(tokens[:, 0] if self.one else tokens.flatten(1))


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 4, 1), nn.Linear(4 * 1024, 5)

    def forward(self, x: Tensor) -> Any:
        if self.training:
            x = x + torch.randn_like(x)
        return self.dense(self.conv(x).relu().flatten(1))


class Branching(Noisy):
    def forward(self, x: Tensor) -> Any:
        x = x * 2 if x.mean() > 0 else x
        return self.dense(self.conv(x).relu().flatten(1))


class ScriptedTrunk(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = torch.jit.script(nn.Sequential(block(3, 4), nn.MaxPool2d(2)))
        self.dense = nn.Linear(4 * 256, 5)

    def forward(self, x: Tensor) -> Any:
        return self.dense(self.trunk(x).flatten(1))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Branches, r"joins several feature maps, \(2, 4, 16, 16\) and"),
        (lambda: Tokens(one=True), r"has tokens \(2, 16, 8\) .* reads one \(a class token\?\)"),
        (lambda: Tokens(one=False), r"has tokens \(2, 16, 8\) and no maps"),
        (lambda: nn.Sequential(*dense(3072)), "has no convolution before its head"),
        (lambda: chain(), "not \\(batch, classes\\)"),
        (
            lambda: nn.Sequential(block(3, 8), nn.MaxPool2d(32), block(8, 8), *dense(8)),
            "a single position before its last convolution; pass a larger example",
        ),
        (Noisy, "in another way while it trains"),
        (Branching, "torch.fx cannot trace .*control flow.*; make the layers up to"),
        (ScriptedTrunk, "in the middle of trunk, which cannot be opened"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten()), "lazy layers; run it once"),
        (lambda: nn.Sequential(nn.Conv2d(4, 4, 3), nn.Flatten()), "a model that runs on the"),
        (lambda: torch.jit.script(chain(*dense(8 * 256))), "got a scripted one"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_a_line(
    make: Callable[[], nn.Module], said: str
) -> None:
    model = make()
    with pytest.raises(ModelError, match=said) as caught:
        to_gap(model, example=picture())
    assert "\n" not in str(caught.value)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 0}, "width: expected 1 or more, or None, got 0"),
        ({"width": 1.5}, "width: expected 1 or more, or None, got 1.5"),
        ({"num_classes": 0}, "num_classes: expected 1 or more, or None, got 0"),
        ({"num_classes": True}, "num_classes: .* got True"),
        ({"pool": "min"}, "pool: expected 'avg' or 'max', got 'min'"),
        ({"example": "picture"}, "example: expected a tensor .* got str"),
        ({"example": torch.zeros(0, 3, 32, 32)}, "example: expected a batch"),
    ],
)
def test_bad_arguments(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        to_gap(chain(*dense(8 * 256)), **options)


def test_an_example_that_cannot_be_guessed_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"no 2D convolution.*; pass example="):
        to_gap(nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten()))
    model = nn.Sequential(nn.Conv2d(7, 4, 3), nn.Flatten(), nn.Linear(4 * 15 * 15, 5))
    with pytest.raises(InputError, match=r"all usual sizes; pass example=torch.randn\(2, 7, ...\)"):
        to_gap(model)


def test_a_model_that_cannot_be_copied() -> None:
    model = chain(*dense(8 * 256))
    model.seen = model(picture())  # not a leaf of the graph
    with pytest.raises(ModelError, match="a model that can be copied"):
        to_gap(model, example=picture())


# Published networks.


def published(library: str, name: str) -> Any:
    register_torchvision_schemas()
    if library == "timm":
        import timm

        return timm.create_model(name)
    from torchvision import models

    options = {"init_weights": False} if name == "googlenet" else {}
    return getattr(models, name)(**options)


@pytest.mark.parametrize(
    ("library", "name", "last", "side", "grids"),
    [
        ("torchvision", "alexnet", 12, 224, (6, 13)),
        ("torchvision", "vgg11", 20, 64, (7, 4)),
        pytest.param("timm", "vgg11", 20, 224, (7, 14), marks=pytest.mark.slow),
        pytest.param("torchvision", "alexnet", 12, 227, (6, 13), marks=pytest.mark.slow),
        pytest.param("torchvision", "vgg16", 30, 224, (7, 14), marks=pytest.mark.slow),
        pytest.param("torchvision", "vgg16_bn", 43, 96, (7, 6), marks=pytest.mark.slow),
    ],
)
def test_networks_of_torchvision_and_timm(
    library: str, name: str, last: int, side: int, grids: tuple[int, int]
) -> None:
    model = published(library, name).eval()
    before = sum(p.numel() for p in model.parameters())
    net = to_gap(model, num_classes=10, width=16, example=picture(side))
    with torch.no_grad():
        assert torch.equal(net.trunk(picture(side)), model.features[:last](picture(side)))
    head = seewhy.find_head(net, picture(side))
    assert (head.kind, head.grid, head.num_classes) == ("linear", (grids[1],) * 2, 10)
    assert net.account.grid_before == (grids[0],) * 2
    assert net.account.before.parameters == before > 61e6
    assert net.account.after.parameters == sum(p.numel() for p in net.parameters()) < 21e6


def test_alexnet_with_the_head_of_the_paper() -> None:
    account = to_gap(published("torchvision", "alexnet")).account
    assert account.removed == (
        "features.12 MaxPool2d",
        "avgpool AdaptiveAvgPool2d",
        "classifier: 3 Linear layers, 58.6 M parameters",
    )
    assert account.kept == ("features: 12 of 13 layers, 2.47 M parameters",)
    trunk, trunk_time = 2_469_696, 655_566_528
    assert account.before == Cost(61_100_840, 714_188_480)
    assert account.after == Cost(
        trunk + 256 * 1024 * 9 + 1024 + 1_025_000, trunk_time + 169 * 256 * 1024 * 9 + 1_024_000
    )


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "googlenet", "vit_b_32"])
def test_networks_with_other_heads(name: str) -> None:
    if name == "vit_b_32":
        with pytest.raises(ModelError, match="class token"):
            to_gap(published("torchvision", name))
        return
    net = to_gap(published("torchvision", name), num_classes=3, width=16, example=picture(96))
    assert seewhy.find_head(net, picture(96)).kind == "linear"
    assert net.account.grid_after == (3, 3)
