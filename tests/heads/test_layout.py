"""Reading a tensor as feature maps, by hand."""

from __future__ import annotations

import pytest
import torch

from seewhy.heads.layout import BATCH, CHANNEL, SPACE, UNIT, Layout


@pytest.mark.parametrize(
    ("axes", "shape", "read"),
    [
        ((BATCH, CHANNEL, SPACE), (2, 3, 5), (2, 3, 5)),
        ((BATCH, CHANNEL, SPACE, SPACE), (2, 3, 4, 5), (2, 3, 4, 5)),
        ((BATCH, SPACE, SPACE, CHANNEL), (2, 4, 5, 3), (2, 3, 4, 5)),
        ((SPACE, BATCH, CHANNEL), (5, 2, 3), (2, 3, 5)),
        ((BATCH, SPACE, SPACE, SPACE, CHANNEL), (2, 4, 5, 6, 3), (2, 3, 4, 5, 6)),
        ((BATCH, UNIT, SPACE, CHANNEL), (2, 1, 5, 3), (2, 3, 5)),
        ((UNIT, BATCH, CHANNEL, SPACE, UNIT), (1, 2, 3, 5, 1), (2, 3, 5)),
    ],
)
def test_axes_are_put_in_order(
    axes: tuple[str, ...], shape: tuple[int, ...], read: tuple[int, ...]
) -> None:
    tensor = torch.arange(torch.Size(shape).numel()).view(shape).float()
    maps = Layout(axes).read(tensor)
    assert maps.shape == read
    assert maps.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
    assert maps.sum() == tensor.sum()


def test_channels_last_by_hand() -> None:
    tensor = torch.tensor([[[[1.0, -1.0], [2.0, -2.0]], [[3.0, -3.0], [4.0, -4.0]]]])
    maps = Layout((BATCH, SPACE, SPACE, CHANNEL)).read(tensor)
    assert maps.tolist() == [[[[1.0, 2.0], [3.0, 4.0]], [[-1.0, -2.0], [-3.0, -4.0]]]]


def test_prefix_tokens_are_left_out_and_the_grid_is_row_by_row() -> None:
    tokens = torch.tensor([[[9.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]])
    layout = Layout((BATCH, SPACE, CHANNEL), tokens=(1, None), grid=(2, 3))
    assert layout.read(tokens).tolist() == [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]
    assert layout.spatial == (1,)


@pytest.mark.parametrize(
    ("grid", "tokens", "expected"),
    [
        ((2, 3), 6, (2, 3)),
        ((2, 3), 24, (4, 6)),
        ((7, 7), 64, (8, 8)),
        ((2, 8), 4, (1, 4)),
        ((7, 7), 60, (1, 60)),
    ],
)
def test_more_tokens_make_a_grid_of_the_same_proportions(
    grid: tuple[int, int], tokens: int, expected: tuple[int, int]
) -> None:
    layout = Layout((BATCH, CHANNEL, SPACE), grid=grid)
    assert layout.read(torch.zeros(1, 2, tokens)).shape[2:] == expected
