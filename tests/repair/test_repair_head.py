"""The last layer fitted again."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.repair import calibrating

from seewhy.repair.head import balanced, calibrated, pooled_outside, refitted
from seewhy.repair.project import Linear


def test_within_a_group_every_class_counts_alike() -> None:
    labels = torch.tensor([0, 0, 0, 1, 0, 1, 1])
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    weights = balanced(labels, groups, torch.tensor([0.6, 0.4]))
    expected = [0.1, 0.1, 0.1, 0.3, 0.2, 0.1, 0.1]
    torch.testing.assert_close(weights, torch.tensor(expected))


def test_a_group_without_pictures_gets_nothing() -> None:
    weights = balanced(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.5]))


def _shortcut() -> tuple[Linear, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Class 0 lies along x, class 1 along y, and a mark along z speaks for class 0."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    plain = 0.3 * torch.randn(400, 3, generator=generator)
    plain[torch.arange(400), labels] += 1
    plain[:, 2] *= 0.1
    marked = plain + torch.tensor([0.0, 0.0, 1.0])
    layer = Linear(torch.tensor([[4.0, 0.0, 5.0], [0.0, 4.0, -5.0]]), torch.zeros(2))
    return layer, plain, marked, labels


def test_marks_in_every_class_unlearn_the_mark() -> None:
    layer, plain, marked, labels = _shortcut()
    assert (layer(marked).argmax(1) == labels).float().mean() < 0.6
    pooled, both = torch.cat([plain, marked]), labels.repeat(2)
    weights = balanced(both, (torch.arange(800) >= 400).long(), torch.tensor([0.5, 0.5]))
    mended = refitted(layer, pooled, both, weights)
    assert (mended(marked).argmax(1) == labels).float().mean() > 0.95
    assert (mended(plain).argmax(1) == labels).float().mean() > 0.95


def test_without_the_group_the_mark_keeps_its_weight() -> None:
    layer, plain, marked, labels = _shortcut()
    weights = balanced(labels, torch.zeros_like(labels), torch.tensor([1.0]))
    mended = refitted(layer, plain, labels, weights)
    assert (mended(marked).argmax(1) == labels).float().mean() < 0.6


def test_a_strong_penalty_keeps_the_layer() -> None:
    layer, plain, _, labels = _shortcut()
    weights = torch.full((400,), 1 / 400)
    mended = refitted(layer, plain, labels, weights, l2=1e6)
    torch.testing.assert_close(mended.weight, layer.weight, rtol=0, atol=1e-3)


def test_pooling_outside_leaves_the_cells_out() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 100.0]]], [[[1.0, 2.0], [3.0, 6.0]]]])
    cells = torch.zeros(2, 2, 2, dtype=torch.bool)
    cells[0, 1, 1] = True
    cells[1] = True  # nothing is left: over all
    torch.testing.assert_close(pooled_outside(features, cells), torch.tensor([[2.0], [3.0]]))


def test_of_a_layer_that_sees_nothing_biases_become_the_log_odds() -> None:
    layer = Linear(torch.zeros(2, 1), torch.zeros(2))
    labels = torch.tensor([0, 0, 0, 1])
    fitted = calibrated(layer, torch.ones(4, 1), labels, torch.full((4,), 0.25))
    assert math.isclose(float(fitted.bias[0] - fitted.bias[1]), math.log(3), rel_tol=1e-4)
    assert not fitted.weight.any()


def test_gains_become_what_evidence_is_worth() -> None:
    """Three pictures in four with x = 1 are of class 0, of those with x = -1 of class 1."""
    layer = Linear(torch.tensor([[0.1], [-0.1]]), torch.zeros(2))
    pooled = torch.tensor([[1.0]] * 4 + [[-1.0]] * 4)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    fitted = calibrated(layer, pooled, labels, torch.full((8,), 0.125), l2=0.0)
    expected = torch.tensor([[math.log(3) / 2], [-math.log(3) / 2]])
    torch.testing.assert_close(fitted.weight, expected, rtol=1e-3, atol=0)
    torch.testing.assert_close(fitted.bias, torch.zeros(2), rtol=0, atol=1e-3)


def test_where_all_is_right_gains_do_not_grow_without_end() -> None:
    layer = Linear(torch.tensor([[20.0], [-20.0]]), torch.zeros(2))
    pooled, labels = torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])
    fitted = calibrated(layer, pooled, labels, torch.full((2,), 0.5))
    torch.testing.assert_close(fitted.weight, layer.weight)


def test_a_class_without_examples_stays_as_it_is() -> None:
    layer = Linear(torch.tensor([[1.0], [-1.0], [0.25]]), torch.tensor([0.0, 0.0, 0.5]))
    labels = torch.tensor([0, 0, 0, 1])
    pooled = torch.tensor([[1.0], [2.0], [-1.0], [-1.0]])
    fitted = calibrated(layer, pooled, labels, torch.full((4,), 0.25))
    torch.testing.assert_close(fitted(pooled)[:, 2], layer(pooled)[:, 2])
    assert not torch.allclose(fitted(pooled)[:, 0], layer(pooled)[:, 0])


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_gains_and_biases_are_those_of_a_plain_search(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = Linear(torch.randn(3, 4, generator=generator), torch.randn(3, generator=generator))
    pooled = torch.randn(30, 4, generator=generator) + 2  # far from 0: biases go with the gains
    labels = torch.arange(30) % 3
    weights = torch.rand(30, generator=generator) + 0.1
    weights = weights / weights.sum()
    fitted = calibrated(layer, pooled, labels, weights, l2=0.05)
    weight, bias = calibrating(
        0.05,
        layer.weight.double().numpy(),
        layer.bias.double().numpy(),
        pooled.double().numpy(),
        labels.numpy(),
        weights.double().numpy(),
    )
    other = Linear(*(torch.from_numpy(each).float() for each in (weight, bias)))
    torch.testing.assert_close(
        fitted(pooled).softmax(1), other(pooled).softmax(1), rtol=0, atol=2e-3
    )
