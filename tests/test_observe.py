"""Watching one pass: what is seen, and that nothing is left behind."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.observe import find_tensors, follow, in_eval_mode, observe


class Watched(nn.Module):
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.register_buffer("offset", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.fc(x))
        y += self.offset
        return y


def test_operations_in_order_and_what_they_read() -> None:
    model, x = Watched(), torch.randn(4, 2)
    trace = observe(model, x)
    names = [producer.name for producer in trace.producers if producer is not None]
    assert names == ["t", "addmm", "relu", "add"]
    assert set(trace.names.values()) == {"fc.weight", "fc.bias", "offset"}
    added, relu = trace.number(trace.output), trace.producers[-1]
    assert relu is not None
    assert trace.shape(added) == (4, 3)
    offset = next(n for n, name in trace.names.items() if name == "offset")
    assert relu.inputs() == [added - 1, offset]
    assert added in trace.from_input
    assert offset not in trace.from_input
    assert min(trace.from_input) in trace.leading_to(added)


def test_an_in_place_operation_makes_a_new_value() -> None:
    trace = observe(Watched(), torch.randn(4, 2))
    added = trace.number(trace.output)
    relu = added - 1
    assert trace.tensors[relu] is trace.tensors[added]
    assert not trace.is_final(relu)
    assert trace.is_final(added)
    assert [(copy, exact) for _, copy, exact in trace.sites_of(relu)] == [(True, True)]
    assert {copy for _, copy, _ in trace.sites_of(added)} == {False}


def test_what_a_module_went_on_from_before_it_returned_it_is_told() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            features = self.fc(x)
            return features, features.mean(1)

    trace = observe(nn.Sequential(Both()), torch.randn(4, 2))
    features = trace.number(trace.output[0])
    used = {s.owner: trace.is_used_before(features, s) for s, n in trace.sites if n == features}
    assert {owner: used[owner] for owner in ("0.fc", "0", "")} == {
        "0.fc": False,
        "0": True,
        "": True,
    }


def test_sites_are_modules_and_functions() -> None:
    trace = observe(Watched(), torch.randn(4, 2))
    owners = {(site.kind, site.owner) for site, _ in trace.sites}
    assert {("input", ""), ("output", ""), ("input", "fc"), ("output", "fc")} <= owners
    assert ("function", F.relu) in owners


def test_calls_of_one_module_are_counted() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Any:
            return self.act(self.act(x) - 1)

    trace = observe(Twice(), torch.randn(2, 2))
    calls = [site.call for site, _ in trace.sites if site.owner == "act" and site.kind == "output"]
    assert calls == [0, 1]


def test_no_gradient_and_no_hook_remains() -> None:
    model = Watched()
    trace = observe(model, torch.randn(4, 2, requires_grad=True))
    assert not trace.output.requires_grad
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


def test_hooks_go_when_the_model_fails() -> None:
    with pytest.raises(RuntimeError):
        observe(Watched(), torch.randn(4, 3))
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


@dataclass
class Output:
    logits: Tensor
    extra: Any = None


def test_tensors_in_nested_outputs() -> None:
    one, two, three = (torch.full((1,), float(i)) for i in range(3))
    tree = {"a": [one, (two, "text")], "b": Output(three, OrderedDict(c=one)), "d": None}
    found = dict(find_tensors(tree))
    assert list(found) == [("a", 0), ("a", 1, 0), ("b", "logits"), ("b", "extra", "c")]
    for path, tensor in found.items():
        assert follow(tree, path) is tensor


@pytest.mark.parametrize("fails", [False, True])
def test_evaluation_mode_is_for_a_time(fails: bool) -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.ReLU()))
    model[1].eval()
    before = [module.training for module in model.modules()]
    assert before == [True, True, False, False, False]
    try:
        with in_eval_mode(model):
            assert not any(module.training for module in model.modules())
            if fails:
                raise ValueError
    except ValueError:
        pass
    assert [module.training for module in model.modules()] == before


def test_a_model_that_writes_to_its_input_writes_to_a_copy() -> None:
    class Subtracting(nn.Module):
        def forward(self, images: list[Tensor], scale: Tensor) -> Tensor:
            return images[0].sub_(1.0) * scale.mul_(2.0)

    x, scale = torch.zeros(2, 3), torch.ones(3)
    assert observe(Subtracting(), [x], scale=scale).output.tolist() == [[-2.0] * 3] * 2
    assert (x.tolist(), scale.tolist()) == ([[0.0] * 3] * 2, [1.0] * 3)


def test_what_pytorch_says_of_even_kernels_is_no_failure() -> None:
    """It warns once in a process; where warnings are errors, the pass would end there."""
    conv = nn.Conv1d(1, 1, 4, padding="same")
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with pytest.warns(UserWarning, match="even kernel"):
            conv(torch.ones(1, 1, 9))
        assert observe(conv, torch.ones(1, 1, 9)).output.shape == (1, 1, 9)
    finally:
        torch.set_warn_always(always)


def test_eval_mode_reaches_parts_that_are_shared_or_missing_and_puts_them_back() -> None:
    shared: Any = nn.Sequential(nn.Dropout())
    model = nn.Sequential(shared, shared).eval()
    model.register_module("missing", None)
    shared[0].train()
    with in_eval_mode(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [False, False, True]
