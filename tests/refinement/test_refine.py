"""`refine`: what it is made of, that the evidence stays beside it, and that no trace is left."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from tests.nets import Bare
from tests.oracles import refine as oracle
from tests.refinement.nets import Pyramid, pictures, seeded
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import InputError, explain, load_model
from seewhy.models.cost import cost
from seewhy.refinement import WORDS, refine


@pytest.fixture
def net() -> Pyramid:
    made = seeded(Pyramid())
    assert isinstance(made, Pyramid)
    return made


def test_it_is_the_evidence_spread_among_like_positions(net: Pyramid) -> None:
    x = pictures()
    result = refine(net, x, [0, 3], share=0.2)
    with torch.no_grad():
        features = net.blocks[0](torch.relu(net.stem(x)))
    positive = explain(net, x, [0, 3]).maps.clamp_min(0)
    coarse = F.interpolate(positive, size=(16, 16), mode="bilinear", align_corners=False)
    assert result.refined.shape == (3, 2, 16, 16)
    for b in range(3):
        alike = oracle.likeness(oracle.positions(features[b].tolist()))
        power = float(result.power[0, b])
        assert oracle.effective_share(alike, power) == pytest.approx(0.2, rel=0.1)
        for k in range(2):
            moved = oracle.spread(coarse[b, k].flatten().tolist(), alike, power)
            least, most = min(moved), max(moved)
            by_hand = torch.tensor([(each - least) / ((most - least) or 1) for each in moved])
            assert torch.allclose(result.refined[b, k].flatten(), by_hand, atol=1e-4)


def test_the_raw_map_stays_beside_it(net: Pyramid) -> None:
    x = pictures()
    plain, result = explain(net, x, "top2"), refine(net, x, "top2")
    assert torch.equal(result.raw.maps, plain.maps)
    assert torch.equal(result.raw.classes, plain.classes)
    assert result.raw.is_exact
    assert WORDS in repr(result)
    assert WORDS == "refined: where the object is, not the evidence"


def test_maps_run_from_0_to_1_and_none_is_made_of_nothing() -> None:
    class WithAgainst(Pyramid):
        """Class 0 has evidence nowhere."""

        def forward(self, x: Tensor) -> Tensor:
            features = self.blocks(F.relu(self.stem(x)))
            rows = torch.stack([-torch.ones(12), torch.ones(12)])
            return F.linear(features.mean((2, 3)), rows)

    net = seeded(WithAgainst())
    result = refine(net, pictures(), [0, 1])
    assert not result.refined[:, 0].any()
    assert torch.allclose(result.refined[:, 1].amax((1, 2)), torch.ones(3))
    assert not result.refined[:, 1].amin((1, 2)).any()


def test_one_pass_with_the_spreading_is_what_it_costs(net: Pyramid) -> None:
    calls: list[int] = []
    x = pictures()
    refine(net, x)  # finds the head, the features and the cost
    with net.register_forward_pre_hook(lambda _net, args: calls.append(len(args[0]))):
        result = refine(net, x, [1, 2])
    assert calls == [3]
    one = cost(net, x[:1]).multiply_adds
    assert result.multiply_adds == one + 256 * 256 * (6 + 2)
    assert result.passes == pytest.approx(result.multiply_adds / one)


def test_looks_are_averaged(net: Pyramid) -> None:
    x = pictures()
    both = refine(net, x, [1], flip=True)
    here, there = refine(net, x, [1]), refine(net, x.flip(3), [1])
    assert torch.allclose(both.refined, mean_of(here.refined, there.refined.flip(3)), atol=1e-5)
    assert both.passes == pytest.approx(2 * here.passes)
    more = refine(net, x, [1], scales=(0.5,))
    assert len(more.power) == 2
    assert torch.equal(more.raw.maps, here.raw.maps)
    smaller = refine(net, F.interpolate(x, (16, 16), mode="bilinear", antialias=True), [1])
    fitted = smaller.upsample((16, 16))
    assert torch.allclose(more.refined, mean_of(here.refined, fitted), atol=1e-5)


def mean_of(first: Tensor, second: Tensor) -> Tensor:
    """The mean, brought to run from 0 to 1."""
    mean = (first + second) / 2
    least, most = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
    return (mean - least) / torch.where(most > least, most - least, 1)


def test_a_mirrored_picture_has_the_mirrored_map_where_the_network_agrees(net: Pyramid) -> None:
    x = pictures()
    both = refine(net, x, [1], flip=True)
    other = refine(net, x.flip(3), [1], flip=True)
    assert torch.allclose(both.refined, other.refined.flip(3), atol=1e-5)


def _frozen(net: nn.Module) -> None:
    net.requires_grad_(requires_grad=False)


def _training(net: nn.Module) -> None:
    net.train()


@pytest.mark.parametrize("change", [_frozen, _training, lambda _net: None])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_network_is_left_as_it_was(
    net: Pyramid, change: Callable[[nn.Module], None], mode: Callable[[], object]
) -> None:
    change(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    was_training = net.training
    with mode():  # type: ignore[attr-defined]
        result = refine(net, pictures())
    assert net.training is was_training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert not result.refined.requires_grad


def test_many_pictures_are_the_same_as_few(net: Pyramid, monkeypatch: pytest.MonkeyPatch) -> None:
    x = pictures(batch=5)
    whole = refine(net, x, [0])
    monkeypatch.setattr("seewhy.refinement.looks._AT_ONCE", 2 * 256**2)
    assert torch.allclose(refine(net, x, [0]).refined, whole.refined, atol=1e-6)


def test_a_loaded_classifier_takes_pictures_and_keeps_their_geometry() -> None:
    import numpy as np

    model = load_model("resnet20-cifar10")
    picture = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    result = refine(model, [picture], "top2")
    assert result.refined.shape == (1, 2, 32, 32)
    geometry = result.raw.geometry[0]
    assert geometry is not None
    assert geometry.original == (48, 40)
    assert result.raw.class_names == model.class_names


def test_it_is_drawn_beside_the_evidence_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from seewhy import render

    lines: list[str] = []
    written = render.written

    def noted(of: list[str], **how: int) -> Image.Image:
        lines.extend(of)
        return written(of, **how)

    monkeypatch.setattr(render, "written", noted)
    picture = Image.new("RGB", (400, 300), (90, 140, 60))
    model = load_model("resnet20-cifar10")
    drawn = refine(model, [picture], ["ship"]).draw(0, picture)
    assert lines == ["evidence for ship", "refined: where the object is, not the evidence"]
    assert drawn.width == 2 * 400 + 3 * 8
    left, right = (drawn.crop((x, 8, x + 400, 308)) for x in (8, 416))
    assert left.tobytes() != right.tobytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"share": 0}, "share: expected a share of the picture, above 0 and below 1, got 0; pass"),
        ({"share": math.nan}, "share: expected a share of the picture"),
        ({"finer": 0}, "finer: expected 1, 2, 4, ..., got 0; pass 4"),
        ({"finer": 3}, "got only 2, 4, 8 times as fine; pass finer=8"),
        ({"scales": (0,)}, "scales: expected numbers from 0.1 to 10"),
    ],
)
def test_bad_wishes_are_one_line(net: Pyramid, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        refine(net, pictures(), **options)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match=r"refine: expected pictures \(B, C, H, W\), got shape"):
        refine(Bare([[1.0]], [0.0]), torch.ones(2, 1, 5))
