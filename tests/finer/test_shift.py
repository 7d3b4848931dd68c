from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.finer import nets
from tests.finer.nets import pictures, seeded
from tests.oracles import finer as oracle

from seewhy import InputError, explain
from seewhy.finer import shift
from seewhy.heads import find_head


@pytest.mark.parametrize(
    ("cell", "resolution", "expected"),
    [
        (32, 2, [-8, 8]),
        (32, 4, [-12, -4, 4, 12]),
        (4, 2, [-1, 1]),
        (4, 4, [-1, 0, 1, 2]),  # half pixels, rounded
        (224 / 13, 2, [-4, 4]),
        (2, 2, [0, 1]),
    ],
)
def test_shifts(cell: float, resolution: int, expected: list[int]) -> None:
    assert shift.shifts(cell, resolution) == expected


def test_cells_too_small_to_look_between() -> None:
    with pytest.raises(InputError) as caught:
        shift.shifts(2.0, 4)
    assert str(caught.value) == (
        "resolution: expected cells of at least 4 pixels, to look between them,"
        " got 2 pixels a cell; ask for a lower resolution"
    )


@pytest.mark.parametrize("down", [-3, 0, 2])
@pytest.mark.parametrize("right", [-1, 0, 4])
def test_a_shifted_picture(down: int, right: int) -> None:
    x = pictures(6, wide=7)
    found = shift.shifted(x, down, right)
    np.testing.assert_array_equal(found[1].numpy(), oracle.shifted(x[1].numpy(), down, right))


@pytest.mark.parametrize("resolution", [2, 4])
def test_maps_of_shifted_pictures_one_by_one(resolution: int) -> None:
    net = seeded(nets.merging()).double()
    x = pictures(16, batch=2).double()
    result = explain(net, x, [3], resolution=resolution, how="shift")

    def maps_of(picture: np.ndarray) -> np.ndarray:
        alone = explain(net, torch.from_numpy(picture)[None], [3])
        return alone.maps[0, 0].numpy()

    expected = oracle.shifted_and_interleaved(x[1].numpy(), maps_of, 4, resolution)
    np.testing.assert_allclose(result.maps[1, 0].numpy(), expected, atol=1e-12)


def test_a_spot_is_found_where_it_is() -> None:
    """Means over cells of 8 pixels, blind to where in a cell a spot is: shifts tell."""
    net = torch.nn.Sequential(
        torch.nn.AvgPool2d(8),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(3, 2),
    ).eval()
    with torch.no_grad():
        net.state_dict()["3.weight"].fill_(64.0)
        net.state_dict()["3.bias"].zero_()
    x = torch.zeros(1, 3, 32, 32)
    x[0, 0, 15, 13] = 1.0  # the corners of cells of 4 pixels next to it: y 16, x 12 and 16
    head = find_head(net, pictures(32))
    result = explain(net, x, [0], head=head, resolution=2, how="shift")
    expected = torch.zeros(8, 8)
    expected[3:5, 2:4] = 1.0  # windows of 8 pixels around (14, 10), (14, 14), (18, 10), (18, 14)
    assert torch.equal(result.maps[0, 0], expected)
