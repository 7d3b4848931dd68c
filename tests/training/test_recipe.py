"""The recipe: what it refuses, and how it settles what is left open."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from seewhy.errors import InputError
from seewhy.training.recipe import PAYS_TO_COMPILE, Recipe, usual_lr

CPU = torch.device("cpu")
NORMED = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
PLAIN = nn.Conv2d(3, 4, 3)
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("epochs", 0, "epochs: expected a whole number above 0, got 0; pass another epochs"),
        ("epochs", 1.5, "got 1.5"),
        ("epochs", True, "got True"),
        ("batch_size", 0, "batch_size: expected a whole number above 0, got 0"),
        ("seed", -1, "seed: expected a whole number from 0, got -1"),
        ("lr", 0.0, "lr: expected a finite number above 0, got 0.0; pass another lr"),
        ("lr", -0.1, "got -0.1"),
        ("lr", NAN, "got nan"),
        ("lr", INFINITY, "got inf"),
        ("lr", "0.1", "got '0.1'"),
        ("weight_decay", -1e-4, "weight_decay: expected a finite number from 0, got -0.0001"),
        ("label_smoothing", 1.0, "label_smoothing: expected a share from 0, below 1, got 1.0"),
        ("momentum", NAN, "momentum: expected a share from 0, below 1, got nan"),
        ("warm_up", 1, "warm_up: expected a share from 0, below 1, got 1"),
        ("validation", -0.1, "validation: expected a share from 0, below 1, got -0.1"),
        ("hide_and_seek", 1.0, "hide_and_seek: expected a share from 0, below 1, got 1.0"),
        ("cutout", -0.1, "cutout: expected a share from 0, below 1, got -0.1"),
        ("cutmix", -1.0, "cutmix: expected a finite number from 0, got -1.0; pass another cutmix"),
        ("cutmix", NAN, "got nan"),
        ("trunk", 1.1, "trunk: expected a share from 0 to 1, got 1.1"),
        ("precision", "float16", "precision: expected auto, float32, bfloat16, got 'float16'"),
    ],
)
def test_values_that_make_no_sense(name: str, value: Any, said: str) -> None:
    with pytest.raises(InputError) as raised:
        Recipe(**{name: value})
    assert said in str(raised.value)


def test_one_kind_of_hole() -> None:
    with pytest.raises(InputError) as raised:
        Recipe(hole=0.5, cutout=0.25)
    assert str(raised.value) == "cutout: expected no hole beside it, got hole 0.5; choose one"


@pytest.mark.parametrize(
    ("network", "is_trained", "lr"),
    [(NORMED, False, 0.2), (PLAIN, False, 0.02), (NORMED, True, 0.02), (PLAIN, True, 0.002)],
)
def test_the_learning_rate_follows_the_network(
    network: nn.Module, is_trained: bool, lr: float
) -> None:
    assert usual_lr(network, is_trained=is_trained) == pytest.approx(lr)


def settled(recipe: Recipe, pictures: int = 1000) -> Recipe:
    return recipe.settled(NORMED, pictures=pictures, device=CPU, is_trained=False)


def test_what_is_given_stays() -> None:
    given = Recipe(lr=0.3, precision="float32", compile=False, batch_size=64)
    assert settled(given) == given


def test_what_is_open_is_settled_once() -> None:
    once = settled(Recipe())
    assert (once.lr, once.batch_size, once.compile) == (0.2, 128, False)
    assert once.precision in ("float32", "bfloat16")
    assert settled(once) == once


def test_a_batch_is_no_larger_than_the_data() -> None:
    assert settled(Recipe(), pictures=72).batch_size == 72


def test_a_short_run_is_not_compiled() -> None:
    assert settled(Recipe(epochs=9), pictures=PAYS_TO_COMPILE // 10).compile is False


def test_no_bfloat16_where_nothing_multiplies_it() -> None:
    recipe = Recipe().settled(NORMED, pictures=8, device=torch.device("meta"), is_trained=False)
    assert recipe.precision == "float32"


def test_it_goes_through_json() -> None:
    recipe = settled(Recipe(lr=1 / 3, label_smoothing=0.1))
    assert Recipe(**json.loads(json.dumps(recipe.account()))) == recipe
