"""The parameter randomisation test: what is redrawn, what is not, and what comes of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.comparison.colours import Colours, classifier, halves
from tests.metrics.linear import Tiny
from torch import Tensor, nn

from seewhy.errors import InputError, ModelError
from seewhy.judging.randomisation import Randomisation, randomisation_test
from seewhy.judging.randomisation_figure import COLUMNS, steps
from seewhy.judging.reinitialise import layers_of, randomised

PICTURES = [
    halves("red", "green", share=0.625),
    halves("green", "blue", share=0.75),
    halves("dark", "red", share=0.625),
]


class Backwards(nn.Module):
    """Its modules are not named in the order in which they run, and one never does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(6, 4)
        self.idle = nn.Linear(3, 3)
        self.norm = nn.BatchNorm2d(6)
        self.first = nn.Conv2d(3, 6, 3)
        self.relu = nn.ReLU(inplace=True)
        self.requires_grad_(False)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.relu(self.norm(self.first(x))).mean((2, 3)))
        return logits


IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def changed(before: dict[str, Tensor], net: nn.Module) -> set[str]:
    after = net.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


TOP = {"last.weight", "last.bias"}
BELOW = {"first.weight", "first.bias", "norm.weight", "norm.bias"}


def test_layers_from_the_logits_down_in_the_order_in_which_they_run() -> None:
    net = Backwards()
    layers = layers_of(net, IMAGE)
    assert [layer.name for layer in layers] == ["last", "first"]
    assert [len(layer.parameters) for layer in layers] == [2, 4]
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_cascading() -> None:
    net = Backwards()
    before = state(net)
    found = [(name, changed(before, copy)) for name, copy in randomised(net, IMAGE)]
    assert found == [("last", TOP), ("first", TOP | BELOW)]
    assert not changed(before, net)


def test_independent() -> None:
    net = Backwards()
    before = state(net)
    found = [(name, changed(before, copy)) for name, copy in randomised(net, IMAGE, "independent")]
    assert found == [("last", TOP), ("first", BELOW)]
    assert not changed(before, net)


def test_a_layer_forgets_and_keeps_its_scale() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(192, 300)
    net = nn.Sequential(nn.Flatten(), linear)
    with torch.no_grad():
        linear.weight.mul_(3).add_(0.7)
    learned = linear.weight.detach().clone()
    ((_, copy),) = randomised(net, IMAGE)
    drawn = copy.get_parameter("1.weight").detach()
    assert float(drawn.mean()) == pytest.approx(float(learned.mean()), abs=0.01)
    assert float(drawn.std()) == pytest.approx(float(learned.std()), rel=0.02)
    assert (
        abs(float(torch.corrcoef(torch.stack([drawn.flatten(), learned.flatten()]))[0, 1])) < 0.02
    )


def test_the_same_seed_the_same_draw() -> None:
    drawn = [
        [
            copy.get_parameter("last.weight").clone()
            for _, copy in randomised(Backwards(), IMAGE, seed=s)
        ]
        for s in (3, 3, 4)
    ]
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[0][0], drawn[2][0])


def outcome(methods: Any = ("cam", "edges"), pictures: Any = PICTURES, **how: Any) -> Randomisation:
    return randomisation_test(classifier(), pictures, methods, **how)


def test_an_edge_detector_never_changes_and_cam_does() -> None:
    result = outcome()
    assert result.layers == ("fc", "conv")
    for measure, scores in result.similarity["edges"].items():
        assert [each.mean for each in scores] == pytest.approx([1, 1]), measure
    again = [outcome(["cam"], seed=seed).similarity["cam"]["spearman"] for seed in range(6)]
    assert np.nanmean([[scores.mean for scores in each] for each in again]) < 0.7
    assert all(each.n == 3 for each in result.similarity["cam"]["ssim"])
    assert result.n == 3
    assert repr(result) == "Randomisation(cascading, 2 layers of colours, cam, edges)"


def test_the_users_model_is_untouched() -> None:
    model = classifier(Tiny().train())
    model.module.train()
    before = state(model.module)
    randomisation_test(model, PICTURES, ["gradient", "guided-backprop"])
    assert not changed(before, model.module)
    assert model.module.training
    assert all(parameter.grad is None for parameter in model.module.parameters())
    assert not any(module._forward_pre_hooks for module in model.module.modules())


def test_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = outcome()
    monkeypatch.setattr("seewhy.judging.randomisation.at_once", lambda _images: 2)
    parts = outcome()
    for measure, scores in whole.similarity["cam"].items():
        for one, other in zip(scores, parts.similarity["cam"][measure], strict=True):
            assert one.values == pytest.approx(other.values, abs=1e-4, nan_ok=True)


def test_of_quantities_the_first_is_explained() -> None:
    model = replace(classifier(), task="regression")
    assert randomisation_test(model, PICTURES[2:], ["cam"]).shown.of == "red"
    assert outcome(["cam"], PICTURES[2:]).shown.of == "dark"


def test_what_is_shown() -> None:
    result = outcome()
    assert result.shown.name == "picture 0"
    assert result.shown.of == "red"
    assert {name: maps.shape for name, maps in result.shown.maps.items()} == {
        "cam": (3, 8, 8),
        "edges": (3, 8, 8),
    }
    assert np.array_equal(result.shown.maps["edges"][0], result.shown.maps["edges"][2])


def test_a_network_without_a_map_is_nan_not_an_end() -> None:
    """Redrawn, it has a constant map at times; the table says so with a dash."""

    class Fragile(Colours):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return logits if float(self.fc.weight[0, 1]) == 0 else logits * torch.nan

    result = randomisation_test(classifier(Fragile()), PICTURES, ["cam", "edges"])
    assert math.isnan(result.similarity["cam"]["spearman"][0].mean)
    assert result.similarity["edges"]["spearman"][0].mean == pytest.approx(1)
    assert " - |" in result.table()


def test_table_and_json() -> None:
    result = outcome(order="independent")
    lines = result.table().splitlines()
    assert lines[0].split("|")[1].strip() == "method"
    assert "each layer redrawn at random alone" in result.table()
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert found["layers"] == ["fc", "conv"]
    assert found["methods"][1]["similarity"]["ssim"][0]["mean"] == pytest.approx(1)


def test_a_method_that_the_network_does_not_allow() -> None:
    model = classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)))
    result = randomisation_test(model, PICTURES, ["cam", "gradient"])
    assert list(result.refused) == ["cam"]
    assert "without cam:" in result.table()
    with pytest.raises(ModelError):
        randomisation_test(model, PICTURES, ["cam"])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"order": "cascade"}, "order: .*did you mean cascading"),
        ({"count": 0}, "count: expected 1 or more"),
        ({"methods": ["edgs"]}, "method 'edgs': .*did you mean edges"),
        ({"methods": []}, "method ''"),
    ],
)
def test_bad_input(how: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        outcome(**how)


def test_a_model_without_weights() -> None:
    with pytest.raises(ModelError, match="expected layers with weights, got none"):
        layers_of(nn.Flatten(), IMAGE)


def test_a_model_that_cannot_be_copied() -> None:
    net = Backwards()
    net.first.weight = nn.Parameter(net.first.weight * 1)
    net.stuck = (number for number in range(3))  # type: ignore[assignment]
    with pytest.raises(ModelError, match="expected a model that can be copied"):
        next(randomised(net, IMAGE))


def test_which_layers_are_drawn() -> None:
    assert steps(2) == [0, 1, 2]
    assert steps(20)[0:2] == [0, 1]
    assert steps(20)[-1] == 20
    assert len(steps(100)) == COLUMNS


def test_the_figure_is_the_same_every_time(tmp_path: Path) -> None:
    result = outcome()
    first, again = (result.save(tmp_path / f"{name}.png") for name in "ab")
    assert first.read_bytes() == again.read_bytes()
    with Image.open(first) as drawn:
        assert min(drawn.size) > 400
