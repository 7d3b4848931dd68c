"""Draws are a function of what they are for. The literals keep old runs repeatable."""

from __future__ import annotations

import torch

from seewhy.training.draws import generator, order, seed_of


def test_the_draws_of_published_runs() -> None:
    assert seed_of(0, "step", 0, 0) == 5763866446675112022
    assert seed_of(0, "weights") == 3699729803252847382
    assert order(0, 0, 8).tolist() == [1, 7, 4, 6, 3, 2, 5, 0]
    assert order(0, 1, 8).tolist() == [2, 7, 3, 4, 6, 5, 1, 0]


def test_unlike_arguments_give_unlike_seeds() -> None:
    asked = [
        (seed, purpose, n, m) for seed in (0, 1) for purpose in "ab" for n in (0, 1) for m in (0, 1)
    ]
    assert len({seed_of(*each) for each in asked}) == len(asked)


def test_a_seed_fits_torch() -> None:
    assert all(0 <= seed_of(2**63 - 1, "x", number) < 2**63 for number in range(100))


def test_an_order_has_each_picture_once() -> None:
    assert sorted(order(3, 7, 100).tolist()) == list(range(100))


def test_nothing_of_torch_s_own_is_drawn() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    torch.rand(4, generator=generator(0, "x"))
    order(0, 0, 10)
    assert torch.equal(torch.get_rng_state(), before)
