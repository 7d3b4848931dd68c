"""Every finer position against the window that it should have looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.oracles import finer as oracle
from torch.nn import functional as F

from seewhy.finer.grids import interleaved
from seewhy.finer.windows import Split, Window, windows

ATEN = torch.ops.aten


def shape(tensor: Any) -> tuple[int, ...]:
    return tuple(tensor.shape)


def split_of(func: Any, args: tuple[Any, ...], factor: int, place: int) -> tuple[Split, Any]:
    """A split of both axes whose view number `place` along each is the usual one."""
    usual = func(*args)
    usual = usual[0] if isinstance(usual, tuple) else usual
    found = windows(func.overloadpacket.__name__, args, shape)
    assert found is not None
    steps = [window.stride // factor for window in found]
    split = Split(
        found,
        (usual.shape[2], usual.shape[3]),
        (factor, factor),
        (-place * steps[0], -place * steps[1]),
    )
    return split, usual


def finer(split: Split, func: Any, args: tuple[Any, ...], factor: int) -> Any:
    out = split.run(func, args)
    out = out[0] if isinstance(out, tuple) else out
    return interleaved(out, [(0, factor), (1, factor)])


def fits(split: Split, size: tuple[int, int]) -> bool:
    """Whether each window holds at least one cell."""
    return all(
        split.first(axis) + split.windows[axis].extent > 0 and split.last(axis) < size[axis]
        for axis in (0, 1)
    )


SETTINGS = st.tuples(
    st.integers(0, 10_000),  # seed
    st.integers(4, 9),  # height
    st.integers(4, 9),  # width
    st.integers(1, 4),  # kernel
    st.sampled_from([(2, 2), (4, 2), (4, 4)]),  # stride, factor
    st.integers(0, 3),  # which view is the usual one
)


@settings(max_examples=60, deadline=None)
@given(SETTINGS, st.integers(0, 2), st.integers(1, 2))
def test_convolution_at_more_positions(drawn: Any, padding: int, dilation: int) -> None:
    seed, high, wide, kernel, (stride, factor), place = drawn
    assume(place < factor and (kernel - 1) * dilation + 1 <= min(high, wide) + 2 * padding)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 1, high, wide, generator=g, dtype=torch.float64)
    weight = torch.randn(1, 1, kernel, kernel, generator=g, dtype=torch.float64)
    bias = torch.tensor([0.25], dtype=torch.float64)
    args = (x, weight, bias, [stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], 1)
    split, usual = split_of(ATEN.convolution.default, args, factor, place)
    found = finer(split, ATEN.convolution.default, args, factor)
    torch.testing.assert_close(found[:, :, place::factor, place::factor], usual)
    top, left = split.first(0), split.first(1)
    step = stride // factor
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            expected = oracle.convolved(
                x[1, 0].numpy(),
                weight[0, 0].numpy(),
                top + row * step,
                left + column * step,
                dilation,
            )
            assert float(found[1, 0, row, column]) == pytest.approx(expected + 0.25)


@settings(max_examples=60, deadline=None)
@given(SETTINGS, st.booleans(), st.integers(1, 2))
def test_max_pooling_at_more_positions(drawn: Any, ceil: bool, dilation: int) -> None:
    seed, high, wide, kernel, (stride, factor), place = drawn
    assume(place < factor and (kernel - 1) * dilation + 1 <= min(high, wide))
    padding = kernel // 2
    x = torch.randn(2, 1, high, wide, generator=torch.Generator().manual_seed(seed))
    args = (x, [kernel] * 2, [stride] * 2, [padding] * 2, [dilation] * 2, ceil)
    func = ATEN.max_pool2d_with_indices.default
    split, usual = split_of(func, args, factor, place)
    assume(fits(split, (high, wide)))
    found = finer(split, func, args, factor)
    assert torch.equal(found[:, :, place::factor, place::factor], usual)
    picture, step = x[0, 0].numpy(), stride // factor
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            at = split.first(0) + row * step, split.first(1) + column * step
            inside = list(oracle.cells(picture, *at, (kernel, kernel), dilation))
            expected = max((value for *_, value in inside), default=-np.inf)
            assert float(found[0, 0, row, column]) == expected


@settings(max_examples=60, deadline=None)
@given(SETTINGS, st.booleans(), st.booleans())
def test_average_pooling_at_more_positions(drawn: Any, ceil: bool, counts: bool) -> None:
    seed, high, wide, kernel, (stride, factor), place = drawn
    assume(place < factor)
    padding = kernel // 2
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 1, high, wide, generator=g, dtype=torch.float64)
    args = (x, [kernel] * 2, [stride] * 2, [padding] * 2, ceil, counts)
    split, usual = split_of(ATEN.avg_pool2d.default, args, factor, place)
    found = finer(split, ATEN.avg_pool2d.default, args, factor)
    torch.testing.assert_close(found[:, :, place::factor, place::factor], usual)
    step = stride // factor
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            at = split.first(0) + row * step, split.first(1) + column * step
            expected = oracle.averaged(
                x[0, 0].numpy(), *at, (kernel, kernel), padding, counts=counts
            )
            assert float(found[0, 0, row, column]) == pytest.approx(expected)


def test_an_average_with_a_divisor_of_its_own() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    args = (x, [2, 2], [2, 2], [0, 0], False, True, 1)
    split, usual = split_of(ATEN.avg_pool2d.default, args, 2, 0)
    found = finer(split, ATEN.avg_pool2d.default, args, 2)
    assert usual[0, 0].tolist() == [[10.0, 18.0], [42.0, 50.0]]
    assert found[0, 0].tolist() == [
        [10.0, 14.0, 18.0, 10.0],
        [26.0, 30.0, 34.0, 18.0],
        [42.0, 46.0, 50.0, 26.0],
        [25.0, 27.0, 29.0, 15.0],
    ]


@pytest.mark.parametrize(("start", "axis"), [(0, 2), (1, 2), (0, 3), (-4, 3)])
def test_a_slice_takes_what_it_skipped(start: int, axis: int) -> None:
    x = torch.arange(32.0).reshape(2, 1, 4, 4)
    args = (x, axis, start, 2**62, 2)
    found = windows("slice", args, shape)
    assert found is not None
    first = start % 4
    assert found[axis - 2] == Window(2, -first, 1)
    assert found[3 - axis] == Window()
    usual = ATEN.slice.Tensor(*args)
    sizes = (usual.shape[2], usual.shape[3])
    place = first  # so that no position lies outside
    factors, starts = ((2, 1), (-place, 0)) if axis == 2 else ((1, 2), (0, -place))
    views = Split(found, sizes, factors, starts).run(ATEN.slice.Tensor, args)
    assert torch.equal(interleaved(views, [(axis - 2, 2)]), x)
    assert torch.equal(views[2 * place : 2 * place + 2], usual)


@pytest.mark.parametrize(
    "args",
    [
        (torch.zeros(1, 2, 4, 4), 1, 0, 2**62, 2),  # channels
        (torch.zeros(1, 2, 4, 4), 2, 1, 3),  # no step
        (torch.zeros(1, 4, 8), 2, 0, 2**62, 2),  # no picture
    ],
)
def test_other_slices_slide_no_window(args: tuple[Any, ...]) -> None:
    assert windows("slice", args, shape) is None


def test_a_transposed_convolution_is_no_window() -> None:
    x, weight = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)
    args = (x, weight, None, [2, 2], [0, 0], [1, 1], True, [0, 0], 1)
    assert windows("convolution", args, shape) is None


def test_an_axis_alone() -> None:
    """A stride along the width only is split along the width only."""
    x = torch.randn(1, 3, 5, 8, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    args = (x, weight, None, [1, 2], [1, 1], [1, 1], False, [0, 0], 1)
    found = windows("convolution", args, shape)
    assert found is not None
    views = Split(found, (5, 4), (1, 2)).run(ATEN.convolution.default, args)
    torch.testing.assert_close(interleaved(views, [(1, 2)]), F.conv2d(x, weight, padding=1))
