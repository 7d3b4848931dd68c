"""Maps that know nothing of the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.metrics.baselines import BASELINES, centred_gaussian, edges, random_map
from seewhy.metrics.faithfulness.fills import smoothed

NET = nn.Identity()


def pictures(count: int = 3, size: tuple[int, int] = (20, 28)) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


def classes(count: int = 3) -> Tensor:
    return torch.arange(count)


@pytest.mark.parametrize("name", BASELINES)
def test_maps_as_those_of_a_method(name: str) -> None:
    function = BASELINES[name].function
    maps = function(NET, pictures().double(), classes())
    assert (maps.shape, maps.dtype) == ((3, 20, 28), torch.float32)
    assert bool(torch.isfinite(maps).all())
    alone = [function(NET, pictures()[i : i + 1].double(), classes()[i : i + 1]) for i in range(3)]
    assert torch.allclose(torch.cat(alone), maps, atol=1e-6)


def test_random_maps_differ_and_come_again() -> None:
    one = random_map(NET, pictures(), classes())
    assert torch.equal(one, random_map(NET, pictures(), classes()))
    assert not torch.equal(one, random_map(NET, pictures(), classes(), seed=1))
    assert not torch.equal(one, random_map(NET, pictures(), classes() + 1))
    twice = random_map(NET, pictures(1).repeat(2, 1, 1, 1), torch.tensor([0, 0]))
    assert torch.equal(twice[0], twice[1])


def test_random_maps_are_normal_and_have_no_favourite_place() -> None:
    maps = random_map(NET, pictures(300, (7, 7)), classes(300))
    assert float(maps.mean()) == pytest.approx(0, abs=0.03)
    assert float(maps.std()) == pytest.approx(1, abs=0.03)
    assert float(maps.mean(0).abs().max()) < 5 / math.sqrt(300)


def test_the_gaussian_by_hand() -> None:
    map_ = centred_gaussian(NET, pictures(1, (5, 4)), classes(1))[0]
    assert float(map_[2, 0]) == pytest.approx(math.exp(-((0.375 / 0.25) ** 2) / 2))
    assert float(map_[0, 1]) == pytest.approx(
        math.exp(-((0.4 / 0.25) ** 2) / 2) * math.exp(-((0.125 / 0.25) ** 2) / 2)
    )
    assert torch.allclose(map_, map_.flip(0, 1))


def test_edges_are_where_the_picture_changes() -> None:
    """A step of height 3 in one of three channels: a mean of 1, a slope of 1/2 on either side."""
    image = torch.zeros(1, 3, 32, 40)
    image[:, 1, :, 20:] = 3
    found = edges(NET, image, classes(1))[0]
    expected = torch.zeros(1, 1, 32, 40)
    expected[..., 19:21] = 0.5
    assert torch.allclose(found, smoothed(expected, 1.0)[0, 0], atol=1e-6)
    turned = edges(NET, image.transpose(2, 3), classes(1))[0].T
    assert torch.allclose(turned, found, atol=1e-6)
    assert float(edges(NET, torch.ones(1, 3, 8, 8), classes(1)).abs().max()) == 0


def test_smoothing_keeps_the_sum_of_a_spot() -> None:
    spot = np.zeros((1, 1, 31, 31), np.float32)
    spot[0, 0, 15, 15] = 1
    found = smoothed(torch.from_numpy(spot), 2.0)
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert float(found[0, 0, 15, 15] / found[0, 0, 15, 17]) == pytest.approx(math.exp(0.5))
