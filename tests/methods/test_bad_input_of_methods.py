"""Whatever is wrong with a model, its pictures or classes, every method says it, or still works."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.methods.test_map_methods import CLASSES, needs_captum, net_for, pictures
from torch import Tensor, nn

from seewhy.errors import ClassError, InputError, ModelError, SeewhyError
from seewhy.methods import METHODS

Given = tuple[nn.Module, Tensor, Tensor]


class Wrapped(nn.Module):
    """A network, something done to its input, and something to its output."""

    def __init__(
        self,
        net: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        after: Callable[[Tensor], Any] = lambda logits: logits,
    ) -> None:
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x: Tensor) -> Any:
        return self.after(self.net(self.before(x)))


def spoiled(net: nn.Module, parameter: str, value: float) -> nn.Module:
    with torch.no_grad():
        net.get_parameter(parameter)[1] = value
    return net


# What is given, the kind of error, and a part of what it says, one of these.
REFUSED: dict[str, tuple[Callable[[nn.Module], Given], type[SeewhyError], tuple[str, ...]]] = {
    "NaN in the last weights": (
        lambda net: (spoiled(net, "fc.weight", math.nan), pictures(), CLASSES),
        ModelError,
        ("NaN",),
    ),
    "NaN in the first weights": (
        lambda net: (spoiled(net, "first.weight", math.nan), pictures(), CLASSES),
        ModelError,
        ("NaN",),
    ),
    "NaN in one picture": (
        lambda net: (net, pictures().index_fill(0, torch.tensor([1]), math.nan), CLASSES),
        ModelError,
        ("NaN",),
    ),
    "infinite weights": (
        lambda net: (spoiled(net, "fc.weight", math.inf), pictures(), CLASSES),
        ModelError,
        ("NaN", "infinite"),
    ),
    "a class too many": (
        lambda net: (net, pictures(), torch.tensor([0, 5, 1])),
        ClassError,
        ("expected ids from 0 to 4, got",),
    ),
    "a class below zero": (
        lambda net: (net, pictures(), torch.tensor([0, -1, 1])),
        ClassError,
        ("expected ids from 0 to 4, got",),
    ),
    "classes that are no integers": (
        lambda net: (net, pictures(), torch.tensor([0.0, 1.0, 2.0])),
        ClassError,
        ("got float32 of shape (3",),
    ),
    "a class too few": (
        lambda net: (net, pictures(), torch.tensor([0, 1])),
        ClassError,
        ("classes: expected",),
    ),
    "pictures of one pixel": (
        lambda net: (net, pictures(side=1), CLASSES),
        ModelError,
        ("Kernel size can't be greater than actual input size",),
    ),
    "grey pictures": (
        lambda net: (net, pictures()[:, :1], CLASSES),
        ModelError,
        ("expected input[", "to have 3 channels, but got 1"),
    ),
    "integers": (
        lambda net: (net, (50 * pictures()).to(torch.uint8), CLASSES),
        InputError,
        ("uint8",),
    ),
    "no pictures": (lambda net: (net, pictures()[:0], CLASSES[:0]), InputError, ("(0, 3, 8, 8)",)),
    "no batch": (lambda net: (net, pictures()[0], CLASSES), InputError, ("shape (3, 8, 8)",)),
    "a model without logits": (
        lambda net: (Wrapped(net, after=lambda _: "a cat"), pictures(), CLASSES),
        ModelError,
        ("logits", "returns no tensor"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", METHODS)
def test_it_is_said(name: str, case: str) -> None:
    needs_captum(name)
    give, kind, parts = REFUSED[case]
    with pytest.raises(kind) as caught:
        METHODS[name].function(*give(net_for(name)))
    line = str(caught.value)
    assert "\n" not in line
    assert any(part in line for part in parts), line


WORKS: dict[str, Callable[[nn.Module], Given]] = {
    "a model that returns a dict": lambda net: (
        Wrapped(net, after=lambda logits: {"loss": None, "logits": logits}),
        pictures(),
        CLASSES,
    ),
    "a model that returns a tuple": lambda net: (
        Wrapped(net, after=lambda logits: (logits, "more")),
        pictures(),
        CLASSES,
    ),
    "a model of grey pictures": lambda net: (
        Wrapped(net, before=lambda x: x.expand(-1, 3, -1, -1)),
        pictures()[:, :1],
        CLASSES,
    ),
    "black pictures": lambda net: (net, 0 * pictures(), CLASSES),
    "a wide picture": lambda net: (net, torch.ones(1, 3, 4, 64), CLASSES[:1]),
}


@pytest.mark.parametrize("case", WORKS)
@pytest.mark.parametrize("name", METHODS)
def test_it_works(name: str, case: str) -> None:
    needs_captum(name)
    model, images, classes = WORKS[case](net_for(name))
    maps = METHODS[name].function(model, images, classes)
    assert maps.shape == (len(images), *images.shape[2:])
    assert bool(maps.isfinite().all())


def test_a_class_that_is_ruled_out_does_not_hinder_the_others() -> None:
    def without_the_last(logits: Tensor) -> Tensor:
        return torch.cat((logits[:, :-1], torch.full_like(logits[:, -1:], -math.inf)), 1)

    for name in ("gradient", "attention-relevance", "fullgrad"):
        net, classes = net_for(name), torch.tensor([3, 0, 2])
        expected = METHODS[name].function(net, pictures(), classes)
        found = METHODS[name].function(Wrapped(net, after=without_the_last), pictures(), classes)
        torch.testing.assert_close(found, expected)
