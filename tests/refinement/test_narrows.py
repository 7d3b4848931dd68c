"""Which features are found on a finer grid, and what is said where there are none."""

from __future__ import annotations

import pytest
import torch
from tests.peers import register_torchvision_schemas
from tests.refinement.nets import Padding, Pyramid, pictures, seeded

from seewhy import InputError
from seewhy.capture import capture
from seewhy.heads import find_head
from seewhy.refinement.narrows import Narrows, find_narrows


def narrows(net: torch.nn.Module, finer: int, side: int = 32) -> Narrows:
    few = pictures(side, batch=2)
    with torch.no_grad():
        return find_narrows(net, find_head(net, few), few, finer)


@pytest.mark.parametrize(
    ("finer", "grid", "channels", "owner"),
    [(2, 8, 8, "blocks.1"), (4, 16, 6, "blocks.0"), (8, 32, 4, None)],
)
def test_the_output_of_a_block_is_found_and_what_lies_beside_a_shortcut_is_not(
    finer: int, grid: int, channels: int, owner: str | None
) -> None:
    found = narrows(seeded(Pyramid()), finer)
    assert found.grid == (grid, grid)
    assert found.channels == channels
    if owner:
        assert str(found.tap.site.owner).startswith(owner)


def test_what_is_picked_up_is_what_the_block_returned_in_spite_of_relus_in_place() -> None:
    net = seeded(Pyramid())
    found = narrows(net, 4)
    x = pictures()
    with torch.no_grad():
        with capture(net, [found.tap]) as (kept,):
            net(x)
        assert isinstance(net, Pyramid)
        expected = net.blocks[0](torch.relu(net.stem(x)))
    assert torch.equal(kept[0], expected)


def test_of_several_the_narrowest_is_taken() -> None:
    found = narrows(seeded(Padding()), 2)
    assert (found.channels, found.grid) == (4, (32, 32))


def test_odd_sizes_are_as_fine_as_even_ones() -> None:
    assert narrows(seeded(Pyramid()), 4, side=30).grid == (15, 15)


def test_no_such_grid_is_one_line_with_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        narrows(seeded(Pyramid()), 16)
    assert str(caught.value) == (
        "refine: Pyramid: expected features on a grid 16 times as fine as its 4 x 4,"
        " got only 2, 4, 8 times as fine; pass finer=8"
    )


def test_a_network_of_one_grid_has_none() -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    net.append(torch.nn.Linear(4, 3))
    with pytest.raises(InputError, match="got no finer ones; look at the maps as they are"):
        narrows(seeded(net), 4)


@pytest.mark.parametrize(
    ("name", "owner", "channels"),
    [("resnet18", "layer2", 128), ("mobilenetv2_050", "blocks.2", 16), ("convnext_atto", "", 80)],
)
def test_the_stage_of_stride_8_in_networks_of_timm(name: str, owner: str, channels: int) -> None:
    register_torchvision_schemas()
    timm = pytest.importorskip("timm")
    net = timm.create_model(name, num_classes=10).eval()
    found = narrows(net, 4, side=64)
    assert found.grid == (8, 8)
    assert found.channels == channels
    assert str(found.tap.site.owner).startswith(owner)
