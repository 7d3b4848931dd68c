"""Schedule, groups, optimiser and average, each against numbers or a naive second derivation."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.oracles.training import moving_average, nesterov
from torch import nn

from seewhy.training.optimise import Average, OneCycle, decay_over, optimiser, set_lr
from seewhy.training.recipe import Recipe


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
    )
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def test_the_schedule_by_hand() -> None:
    cycle = OneCycle(peak=1.0, steps=10, warm_up=0.2)
    want = [1 / 3, 2 / 3, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert [cycle(step) for step in range(10)] == pytest.approx(want)


def test_a_schedule_without_a_rise_falls_from_the_first_step() -> None:
    cycle = OneCycle(peak=0.4, steps=4, warm_up=0)
    assert [cycle(step) for step in range(4)] == pytest.approx([0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("warm_up", [0.0, 0.15, 0.99])
def test_a_learning_rate_is_above_0_and_at_most_the_peak(steps: int, warm_up: float) -> None:
    rates = [OneCycle(0.2, steps, warm_up)(step) for step in range(steps)]
    assert 0 < min(rates) <= max(rates) <= 0.2


def test_no_weight_decay_on_norms_and_biases() -> None:
    net = network()
    sgd = optimiser(net, (), Recipe(weight_decay=0.01))
    decays = {id(w): group["weight_decay"] for group in sgd.param_groups for w in group["params"]}
    found = {name: decays[id(weight)] for name, weight in net.named_parameters()}
    assert found == {
        "0.weight": 0.01,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "4.weight": 0.01,
        "4.bias": 0.0,
    }


def test_trained_layers_move_slowly_beside_new_ones() -> None:
    net = network()
    sgd = optimiser(net, net[4].parameters(), Recipe(trunk=0.1))
    set_lr(sgd, 0.5)
    rates = {id(w): group["lr"] for group in sgd.param_groups for w in group["params"]}
    assert [rates[id(w)] for w in net.parameters()] == pytest.approx([0.05] * 4 + [0.5] * 2)


def test_frozen_weights_are_left_alone() -> None:
    net = network()
    net[0].requires_grad_(False)
    sgd = optimiser(net, (), Recipe())
    assert sum(len(group["params"]) for group in sgd.param_groups) == 4


def test_steps_against_the_formula() -> None:
    """Channels-last weights too: the fused optimiser walks through memory, not through indices."""
    net = network().double()
    recipe = Recipe(momentum=0.9, weight_decay=0.01)
    sgd, lrs = optimiser(net, (), recipe), (0.1, 0.2, 0.05)
    first = {name: weight.detach().numpy().copy() for name, weight in net.named_parameters()}
    seen: dict[str, list[np.ndarray]] = {name: [] for name in first}
    for step, lr in enumerate(lrs):
        inputs = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(step)).double()
        set_lr(sgd, lr)
        net(inputs.to(memory_format=torch.channels_last)).square().mean().backward()
        for name, weight in net.named_parameters():
            assert weight.grad is not None
            seen[name].append(weight.grad.numpy().copy())
        sgd.step()
        sgd.zero_grad()
    for name, weight in net.named_parameters():
        decay = 0.01 if weight.ndim > 1 else 0.0
        want = nesterov(first[name], seen[name], lrs, momentum=0.9, decay=decay)
        np.testing.assert_allclose(weight.detach().numpy(), want, rtol=1e-10)


def test_the_average_against_the_formula() -> None:
    net = network()
    average = Average(net, decay=0.8)
    first, values = copy.deepcopy(net.state_dict()), []
    for step in range(4):
        net.train()
        net(torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(step)))
        with torch.no_grad():
            for weight in net.parameters():
                weight.add_(1.0)
        average.update()
        values.append({name: each.clone() for name, each in net.state_dict().items()})
    for name in ("0.weight", "1.running_mean", "1.running_var", "4.bias"):
        for place in (0, -1):
            each = [float(value[name].flatten()[place]) for value in values]
            want = moving_average(each, float(first[name].flatten()[place]), 0.8)
            got = float(average.module.state_dict()[name].flatten()[place])
            assert got == pytest.approx(want, rel=1e-5)
    assert int(average.module.state_dict()["1.num_batches_tracked"]) == 4


def test_the_average_is_of_a_copy_in_eval_mode() -> None:
    net = network().train()
    average = Average(net, decay=0.5)
    assert not average.module.training
    assert net.training
    shared = {w.data_ptr() for w in net.parameters()} & {
        w.data_ptr() for w in average.module.parameters()
    }
    assert not shared


@pytest.mark.parametrize(
    ("steps", "share", "decay"), [(1000, 0.02, 0.95), (10, 0.02, 0.0), (100, 0.0, 0.0)]
)
def test_the_average_spans_a_share_of_the_run(steps: int, share: float, decay: float) -> None:
    assert decay_over(steps, share) == pytest.approx(decay)
