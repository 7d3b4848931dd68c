"""Labels, yes or no, quantities: the same metrics, worked out by hand on sums of pixels."""

from __future__ import annotations

import math

import pytest
import torch
from tests.metrics.linear import Tiny
from torch import Tensor, nn

from seewhy.errors import ClassError, InputError, ModelError
from seewhy.metrics.faithfulness import (
    METRICS,
    Asked,
    average_drop,
    choose,
    deletion,
    increase,
    infidelity,
    insertion,
    road,
    sufficiency,
)
from seewhy.metrics.faithfulness.infidelity import hidden
from seewhy.metrics.faithfulness.table import Settings


class Sums(nn.Module):
    """Output k is the sum of the pixels times k + 1, less k."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        total = x.sum((1, 2, 3))
        return torch.stack([total * (k + 1) - k for k in range(self.outputs)], 1)


PICTURE = torch.tensor([[[[3.0, 1.0], [-2.0, 0.0]]]])
BEST = PICTURE[:, 0]
LEFT = [2.0, -1.0, -2.0, -2.0, 0.0]  # the sum as 3, 1, 0 and -2 go
FIRST, SECOND = torch.tensor([0]), torch.tensor([1])


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_a_label_beside_others_has_a_sigmoid() -> None:
    labels = Asked(Sums(), "multi-label")
    for classes, expected in ((FIRST, LEFT), (SECOND, [2 * total - 1 for total in LEFT])):
        found = deletion(labels, PICTURE, classes, BEST, steps=4)
        assert found.probabilities[0] == pytest.approx([sigmoid(z) for z in expected])
        assert found.is_top[0].tolist() == [z > 0 for z in expected]
    choice = deletion(Sums(), PICTURE, FIRST, BEST, steps=4)
    assert choice.probabilities[0, 0] == pytest.approx(sigmoid(2 - 3))


def test_one_logit_speaks_for_yes_and_against_no() -> None:
    either = Asked(Sums(outputs=1), "binary")
    yes = deletion(either, PICTURE, SECOND, BEST, steps=4)
    no = deletion(either, PICTURE, FIRST, BEST, steps=4)
    assert yes.probabilities[0] == pytest.approx([sigmoid(z) for z in LEFT])
    assert no.probabilities[0] == pytest.approx([sigmoid(-z) for z in LEFT])
    assert infidelity(either, PICTURE, SECOND, BEST, count=3).lost == pytest.approx(
        -infidelity(either, PICTURE, FIRST, BEST, count=3).lost
    )
    with pytest.raises(ClassError, match="ids from 0 to 1"):
        deletion(either, PICTURE, FIRST + 2, BEST)


def test_of_a_regression_the_output_is_watched() -> None:
    quantity = Asked(Sums(), "regression")
    gone = deletion(quantity, PICTURE, FIRST, BEST, steps=4)
    assert gone.probabilities[0] == pytest.approx(LEFT)
    assert gone.area.values == pytest.approx([(1.0 - 1 - 2 - 2 + 0) / 4])
    come = insertion(quantity, PICTURE, FIRST, BEST, steps=4, fill="mean")
    assert come.probabilities[0] == pytest.approx([0, 3, 4, 4, 2])
    found = infidelity(quantity, PICTURE, SECOND, 2 * BEST, count=5)
    assert found.plain.mean == pytest.approx(0, abs=1e-9)
    both = road(quantity, torch.ones(1, 1, 4, 4), FIRST, torch.rand(1, 4, 4), noise=0)
    assert both.most.probabilities == pytest.approx(16, abs=0.02)


@pytest.mark.parametrize("metric", [average_drop, increase, sufficiency])
def test_what_asks_for_probabilities_is_not_asked_of_quantities(metric: object) -> None:
    with pytest.raises(InputError, match="expected a model that gives probabilities"):
        metric(Asked(Sums(), "regression"), PICTURE, FIRST, BEST)  # type: ignore[operator]


def test_a_label_stays_if_it_stays_more_probable_than_not() -> None:
    """Of 3, 1, 0 and -2 the best half stays, in grey: 4, and 2 * 4 - 1 = 7 of the other output."""
    how = {"area": 0.5, "fill": "mean"}
    for task, expected in (("multi-label", 1), ("single-label", 0)):
        asked = Asked(Sums(), task)  # type: ignore[arg-type]
        assert sufficiency(asked, PICTURE, FIRST, BEST, **how).values == [expected]  # type: ignore[arg-type]


def test_the_metrics_of_a_task() -> None:
    assert list(choose(None, "regression")) == ["deletion", "insertion", "road", "infidelity"]
    assert list(choose(None, "multi-label")) == list(METRICS)
    with pytest.raises(InputError, match="got what asks for probabilities, of a regression"):
        choose(["increase"], "regression")


@pytest.mark.parametrize("name", ["task", "precision"])
def test_what_is_not_known_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} 'nothing'"):
        Asked(Sums(), **{name: "nothing"})  # type: ignore[arg-type]


def case(count: int = 3) -> tuple[Tiny, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 12, 10, generator=generator)
    return Tiny(), images, torch.tensor([2, 0, 3]), torch.randn(count, 12, 10, generator=generator)


@pytest.mark.parametrize("name", METRICS)
def test_an_engine_in_the_place_of_the_model(name: str) -> None:
    net, images, classes, maps = case()
    given = images, classes, maps
    expected = METRICS[name].measure(Settings(steps=5), net, *given).scores.values
    found = METRICS[name].measure(Settings(steps=5), Asked(net.eval().forward), *given)
    assert found.scores.values == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_less_precision_is_near() -> None:
    net, images, classes, maps = case()
    plain = deletion(net, images, classes, maps, steps=9)
    less = deletion(Asked(net, precision="bfloat16"), images, classes, maps, steps=9)
    deviation = abs(less.probabilities - plain.probabilities).max()
    assert 0 < deviation < 0.05
    assert net.training


class Viewing(nn.Module):
    """Takes features for vectors by a view, which channels last in memory do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 10 * 8, 4)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x)
        logits: Tensor = self.fc(features.view(len(x), -1))
        return logits


def test_a_network_that_wants_its_channels_first() -> None:
    _, images, classes, maps = case()
    found = deletion(Viewing().eval(), images, classes, maps, steps=3)
    assert found.probabilities.shape == (3, 4)
    with pytest.raises(ModelError, match="that runs on these pictures"):
        deletion(Viewing().eval(), images[:, :, 1:], classes, maps[:, 1:], steps=3)


def test_squares_are_hidden_once_for_all_maps() -> None:
    net, images, classes, maps = case()
    passes: list[int] = []
    net.register_forward_hook(lambda _module, given, _output: passes.append(len(given[0])))
    lost = hidden(net, images, classes, count=7)
    assert sum(passes) == 3 * 8
    for each in (maps, -maps, maps**2):
        found = lost.foretold_by(each)
        alone = infidelity(net, images, classes, each, count=7)
        assert found.unexplained.values.tolist() == alone.unexplained.values.tolist()
    assert sum(passes) == 4 * 3 * 8


def test_a_metric_asks_once_what_does_not_depend_on_the_map() -> None:
    net, images, classes, maps = case()
    passes: list[int] = []
    net.register_forward_hook(lambda _module, given, _output: passes.append(len(given[0])))
    for name, shared, own in (("deletion", 2, 9), ("insertion", 2, 9), ("infidelity", 65, 0)):
        passes.clear()
        measure = METRICS[name].begin(Settings(steps=10), net, images, classes)
        measure(maps)
        measure(-maps)
        assert sum(passes) == 3 * (shared + 2 * own), name
