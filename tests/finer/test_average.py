"""`explain` with finer grids, mirrored and resized pictures: what the maps add up to, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.finer import nets
from tests.finer.nets import pictures, seeded
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import Explanation, InputError, ModelError, explain, load_model
from seewhy.finer.grids import resampled
from seewhy.heads import find_head

ALL = [
    {"resolution": 2},
    {"resolution": 4},
    {"resolution": 2, "how": "shift"},
    {"flip": True},
    {"scales": (0.75, 1.0, 1.5)},
    {"scales": [2.0]},
    {"resolution": 2, "flip": True, "scales": (1.0, 1.25)},
    {"resolution": 2, "how": "shift", "flip": True},
]


@pytest.fixture
def net() -> nn.Module:
    return seeded(nets.plain())


def is_sum(result: Explanation) -> bool:
    total = result.maps.mean((2, 3)) + result.bias
    return bool(torch.allclose(total, result.target, rtol=1e-4, atol=1e-5))


@pytest.mark.parametrize("options", ALL, ids=str)
@pytest.mark.parametrize("against", [None, 1, "others"])
def test_every_mean_adds_up(net: nn.Module, options: Any, against: Any) -> None:
    x = pictures()
    result = explain(net, x, "all", against=against, **options)
    plain = explain(net, x, "all", against=against)
    assert result.is_exact
    assert is_sum(result)
    assert torch.allclose(result.logits, plain.logits, atol=1e-5)
    assert result.views is not None
    assert torch.allclose(result.views.plain, plain.target, atol=1e-5)
    assert not torch.allclose(result.target, plain.target, atol=1e-4)
    factor = options.get("resolution", 1)
    assert result.maps.shape[2:] == (8 * factor, 8 * factor)


def test_a_normalised_head_has_a_norm_for_each_view() -> None:
    class Normed(nets.Net):
        def forward(self, x: Tensor) -> Tensor:
            pooled = self.pool(self.trunk(x)).flatten(1)
            logits: Tensor = self.fc(F.layer_norm(pooled, (8,)))
            return logits

    net = seeded(Normed(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()))
    result = explain(net, pictures(), "all", resolution=2, flip=True)
    assert result.kind == "normalised"
    assert result.is_exact
    assert is_sum(result)


def test_logits_of_shifted_passes() -> None:
    net = seeded(nets.merging())
    x = pictures(16)
    result = explain(net, x, "all", resolution=2)
    assert result.views is not None
    assert result.views.how == "shift"
    with torch.no_grad():
        wider = F.pad(x, (1, 1, 1, 1), mode="replicate")
        crops = [wider[:, :, y : y + 16, z : z + 16] for y in (0, 2) for z in (0, 2)]
        mean = torch.stack([net(crop) for crop in crops]).mean(0)
    torch.testing.assert_close(result.target.gather(1, result.classes.argsort(1)), mean)


def test_a_mirrored_picture_has_the_mirrored_map(net: nn.Module) -> None:
    x = pictures()
    one = explain(net, x, [2], flip=True, resolution=2)
    other = explain(net, x.flip(3), [2], flip=True, resolution=2)
    torch.testing.assert_close(one.maps, other.maps.flip(3))
    torch.testing.assert_close(one.target, other.target)


def test_the_mean_of_a_picture_and_its_mirror(net: nn.Module) -> None:
    x = pictures()
    own, mirrored = explain(net, x, [2]), explain(net, x.flip(3), [2])
    result = explain(net, x, [2], flip=True)
    torch.testing.assert_close(result.maps, (own.maps + mirrored.maps.flip(3)) / 2)
    torch.testing.assert_close(result.target, (own.target + mirrored.target) / 2)
    assert result.views is not None
    assert (result.views.count, result.views.cost) == (2, 2.0)


def test_the_mean_over_scales(net: nn.Module) -> None:
    """0.75 of 32 pixels are 6 cells of 4; each map keeps its mean on the common grid."""
    x = pictures()
    smaller = F.interpolate(x, (24, 24), mode="bilinear", antialias=True)
    own, other = explain(net, x, [2]), explain(net, smaller, [2])
    assert other.maps.shape[2:] == (6, 6)
    result = explain(net, x, [2], scales=(1.0, 0.75))
    torch.testing.assert_close(result.maps, (own.maps + resampled(other.maps, (8, 8))) / 2)
    torch.testing.assert_close(result.target, (own.target + other.target) / 2)


def test_a_scale_that_leaves_the_plain_pass_out(net: nn.Module) -> None:
    x = pictures()
    larger = F.interpolate(x, (64, 64), mode="bilinear", antialias=True)
    result = explain(net, x, [2], scales=[2])
    torch.testing.assert_close(result.target, explain(net, larger, [2]).target)
    assert result.views is not None
    torch.testing.assert_close(result.views.plain, explain(net, x, [2]).target)
    assert result.views.cost == pytest.approx(1 + 4, rel=0.01)


def test_the_cost_in_multiply_adds() -> None:
    """Stem 16 x 16 x 3 x 4 x 9; then 8 x 8 x 4 x 8 x 9, four times as much when dilated."""
    net = seeded(
        nets.Net(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.Conv2d(4, 8, 3, 2, 1, bias=False))
    )
    stem, last, fc = 16 * 16 * 3 * 4 * 9, 8 * 8 * 4 * 8 * 9, 8 * 5
    plain = stem + last + fc
    result = explain(net, pictures(), resolution=2)
    assert result.views is not None
    assert result.views.cost == pytest.approx((stem + 4 * last + 4 * fc) / plain)
    shifted = explain(net, pictures(), resolution=2, how="shift", flip=True)
    assert shifted.views is not None
    assert (shifted.views.count, shifted.views.cost) == (8, 9.0)
    assert shifted.views.describe() == (
        "the mean of 8 views (resolution 2, shifted; mirrored), 9.0 passes' work"
    )


def test_what_is_predicted_is_what_the_model_predicts(net: nn.Module) -> None:
    x = pictures(batch=8)
    result = explain(net, x, resolution=2, flip=True)
    assert torch.equal(result.classes[:, 0], net(x).argmax(1))


def test_a_batch_of_one_and_of_many_agree(net: nn.Module) -> None:
    x = pictures(batch=3)
    together = explain(net, x, [0, 3], resolution=2, flip=True)
    alone = [explain(net, x[i : i + 1], [0, 3], resolution=2, flip=True).maps for i in range(3)]
    torch.testing.assert_close(together.maps, torch.cat(alone))


def test_oblong_pictures(net: nn.Module) -> None:
    x = pictures(16, wide=40)
    for how in ("dilate", "shift"):
        result = explain(net, x, resolution=2, how=how, flip=True, scales=(1, 1.5))
        assert result.maps.shape == (2, 1, 8, 20)
        assert is_sum(result)


def test_pictures_of_another_size_are_planned_anew(net: nn.Module) -> None:
    for side in (32, 48, 40, 32):
        result = explain(net, pictures(side), resolution=2, how="dilate")
        assert result.maps.shape[2:] == (side // 2, side // 2)
        assert result.is_exact


def test_a_network_rebuilt_since(net: nn.Module) -> None:
    """Its last stride is gone: the plan goes with the head, and a new one is made."""
    x = pictures()
    assert explain(net, x, resolution=2).maps.shape[2:] == (16, 16)
    last = net.get_submodule("trunk.5")
    assert isinstance(last, nn.Conv2d)
    last.stride = (1, 1)
    result = explain(net, x, resolution=2)
    assert result.is_exact
    assert result.maps.shape[2:] == (32, 32)


def test_the_callers_state_does_not_matter_and_is_left_alone(net: nn.Module) -> None:
    x = pictures()
    expected = explain(net, x, "all", resolution=2, flip=True)
    net.train()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    with torch.inference_mode():
        found = explain(net, x * 1.0, "all", resolution=2, flip=True)
    torch.testing.assert_close(found.maps, expected.maps)
    assert not found.maps.requires_grad
    assert not expected.maps.requires_grad
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(net: nn.Module, dtype: torch.dtype) -> None:
    result = explain(net.to(dtype), pictures().to(dtype), "all", resolution=2, flip=True)
    assert result.is_exact
    assert result.maps.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_saved_and_loaded(net: nn.Module, tmp_path: Path) -> None:
    result = explain(net, pictures(), resolution=2, scales=(1, 0.75))
    loaded = Explanation.load(result.save(tmp_path / "why.safetensors"))
    assert result.views is not None
    assert loaded.views is not None
    assert loaded.views.to_json() == result.views.to_json()
    assert loaded.views.scales == (1.0, 0.75)
    assert torch.equal(loaded.views.plain, result.views.plain)
    assert torch.equal(loaded.maps, result.maps)
    plain = explain(net, pictures())
    assert Explanation.load(plain.save(tmp_path / "plain.safetensors")).views is None


def test_a_real_network_and_a_real_picture() -> None:
    skimage = pytest.importorskip("skimage.data")
    model = load_model("efficientnet-lite0")
    cat = skimage.chelsea()
    plain = explain(model, cat, resolution=1)
    result = explain(model, cat, resolution=2)
    assert result.views is not None
    assert result.views.how == "dilate"
    assert 1.5 < result.views.cost < 2.5
    assert result.is_exact
    assert result.geometry == plain.geometry
    assert torch.equal(result.classes, plain.classes)
    torch.testing.assert_close(result.maps[:, :, 1::2, 1::2], plain.maps, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(result.views.plain, plain.target, rtol=1e-4, atol=1e-4)


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"resolution": 3}, "resolution: expected 1, 2 or 4, got 3; choose one of them"),
    (
        {"how": "dilat"},
        "how: expected 'auto' or 'dilate' or 'shift', got 'dilat'; did you mean dilate?",
    ),
    ({"scales": ()}, "scales: expected numbers from 0.1 to 10, got (); try (0.8, 1.0, 1.25)"),
    (
        {"scales": [0.0]},
        "scales: expected numbers from 0.1 to 10, got (0.0,); try (0.8, 1.0, 1.25)",
    ),
    (
        {"scales": (1.0, 1.01)},
        "scales: expected scales that differ by at least a cell of the feature grid,"
        " got 1.0 and 1.01, both pictures of 32 x 32; choose them farther apart",
    ),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_bad_wishes(net: nn.Module, options: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        explain(net, pictures(), **options)
    assert str(caught.value) == message


def test_what_cannot_be_dilated_is_named() -> None:
    with pytest.raises(InputError) as caught:
        explain(seeded(nets.merging()), pictures(), resolution=2, how="dilate")
    assert str(caught.value) == (
        'how="dilate": expected a network whose strides can be dilated exactly, got Net, whose'
        " grid goes from 16 cells to 8 by something other than a convolution, pooling or slice"
        ' that strides (trunk.0); pass how="shift"'
    )


@pytest.mark.parametrize("options", [{"resolution": 2}, {"flip": True}, {"scales": (1, 2)}])
def test_a_signal_is_no_picture(options: Any) -> None:
    layers = nn.Conv1d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()
    net = seeded(nn.Sequential(*layers, nn.Linear(8, 5)))
    x = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError) as caught:
        explain(net, x, **options)
    assert str(caught.value) == (
        "resolution, flip and scales: expected a batch of pictures (B, C, H, W),"
        " got shape (2, 3, 64); leave them out"
    )


def test_a_network_of_one_size() -> None:
    class OneSize(nets.Net):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[2:] != (32, 32):
                raise ValueError("only 32 x 32, please")
            return super().forward(x)

    net = seeded(OneSize(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()))
    assert explain(net, pictures(), flip=True).is_exact
    with pytest.raises(ModelError) as caught:
        explain(net, pictures(), scales=(1, 1.5))
    assert str(caught.value) == (
        "OneSize: expected a model that runs on pictures of 48 x 48, for the scale 1.5,"
        " got ValueError: only 32 x 32, please; leave scales out"
    )


def test_a_known_head(net: nn.Module) -> None:
    x = pictures()
    head = find_head(net, x)
    found = explain(net, x, resolution=2, head=head)
    torch.testing.assert_close(found.maps, explain(net, x, resolution=2).maps)


class Flattened(nn.Module):
    """A convolution with a stride, another, and a head that is read anew in each pass."""

    def __init__(self, *head: nn.Module) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Sequential(*head)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(x))
        return logits


HEADS = {
    "pooled": lambda: [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5)],
    "first-order": lambda: [nn.Flatten(), nn.Linear(512, 16), nn.ReLU(), nn.Linear(16, 5)],
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("how", ["dilate", "shift"])
def test_other_kinds_of_head(kind: str, how: Any) -> None:
    """The head sees one usual grid at a time; what it leaves over is the mean of what views do."""
    net = seeded(Flattened(*HEADS[kind]()))
    x = pictures()
    plain = explain(net, x, "all")
    result = explain(net, x, "all", resolution=2, how=how, flip=True)
    assert result.kind == plain.kind == kind
    assert result.maps.shape[2:] == (16, 16)
    assert result.is_exact == (kind == "pooled")
    assert result.views is not None
    torch.testing.assert_close(result.views.plain, plain.target)
    total = result.maps.mean((2, 3)) + result.bias + result.residual
    torch.testing.assert_close(total, result.target, rtol=1e-4, atol=1e-4)
    assert (float(result.residual.abs().max()) > 1e-3) == (kind == "first-order")


def test_residuals_are_means_too() -> None:
    net = seeded(Flattened(*HEADS["first-order"]()))
    x = pictures()
    own, mirrored = explain(net, x, [2]), explain(net, x.flip(3), [2])
    result = explain(net, x, [2], flip=True)
    torch.testing.assert_close(result.residual, (own.residual + mirrored.residual) / 2)
    torch.testing.assert_close(result.maps, (own.maps + mirrored.maps.flip(3)) / 2)


def test_a_network_without_products_has_a_cost_too() -> None:
    """Pooled pixels are its three logits: nothing is multiplied."""
    net = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    result = explain(net, pictures(), [1], resolution=2)
    assert result.kind == "class-maps"
    assert result.views is not None
    assert (result.views.how, result.views.cost) == ("dilate", 4.0)
