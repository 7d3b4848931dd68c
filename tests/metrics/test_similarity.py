"""How alike maps are: by hand, in plain loops, and as scikit-image has it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.oracles import similarity as oracle

from seewhy.errors import InputError
from seewhy.metrics.similarity import MEASURES, absolute_spearman, spearman, ssim

PAIRS = arrays(np.float64, (2, 8, 9), elements=st.integers(-5, 5).map(float))


def two(values: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(values[:1]).float(), torch.from_numpy(values[1:]).float()


def test_by_hand() -> None:
    up = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert spearman(up, 1000 * up**3).tolist() == pytest.approx([1])
    assert spearman(up, -up).tolist() == pytest.approx([-1])
    assert absolute_spearman(up, -up).tolist() == pytest.approx([1])
    tied = torch.tensor([[[1.0, 1.0], [-1.0, 1.0]]])  # ranks 3 3 1 3 beside 1 2 3 4
    assert spearman(up, tied).tolist() == pytest.approx([-1 / math.sqrt(5 * 3)])
    assert torch.isnan(spearman(up, torch.ones(1, 2, 2))).all()
    assert ssim(up, -7 * up).tolist() == pytest.approx([1])


@given(PAIRS)
@settings(max_examples=15)
def test_against_the_loops(values: np.ndarray) -> None:
    first, second = two(values)
    assert float(ssim(first, second)) == pytest.approx(
        oracle.ssim(values[0].tolist(), values[1].tolist(), 7), abs=1e-6
    )
    if values[0].std() and values[1].std():
        assert float(spearman(first, second)) == pytest.approx(
            oracle.spearman(values[0].tolist(), values[1].tolist()), abs=1e-6
        )


def test_as_scikit_image_has_it() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    values = np.random.default_rng(0).random((2, 20, 31))
    values /= values.max((1, 2), keepdims=True)
    expected = metrics.structural_similarity(*values, data_range=1.0)
    assert float(ssim(*two(values))) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("measure", MEASURES.values())
def test_each_picture_by_itself(measure: object) -> None:
    assert callable(measure)
    first = torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(0))
    second = torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(1))
    together = measure(first, second)
    alone = torch.cat([measure(first[i : i + 1], second[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone)
    second[1, 0, 0] = torch.nan
    assert torch.isnan(measure(first, second)).tolist() == [False, True, False]


def test_a_small_picture() -> None:
    values = np.random.default_rng(0).random((2, 4, 6))
    assert float(ssim(*two(values))) == pytest.approx(
        oracle.ssim(values[0].tolist(), values[1].tolist(), 3), abs=1e-6
    )


def test_maps_of_two_shapes() -> None:
    with pytest.raises(InputError, match=r"two of one shape \(B, H, W\), got \(1, 2, 3\) and"):
        spearman(torch.zeros(1, 2, 3), torch.zeros(1, 3, 2))
