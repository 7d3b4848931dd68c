"""Picking tensors up in the middle of a pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.capture import Tap, capture
from seewhy.observe import Site


class Model(nn.Module):
    """x -> 2x -> relu -> overwritten by zeros, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.pair = nn.Identity(), Pair()

    def forward(self, x: Tensor, skip: bool = False) -> Tensor:
        if skip:
            return x
        for _ in range(2):
            x = F.relu(self.twice(x * 2))
            self.pair(x, x + 1)
        first = x.clone()
        x.zero_()
        return first


class Pair(nn.Module):
    def forward(self, one: Tensor, two: Tensor) -> dict[str, list[Tensor]]:
        return {"both": [one, two]}


X = torch.tensor([[-1.0, 3.0]])


@pytest.mark.parametrize(
    ("site", "copy", "expected"),
    [
        (Site("output", "twice", 0, ()), False, [[-2.0, 6.0]]),
        (Site("output", "twice", 1, ()), False, [[0.0, 12.0]]),
        (Site("input", "twice", 1, (0,)), False, [[0.0, 12.0]]),
        (Site("output", "pair", 0, ("both", 1)), False, [[1.0, 7.0]]),
        (Site("function", F.relu, 0, ()), False, [[0.0, 6.0]]),
        (Site("function", F.relu, 1, ()), False, [[0.0, 0.0]]),
        (Site("function", F.relu, 1, ()), True, [[0.0, 12.0]]),
        (Site("output", "pair", 1, ("both", 0)), True, [[0.0, 12.0]]),
    ],
)
def test_a_tensor_is_picked_up(site: Site, copy: bool, expected: list[list[float]]) -> None:
    model = Model()
    with capture(model, [Tap(site, copy)]) as (kept,):
        model(X)
    assert [tensor.tolist() for tensor in kept] == [expected]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_several_at_once() -> None:
    model = Model()
    taps = [Tap(Site("function", F.relu, 0, ())), Tap(Site("output", "", 0, ()))]
    with capture(model, taps) as (inner, outer):
        model(X)
    assert (inner[0].tolist(), outer[0].tolist()) == ([[0.0, 6.0]], [[0.0, 12.0]])


def test_a_pass_that_goes_another_way_leaves_the_list_empty() -> None:
    model = Model()
    with capture(model, [Tap(Site("output", "twice", 0, ()))]) as (kept,):
        model(X, skip=True)
    assert kept == []


def test_hooks_go_when_the_pass_fails() -> None:
    model: Any = Model()
    taps = [Tap(Site("output", "twice", 0, ())), Tap(Site("function", F.relu, 0, ()))]
    with pytest.raises(TypeError), capture(model, taps):
        model("text")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_site_that_does_not_exist_leaves_no_hook_behind() -> None:
    model: Any = nn.Sequential(nn.Identity())
    taps = [Tap(Site("output", "0", 0, ())), Tap(Site("output", "gone", 0, ()))]
    with pytest.raises(AttributeError, match="gone"), capture(model, taps):
        pass
    assert not model[0]._forward_hooks
