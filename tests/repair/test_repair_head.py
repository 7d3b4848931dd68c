"""The last layer fitted again."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from seewhy.repair.head import balanced, pooled_outside, rebiased, refitted
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


def test_biases_alone_become_the_log_odds() -> None:
    layer = Linear(torch.zeros(2, 1), torch.zeros(2))
    labels = torch.tensor([0, 0, 0, 1])
    fitted = rebiased(layer, torch.ones(4, 1), labels, torch.full((4,), 0.25))
    assert math.isclose(float(fitted.bias[0] - fitted.bias[1]), math.log(3), rel_tol=1e-4)
    assert fitted.weight is layer.weight


def test_a_class_without_examples_keeps_its_bias() -> None:
    layer = Linear(torch.zeros(3, 1), torch.tensor([0.0, 0.0, 0.5]))
    labels = torch.tensor([0, 0, 0, 1])
    fitted = rebiased(layer, torch.ones(4, 1), labels, torch.full((4,), 0.25))
    assert fitted.bias[2] == 0.5


@given(seed=st.integers(0, 10_000))
def test_with_the_biases_each_class_is_as_probable_as_it_is_frequent(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = Linear(torch.randn(3, 4, generator=generator), torch.randn(3, generator=generator))
    pooled = torch.randn(60, 4, generator=generator)
    labels = torch.arange(60) % 3
    weights = torch.rand(60, generator=generator) + 0.1
    weights = weights / weights.sum()
    fitted = rebiased(layer, pooled, labels, weights)
    for number in range(3):
        probable = sum(
            float(weights[i]) * float(fitted(pooled[i : i + 1]).softmax(1)[0, number])
            for i in range(60)
        )
        frequent = float(weights[labels == number].sum())
        assert math.isclose(probable, frequent, abs_tol=1e-3)
