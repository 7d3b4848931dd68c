"""Reading a tensor as feature maps, by hand."""

from __future__ import annotations

import pytest
import torch

from seewhy import ModelError
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
        ((7, 10), 150, (10, 15)),
    ],
)
def test_more_tokens_make_a_grid_of_the_same_proportions(
    grid: tuple[int, int], tokens: int, expected: tuple[int, int]
) -> None:
    layout = Layout((BATCH, CHANNEL, SPACE), grid=grid)
    assert layout.read(torch.zeros(1, 2, tokens)).shape[2:] == expected


@pytest.mark.parametrize("tokens", [60, 7, 49 * 3])
def test_tokens_that_make_no_such_grid_are_refused(tokens: int) -> None:
    layout = Layout((BATCH, CHANNEL, SPACE), grid=(7, 7))
    with pytest.raises(ModelError) as error:
        layout.read(torch.zeros(1, 2, tokens))
    assert str(error.value) == (
        f"head: expected tokens on a grid of the proportions 7 x 7, got {tokens} tokens;"
        " find the head again with an example of this size"
    )


def test_pictures_of_other_proportions_are_refused() -> None:
    layout = Layout((BATCH, SPACE, CHANNEL), grid=(8, 8), picture=(32, 32))
    for shape in [(1, 3, 32, 32), (1, 3, 64, 64), (1, 64, 64, 3), (1, 3, 33, 32)]:
        layout.require_proportions(shape)
    for shape in [(1, 3, 16, 64), (1, 64, 16, 3)]:
        with pytest.raises(ModelError, match=r"got pictures of (16 x 64|64 x 16); find the head"):
            layout.require_proportions(shape)
