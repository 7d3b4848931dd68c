"""Heads that are read anew in each pass: pooled, first-order, and those with a class token."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import pooled as oracle
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import HeadNotFound, ModelError, attach, explain, find_head
from seewhy.explanation import Explanation

Made = Callable[["Given", Tensor], Any]
LEAST = 1e-6


class Given(nn.Module):
    """Its input is its features, for a convolution hands it on as it is; then comes `head`."""

    def __init__(self, head: Made, channels: int, classes: int = 3, dimensions: int = 2) -> None:
        super().__init__()
        convolution = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.features = convolution(channels, channels, 1, bias=False)
        nn.init.eye_(self.features.weight.data.view(channels, channels))
        self.head = head
        self.fc = nn.Linear(channels, classes)
        self.hidden = nn.Linear(channels, 6)
        self.last = nn.Linear(6, classes)
        self.score = nn.Linear(channels, 1)

    def forward(self, x: Tensor) -> Any:
        return self.head(self, self.features(x))


def weighted(net: Given, weight: list[list[float]], bias: list[float]) -> Given:
    with torch.no_grad():
        net.fc.weight.copy_(torch.tensor(weight))
        net.fc.bias.copy_(torch.tensor(bias))
    return net


def flat(h: Tensor) -> Tensor:
    return h.flatten(2)


def attended(n: Given, h: Tensor) -> Tensor:
    tokens = flat(h).transpose(1, 2)
    weights = n.score(torch.tanh(tokens)).softmax(1)
    vector: Tensor = (weights * tokens).sum(1)
    return vector


POOLED: dict[str, Made] = {
    "amax": lambda n, h: n.fc(flat(h).amax(2)),
    "max": lambda n, h: n.fc(flat(h).max(2).values),
    "GeM": lambda n, h: n.fc(flat(h).clamp(min=LEAST).pow(3).mean(2).pow(1 / 3)),
    "log-sum-exp": lambda n, h: n.fc(flat(h).logsumexp(2)),
    "log-mean-exp, by hand": lambda n, h: n.fc(flat(h).exp().mean(2).log()),
    "average and maximum": lambda n, h: n.fc(flat(h).mean(2) + flat(h).amax(2)),
    "average and maximum, joined": lambda n, h: F.linear(
        torch.cat([flat(h).mean(2), flat(h).amax(2)], 1), n.fc.weight.repeat(1, 2), n.fc.bias
    ),
    "attention": lambda n, h: n.fc(attended(n, h)),
}


def said_by_hand(name: str, net: Given, features: Tensor, c: int) -> tuple[Any, float]:
    """The map and bias of one class and one picture, by loops."""
    values, row = flat(features[None])[0].numpy(), net.fc.weight[c].detach().numpy()
    if name in ("amax", "max"):
        found = oracle.maximum(values, row)
    elif name == "GeM":
        found = oracle.generalised_mean(values, row, 3, LEAST)
    elif name.startswith("log"):
        found = oracle.log_sum_exp(values, row, mean="mean" in name)
    elif name.startswith("average"):
        found = oracle.average_and_maximum(values, row)
    else:
        scores = net.score(torch.tanh(features.flatten(1).T)).detach().numpy()[:, 0]
        found = oracle.attention(values, row, scores)
    return found[0], found[1] + float(net.fc.bias.detach()[c])


@settings(max_examples=60)
@given(
    st.sampled_from(list(POOLED)),
    st.integers(0, 2**31 - 1),
    st.lists(st.integers(2, 4), min_size=1, max_size=3).map(tuple),
    st.integers(2, 4),
    st.integers(1, 3),
    st.booleans(),
)
def test_pooled_heads_say_what_loops_say(
    name: str, seed: int, grid: tuple[int, ...], channels: int, batch: int, has_ties: bool
) -> None:
    torch.manual_seed(seed)
    net = Given(POOLED[name], channels, dimensions=len(grid)).double().eval()
    x = torch.randn(batch, channels, *grid, dtype=torch.float64)
    x = x.round() if has_ties else x
    head = find_head(net, torch.randn(5, channels, *grid, dtype=torch.float64))
    result = explain(net, x, "all", head=head)
    assert (result.kind, head.grid) == ("pooled", grid)
    assert bool(result.adds_up.all())
    assert float(result.residual.abs().max()) < 1e-10
    for picture in range(batch):
        for c in range(3):
            found, bias = said_by_hand(name, net, x[picture], c)
            seen = result.maps[picture, c].flatten().numpy()
            np.testing.assert_allclose(seen, found, atol=1e-9)
            assert math.isclose(float(result.bias[picture, c]), bias, abs_tol=1e-9)


def only(result: Explanation) -> tuple[list[float], float, float]:
    """The one map, the bias and the logit."""
    return result.maps[0, 0].flatten().tolist(), float(result.bias), float(result.target)


def one_class(head: Made) -> Given:
    return weighted(Given(head, 1, 1), [[2.0]], [1.0]).eval()


def test_a_maximum_by_hand() -> None:
    net = one_class(POOLED["amax"])
    head = find_head(net, torch.randn(2, 1, 2, 2))
    single = explain(net, torch.tensor([[[[4.0, 0.0], [0.0, 8.0]]]]), head=head)
    assert only(single) == ([0.0, 0.0, 0.0, 64.0], 1.0, 17.0)
    shared = explain(net, torch.tensor([[[[8.0, 0.0], [0.0, 8.0]]]]), head=head)
    assert only(shared) == ([32.0, 0.0, 0.0, 32.0], 1.0, 17.0)
    assert single.method == "class activation map, held: max pooling"


WINDOWS: dict[str, Made] = {
    "adaptive": lambda n, h: n.fc(F.adaptive_max_pool2d(h, 1).flatten(1)),
    "window": lambda n, h: n.fc(F.max_pool2d(h, 2).flatten(1)),
    "largest of largest": lambda n, h: n.fc(
        F.adaptive_max_pool2d(F.max_pool2d(h, 1, 1), 1).flatten(1)
    ),
    "top 1": lambda n, h: n.fc(h.flatten(2).topk(1).values[..., 0]),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_maximum_however_it_is_spelled(name: str) -> None:
    net = one_class(WINDOWS[name])
    x = torch.tensor([[[[4.0, 0.0], [0.0, 8.0]]]])
    result = explain(net, x, head=find_head(net, torch.randn(2, 1, 2, 2)))
    assert only(result) == ([0.0, 0.0, 0.0, 64.0], 1.0, 17.0)


def test_a_pyramid_of_maxima_by_hand() -> None:
    """Rows and the whole: two windows of a row each, and one of everything, each shared by ties."""
    net = weighted(
        Given(
            lambda n, h: F.linear(
                torch.cat([F.adaptive_max_pool2d(h, (2, 1)).flatten(1), h.amax((2, 3))], 1),
                torch.tensor([[1.0, 10.0, 100.0]]),
            ),
            1,
            1,
        ),
        [[0.0]],
        [0.0],
    ).eval()
    head = find_head(net, torch.randn(2, 1, 2, 2))
    result = explain(net, torch.tensor([[[[1.0, 1.0], [0.0, 2.0]]]]), head=head)
    assert only(result) == ([2.0, 2.0, 0.0, 880.0], 0.0, 221.0)


def test_a_generalised_mean_by_hand() -> None:
    net = weighted(Given(POOLED["GeM"], 1, 1, 1), [[1.0]], [0.0]).double().eval()
    head = find_head(net, torch.rand(2, 1, 2, dtype=torch.float64))
    result = explain(net, torch.tensor([[[1.0, 2.0]]], dtype=torch.float64), head=head)
    maps, bias, logit = only(result)
    np.testing.assert_allclose(maps, [4.5 ** (-2 / 3), 8 * 4.5 ** (-2 / 3)])
    assert math.isclose(logit, 4.5 ** (1 / 3))
    assert abs(bias) < 1e-12
    assert result.method == "class activation map, held: generalised mean"


def test_a_log_sum_exp_by_hand() -> None:
    net = weighted(Given(POOLED["log-sum-exp"], 1, 1, 1), [[1.0]], [0.0]).double().eval()
    head = find_head(net, torch.randn(2, 1, 2, dtype=torch.float64))
    x = torch.tensor([[[0.0, math.log(3)]]], dtype=torch.float64)
    maps, bias, logit = only(explain(net, x, head=head))
    np.testing.assert_allclose(maps, [0.0, 1.5 * math.log(3)])
    assert math.isclose(logit, math.log(4))
    assert math.isclose(bias, -0.25 * math.log(0.25) - 0.75 * math.log(0.75))  # the entropy


def mlp(n: Given, h: Tensor) -> Tensor:
    logits: Tensor = n.last(F.relu(n.hidden(flat(h).mean(2))))
    return logits


def test_a_head_to_first_order_by_hand() -> None:
    net = Given(mlp, 1, 1, 1).eval()
    with torch.no_grad():
        net.hidden.weight.copy_(torch.tensor([[1.0], [-1.0], [0.0], [0.0], [0.0], [0.0]]))
        net.hidden.bias.copy_(torch.tensor([-1.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
        net.last.weight.copy_(torch.tensor([[5.0, 7.0, 0.0, 0.0, 0.0, 0.0]]))
        net.last.bias.fill_(0.5)
    head = find_head(net, 3 + torch.rand(2, 1, 2))
    result = explain(net, torch.tensor([[[2.0, 4.0]]]), head=head)
    # mean 3, hidden units relu(3 - 1) = 2 and relu(-3) = 0, logit 5 * 2 + 0.5; its gradient is 5.
    assert only(result) == ([10.0, 20.0], 0.5, 10.5)
    assert (float(result.residual), float(result.residual_share)) == (-5.0, 0.5)
    assert (result.kind, result.method) == ("first-order", "gradient of the head times features")
    assert not result.is_additive
    assert not result.is_exact
    assert "residual up to 50% of a logit less its bias" in repr(result)


FIRST_ORDER: dict[str, Made] = {
    "MLP": mlp,
    "hardswish": lambda n, h: n.last(F.hardswish(n.hidden(flat(h).mean(2)))),
    "flattened": lambda n, h: n.last(F.gelu(n.hidden(flat(h).transpose(1, 2))).sum(1)),
    "gate": lambda n, h: n.fc(flat(h).mean(2) * torch.sigmoid(flat(h).amax(2))),
    "in place": lambda n, h: n.last(n.hidden(flat(h.relu_()).mean(2)).relu_()),
    "overwritten later": lambda n, h: (lambda v: (h.zero_(), n.last(F.relu(v)))[1])(
        n.hidden(flat(h).mean(2))
    ),
}


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(set(FIRST_ORDER) - {"flattened"})),
    st.integers(0, 2**31 - 1),
    st.lists(st.integers(2, 4), min_size=1, max_size=3).map(tuple),
    st.integers(1, 3),
)
def test_first_order_is_the_gradient_of_the_head_called_by_hand(
    name: str, seed: int, grid: tuple[int, ...], batch: int
) -> None:
    torch.manual_seed(seed)
    net = Given(FIRST_ORDER[name], 3, dimensions=len(grid)).double().eval()
    net.hidden.bias.data[0] = 2.0  # one unit at least that no ReLU silences
    x = torch.randn(batch, 3, *grid, dtype=torch.float64)
    head = find_head(net, torch.randn(5, 3, *grid, dtype=torch.float64))
    result = explain(net, x, "all", head=head)
    assert result.kind == "first-order"
    features = x.clone().relu_() if name == "in place" else x.clone()
    features.requires_grad_()
    logits = FIRST_ORDER[name](net, features * 1.0)
    for c in range(3):
        (slope,) = torch.autograd.grad(logits[:, c].sum(), features, retain_graph=True)
        expected = (slope * features).sum(1) * features[0, 0].numel()
        torch.testing.assert_close(result.maps[:, c], expected.detach())
    with torch.no_grad():
        zero = FIRST_ORDER[name](net, torch.zeros_like(features))
    torch.testing.assert_close(result.bias, zero)
    torch.testing.assert_close(result.target, logits.detach())
    torch.testing.assert_close(result.residual, logits.detach() - result.evidence - zero)


def test_the_scale_of_a_norm_is_held_in_a_gradient_too() -> None:
    """What follows a norm is the same for features of any size: its own gradient is nothing."""
    torch.manual_seed(0)
    net = Given(lambda n, h: n.last(F.relu(F.layer_norm(n.hidden(flat(h).mean(2)), (6,)))), 3)
    net = net.double().eval()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    result = explain(net, x, "all")
    assert (result.kind, result.method) == (
        "first-order",
        "gradient of the head times features, held: norms",
    )
    for picture in range(2):
        pooled = x[picture].flatten(1).mean(1)
        hidden = net.hidden(pooled).detach()
        gates = ((hidden - hidden.mean()) > 0).double()
        rows = net.last.weight.detach() * gates / torch.sqrt(hidden.var(correction=0) + 1e-5)
        rows = (rows - rows.mean(1, keepdim=True)) @ net.hidden.weight.detach()
        expected = torch.einsum("ck,khw->chw", rows, x[picture])
        torch.testing.assert_close(result.maps[picture], expected)


def test_a_layer_with_weights_of_its_own_for_each_position() -> None:
    wide = torch.randn(3, 2 * 12, generator=torch.Generator().manual_seed(0))
    net = Given(lambda n, h: F.linear(h.flatten(1), wide), 2)
    x = torch.randn(2, 2, 3, 4)
    result = explain(net, x, "all")
    assert (result.kind, float(result.bias.abs().max())) == ("pooled", 0.0)
    assert result.method == "class activation map, each position with weights of its own"
    for c in range(3):
        rows = wide[c].view(2, 12).double().numpy()
        found, _ = oracle.by_position(x[1].flatten(1).double().numpy(), rows)
        np.testing.assert_allclose(result.maps[1, c].flatten().numpy(), found, rtol=1e-4, atol=1e-5)


class WithClassToken(nn.Module):
    """Patches of 2 x 2 pixels, a class token that attends to them once, and is read."""

    def __init__(self, width: int = 6, registers: int = 0) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1 + registers, width))
        self.key, self.value = (nn.Linear(width, width, bias=False) for _ in "kv")
        self.fc = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Any:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1)
        scores = tokens @ self.key(tokens).transpose(1, 2) / tokens.shape[2] ** 0.5
        return self.fc((tokens + scores.softmax(2) @ self.value(tokens))[:, 0])


def test_what_the_patches_give_to_a_class_token() -> None:
    torch.manual_seed(0)
    net, x = WithClassToken().double().eval(), torch.randn(2, 3, 8, 12, dtype=torch.float64)
    result = explain(net, x, "all")
    assert (result.kind, tuple(result.maps.shape)) == ("none", (2, 4, 4, 6))
    assert result.method == "gradient times tokens, held: attention"
    assert not result.is_additive
    with torch.no_grad():
        tokens = net.patches(x)[1].flatten(1).T.numpy()
    key, value = (layer.weight.detach().numpy() for layer in (net.key, net.value))
    for c in range(4):
        row, token = net.fc.weight[c].detach().numpy(), net.token[0, 0].detach().numpy()
        found, rest = oracle.class_token(tokens, key, value, row, token)
        np.testing.assert_allclose(result.maps[1, c].flatten().numpy(), found)
        left = float(result.bias[1, c] + result.residual[1, c])
        assert math.isclose(left, rest + float(net.fc.bias.detach()[c]))


@pytest.mark.parametrize("registers", [1, 4])
def test_tokens_before_the_patches_are_left_out(registers: int) -> None:
    torch.manual_seed(0)
    net = WithClassToken(registers=registers).eval()
    assert find_head(net, torch.randn(2, 3, 8, 12)).grid == (4, 6)


# What people do to models.

EVERY = {**POOLED, **FIRST_ORDER}


@pytest.mark.parametrize("name", EVERY)
def test_frozen_parameters_inference_mode_and_grads(name: str) -> None:
    torch.manual_seed(0)
    net, x = Given(EVERY[name], 3).eval(), torch.randn(2, 3, 4, 5)
    outside = explain(net, x, "all")
    assert all(parameter.grad is None for parameter in net.parameters())
    net.requires_grad_(False)
    with torch.inference_mode():
        inside = explain(net, x.clone(), "all")
        born_there = Given(EVERY[name], 3).eval()
        assert explain(born_there, x, "all").kind == outside.kind
    with torch.no_grad():
        without = explain(net, x, "all")
    for other in (inside, without):
        torch.testing.assert_close(other.maps.clone(), outside.maps)
    assert not outside.maps.requires_grad
    assert not outside.bias.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [*sorted(set(POOLED) - {"GeM"}), "MLP"])
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net, x = Given(EVERY[name], 3).to(dtype).eval(), torch.randn(2, 3, 4, 5).to(dtype)
    result = explain(net, x, "all")
    assert result.maps.dtype == torch.float32
    assert bool(result.adds_up.all()) or name == "MLP"
    exact = explain(net.float(), x.float(), "all")
    torch.testing.assert_close(result.maps, exact.maps, rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("name", ["amax", "GeM", "log-sum-exp", "attention", "MLP", "gate"])
def test_against_is_the_difference(name: str) -> None:
    torch.manual_seed(0)
    net, x = Given(EVERY[name], 3).double().eval(), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    every = explain(net, x, "all")
    margin, odds = explain(net, x, [0, 2], against=1), explain(net, x, 0, against="others")
    torch.testing.assert_close(margin.maps, every.maps[:, [0, 2]] - every.maps[:, 1:2])
    torch.testing.assert_close(margin.bias, every.bias[:, [0, 2]] - every.bias[:, 1:2])
    torch.testing.assert_close(margin.residual, every.residual[:, [0, 2]] - every.residual[:, 1:2])
    q = every.logits[:, 1:].softmax(1)
    mixed = every.maps[:, 0] - torch.einsum("bc,bchw->bhw", q, every.maps[:, 1:])
    torch.testing.assert_close(odds.maps[:, 0], mixed)


def test_weights_are_live_and_batches_may_differ() -> None:
    net = Given(mlp, 3).eval()
    head = find_head(net, torch.randn(2, 3, 4, 5))
    x = torch.randn(5, 3, 7, 3)
    before = explain(net, x, "all", head=head)
    assert before.maps.shape == (5, 3, 7, 3)
    alone = explain(net, x[3:4], "all", head=head)
    torch.testing.assert_close(before.maps[3:4], alone.maps)
    with torch.no_grad():
        net.last.weight.mul_(2)
    torch.testing.assert_close(explain(net, x, "all", head=head).maps, 2 * before.maps)


class Straight(torch.autograd.Function):
    """Doubles; its own gradient is not asked for, for what is recorded is what it computes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise AssertionError("not to be called")


doubled: Any = Straight.apply


def test_a_function_with_a_gradient_of_its_own_is_taken_for_what_it_computes() -> None:
    net = Given(lambda n, h: n.fc(doubled(flat(h).amax(2))), 3).eval()
    assert explain(net, torch.randn(2, 3, 4, 5)).kind == "pooled"


REFUSED: dict[str, tuple[Made, str]] = {
    "steps": (
        lambda n, h: torch.floor(n.hidden(flat(h).amax(2))),
        "passes no gradient on to its features",
    ),
    "a choice": (
        lambda n, h: n.fc.weight[flat(h).mean(2).argmax(1)],
        "cannot be differentiated: no gradient comes back to the features",
    ),
    "other pictures": (
        lambda n, h: n.fc(flat(h).amax(2) - flat(h).amax(2).mean(0)),
        "mixes the pictures of a batch",
    ),
    "infinite slopes": (
        lambda n, h: n.fc((flat(h).amax(2) * 0).sqrt()),
        "not finite (NaN or infinite)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_gradient_is_refused_by_name(name: str) -> None:
    head, reason = REFUSED[name]
    with pytest.raises(HeadNotFound) as refused:
        find_head(Given(head, 3), torch.randn(2, 3, 4, 5))
    assert reason in refused.value.tried[-1]
    assert "\n" not in str(refused.value)


def test_features_that_are_not_finite() -> None:
    net = Given(mlp, 3).eval()
    head = find_head(net, torch.randn(2, 3, 4, 5))
    x = torch.randn(2, 3, 4, 5)
    x[1, 0, 0, 0] = torch.nan
    with pytest.raises(ModelError, match="expected finite logits, got NaN or infinite ones"):
        explain(net, x, head=head)
    hiding = Given(lambda n, h: mlp(n, h).nan_to_num(), 3).eval()
    head = find_head(hiding, torch.randn(2, 3, 4, 5))
    with pytest.raises(ModelError, match="expected finite features and gradients, got NaN"):
        explain(hiding, x, head=head)
    assert bool(explain(hiding, x, head=head, strict=False).maps[1].isnan().any())


def test_maps_of_nothing_but_zeros_leave_nothing() -> None:
    net = Given(mlp, 3).eval()
    head = find_head(net, torch.randn(2, 3, 4, 5))
    result = explain(net, torch.zeros(1, 3, 4, 5), "all", head=head)
    assert float(result.maps.abs().max()) == 0.0
    assert result.residual_share.tolist() == [[0.0, 0.0, 0.0]]


def test_a_pass_that_goes_another_way_is_one_line() -> None:
    class Detour(Given):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x) if x.shape[-1] < 8 else self.fc(flat(x).amax(2))

    net = Detour(POOLED["amax"], 3).eval()
    head = find_head(net, torch.randn(2, 3, 4, 5))
    with pytest.raises(ModelError, match="got a pass that went another way"):
        explain(net, torch.randn(2, 3, 4, 9), head=head)


def test_attaching_says_what_it_is_for() -> None:
    with pytest.raises(HeadNotFound) as refused:
        attach(Given(POOLED["amax"], 3), torch.randn(2, 3, 4, 5))
    assert str(refused.value) == (
        "head: expected one of kind linear, class-maps or normalised, got one of kind pooled: amax"
        " -> addmm, 3 x 4 x 5 -> 3 classes; call seewhy.explain for each batch instead, or train"
        " another head by to_gap"
    )


def test_what_was_saved_is_what_is_read(tmp_path: Path) -> None:
    result = explain(Given(mlp, 3).eval(), torch.randn(2, 3, 4, 5), "all")
    again = Explanation.load(result.save(tmp_path / "e.safetensors"))
    assert (again.kind, again.method) == (result.kind, result.method)
    assert torch.equal(again.residual, result.residual)
