"""Models that return several tensors: the one to explain is chosen by its name."""

from __future__ import annotations

import gc
import weakref
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tests.nets import Net
from torch import Tensor

from seewhy import HeadNotFound, InputError, attach, explain, find_head
from seewhy.heads import cached_head


def pooled(h: Tensor) -> Tensor:
    return h.mean((2, 3))


@dataclass
class Judgement:
    age: Tensor
    name: Tensor


Pair = namedtuple("Pair", "age name")  # noqa: PYI024 -- as torchvision's GoogLeNet has it


def as_dict(n: Net, h: Tensor) -> Any:
    return {"features": h, "age": n.fc(pooled(h)), "name": n.one(pooled(h))}


def as_tuple(n: Net, h: Tensor) -> Any:
    return n.fc(pooled(h)), n.one(pooled(h))


def as_dataclass(n: Net, h: Tensor) -> Any:
    return Judgement(*as_tuple(n, h))


def as_named_tuple(n: Net, h: Tensor) -> Any:
    return Pair(*as_tuple(n, h))


def as_branches(n: Net, h: Tensor) -> Any:
    return {"heads": {"age": n.fc(pooled(h)), "name": n.one(pooled(h))}, "by": [pooled(h)]}


FORMS: list[tuple[Any, str | int, str | int]] = [
    (as_dict, "age", "name"),
    (as_tuple, 0, 1),
    (as_tuple, "0", "1"),
    (as_dataclass, "age", "name"),
    (as_named_tuple, "age", "name"),
    (as_named_tuple, 0, 1),
    (as_branches, "heads.age", "heads.name"),
    (as_branches, "age", "name"),
]


@pytest.mark.parametrize(("form", "age", "name"), FORMS)
def test_an_output_is_chosen_by_its_name(form: Any, age: str | int, name: str | int) -> None:
    net, x = Net(form).eval(), torch.randn(3, 3, 8, 8)
    features = torch.relu(net.bn(net.conv(x)))
    for output, layer in ((age, net.fc), (name, net.one)):
        found = find_head(net, x, output)
        assert found.num_classes == layer.out_features
        result = explain(net, x, "all", output=output)
        expected = torch.einsum("ck,bkhw->bchw", layer.weight, features).detach()
        torch.testing.assert_close(result.maps, expected)
        assert result.is_exact


def test_every_output_has_a_head_of_its_own_in_the_cache() -> None:
    net, x = Net(as_dict), torch.randn(2, 3, 8, 8)
    age, name = cached_head(net, x, "age"), cached_head(net, x, "name")
    assert (age.num_classes, name.num_classes) == (5, 1)
    assert cached_head(net, x, "age") is age
    assert cached_head(net, x, "name") is name
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_a_place_is_remembered_whether_it_is_a_number_or_text() -> None:
    net, x = Net(as_tuple), torch.randn(2, 3, 8, 8)
    assert cached_head(net, x, 1) is cached_head(net, x, "1")


def test_what_is_called_logits_needs_no_name_and_may_have_one() -> None:
    net = Net(lambda n, h: {"logits": n.fc(pooled(h)), "other": n.one(pooled(h))})
    x = torch.randn(2, 3, 8, 8)
    assert explain(net, x).logits.shape == explain(net, x, output="logits").logits.shape == (2, 5)
    assert explain(net, x, output="other").logits.shape == (2, 1)


def test_an_attached_module_explains_the_output_chosen() -> None:
    net, x = Net(as_dict).eval(), torch.randn(2, 3, 8, 8)
    attached = attach(net, x, classes="all", output="name")(x)
    expected = explain(net, x, "all", output="name")
    torch.testing.assert_close(attached.maps, expected.maps)
    torch.testing.assert_close(attached.logits, net(x)["name"])


WRONG: list[tuple[Any, str | int, str]] = [
    (
        as_dict,
        "nam",
        "output 'nam': expected one of those that the model returns: age, name, got an unknown"
        " name; did you mean name?",
    ),
    (
        as_dict,
        "xyz",
        "output 'xyz': expected one of those that the model returns: age, name, got an unknown"
        " name; choose one of these",
    ),
    (
        as_dict,
        "features",
        "output 'features': expected logits (batch, classes) that depend on the input, got a"
        " tensor of shape (2, 8, 8, 8); choose one of: age, name",
    ),
    (
        as_tuple,
        2,
        "output '2': expected one of those that the model returns: 0, 1, got an unknown name;"
        " choose one of these",
    ),
    (
        lambda n, h: n.fc(pooled(h)),
        "age",
        "output 'age': expected no name, for the model returns one tensor, got an unknown name;"
        " leave output out",
    ),
    (
        lambda n, h: {"a": {"age": n.fc(pooled(h))}, "b": {"age": n.one(pooled(h))}},
        "age",
        "output 'age': expected one of those that the model returns: a.age, b.age, got a name that"
        " 2 of them have; did you mean b.age or a.age?",
    ),
]


@pytest.mark.parametrize(("form", "output", "line"), WRONG)
def test_an_output_that_is_not_there(form: Any, output: str | int, line: str) -> None:
    net, x = Net(form), torch.randn(2, 3, 8, 8)
    for ask in (find_head, lambda *given: explain(*given[:2], output=given[2])):
        with pytest.raises(InputError) as raised:
            ask(net, x, output)
        assert str(raised.value) == line


def test_without_a_choice_the_names_are_listed() -> None:
    with pytest.raises(HeadNotFound, match=r"logits: age \(2, 5\), name \(2, 1\); choose one"):
        explain(Net(as_dict), torch.randn(2, 3, 8, 8))


def test_a_head_without_maps_does_not_hide_the_other() -> None:
    """The first output is read from one position, of which there is no map of any kind."""
    net = Net(lambda n, h: {"corner": n.fc(h[:, :, 0, 0]), "mean": n.one(pooled(h))})
    assert find_head(net, torch.randn(2, 3, 8, 8), "mean").num_classes == 1
