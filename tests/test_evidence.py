"""The algebra, against plain loops over numpy arrays, and against autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles import evidence as oracle
from torch import Tensor

from seewhy import evidence

SEEDS = st.integers(0, 2**31 - 1)
GRIDS = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_map_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[10.0, 0.0], [0.0, -10.0]]]])
    rows = torch.tensor([[[1.0, 0.5], [-2.0, 0.0]]])
    maps = evidence.evidence_maps(rows, features)
    assert maps.tolist() == [[[[6.0, 2.0], [3.0, -1.0]], [[-2.0, -4.0], [-6.0, -8.0]]]]
    assert evidence.total_evidence(maps).tolist() == [[2.5, -5.0]]


def test_a_certificate_by_hand() -> None:
    maps = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    bias, logits = torch.tensor([[0.5, 4.0]]), torch.tensor([[2.5, 3.0]])
    scale = evidence.logit_scale(logits)
    assert scale.tolist() == [[3.0]]
    assert evidence.certificate(maps, bias, logits, scale).tolist() == [[0.0, pytest.approx(1 / 3)]]


def test_the_scale_of_no_logits_is_one() -> None:
    assert evidence.logit_scale(torch.tensor([[0.0, 0.0], [-4.0, 2.0]])).tolist() == [[1.0], [4.0]]


@given(SEEDS, GRIDS, st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_maps_as_by_loops(
    seed: int, grid: tuple[int, ...], channels: int, classes: int, batch: int
) -> None:
    features, rows = drawn(seed, batch, channels, *grid), drawn(seed + 1, batch, classes, channels)
    maps = evidence.evidence_maps(rows, features)
    assert maps.shape == (batch, classes, *grid)
    for picture in range(batch):
        for class_ in range(classes):
            by_loops = oracle.evidence_map(rows[picture, class_].numpy(), features[picture].numpy())
            np.testing.assert_allclose(maps[picture, class_].numpy(), by_loops, atol=1e-12)
            total = evidence.total_evidence(maps)[picture, class_]
            assert float(total) == pytest.approx(oracle.mean(by_loops), abs=1e-12)


@given(SEEDS, GRIDS, st.sampled_from(["mean", "sum"]))
def test_pooling_as_by_loops(seed: int, grid: tuple[int, ...], kind: Any) -> None:
    features = drawn(seed, 2, 3, *grid)
    factor = 1 if kind == "mean" else int(np.prod(grid))
    by_loops = np.stack([oracle.pool(picture) for picture in features.numpy()]) * factor
    np.testing.assert_allclose(evidence.pooled(features, kind).numpy(), by_loops, atol=1e-12)


@given(SEEDS, st.integers(2, 6), st.floats(0.1, 30))
def test_odds_against_all_others(seed: int, count: int, spread: float) -> None:
    """log p / (1 - p), which is the class against the mixture of the others, less its entropy."""
    logits = drawn(seed, 1, count) * spread
    ids = torch.arange(count)[None]
    q = evidence.softmax_without(logits, ids)[0]
    for c in range(count):
        expected = oracle.softmax_without(logits[0].numpy(), c)
        np.testing.assert_allclose(q[c].numpy(), expected, atol=1e-12)
        assert float(evidence.entropy(q[None])[0, c]) == pytest.approx(
            oracle.entropy(expected), abs=1e-9
        )
        margin = float(logits[0, c]) - float(np.dot(expected, logits[0].numpy()))
        odds = float(evidence.log_odds(logits, ids)[0, c])
        assert odds + oracle.entropy(expected) == pytest.approx(margin, abs=1e-9)
        if spread < 5:
            assert odds == pytest.approx(oracle.log_odds(logits[0].numpy(), c), abs=1e-6)


def test_log_odds_do_not_overflow() -> None:
    logits = torch.tensor([[1000.0, 0.0, -1000.0]])
    assert evidence.log_odds(logits, torch.tensor([[0, 2]])).tolist() == [[1000.0, -2000.0]]


@given(SEEDS, GRIDS)
def test_grad_cam_and_hirescam_are_the_map_over_the_positions(
    seed: int, grid: tuple[int, ...]
) -> None:
    """Before their ReLU, and for GAP and one linear layer: a cross-check that costs nothing."""
    features = drawn(seed, 1, 3, *grid).requires_grad_()
    weight = drawn(seed + 1, 4, 3)
    logits = features.flatten(2).mean(2) @ weight.T
    maps = evidence.evidence_maps(weight[None], features.detach())
    positions = int(np.prod(grid))
    for c in range(4):
        (gradient,) = torch.autograd.grad(logits[0, c], features, retain_graph=True)
        hirescam = (gradient * features).sum(1).detach()
        averaged = gradient.flatten(2).mean(2).view(1, 3, *(1 for _ in grid))
        grad_cam = (averaged * features).sum(1).detach()
        torch.testing.assert_close(hirescam[0], maps[0, c] / positions)
        torch.testing.assert_close(grad_cam[0], maps[0, c] / positions)


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_half_precision_is_accumulated_in_single(dtype: torch.dtype, wide: torch.dtype) -> None:
    assert evidence.accumulation_dtype(dtype) == wide
