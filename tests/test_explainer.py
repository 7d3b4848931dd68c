"""`explain`: exact, in one pass, on live weights, and the model left as it was found."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.nets import Attending, Bare, Net
from tests.oracles import evidence as oracle
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import (
    CertificateError,
    ClassError,
    HeadNotFound,
    InputError,
    ModelError,
    explain,
    find_head,
)
from seewhy.rounding import TOLERANCES


def linear(n: Net, h: Tensor) -> Any:
    return n.fc(h.flatten(2).mean(2))


def normalised(n: Net, h: Tensor) -> Any:
    return n.fc(n.layer_norm(h.flatten(2).mean(2)))


def class_maps(n: Net, h: Tensor) -> Any:
    return n.maps(h).mean((2, 3))


def test_evidence_by_hand() -> None:
    net = Bare([[1.0, 0.0], [-1.0, 2.0]], [0.5, -1.0])
    x = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 8.0]]]])
    result = explain(net, x, [1, 0])
    assert result.logits.tolist() == [[1.5, 2.0]]
    assert result.maps.tolist() == [[[[-4.0, 0.0], [0.0, 16.0]], [[4.0, 0.0], [0.0, 0.0]]]]
    assert result.bias.tolist() == [[-1.0, 0.5]]
    assert result.evidence.tolist() == [[3.0, 1.0]]
    assert result.certificate.tolist() == [[0.0, 0.0]]
    assert result.kind == "linear"
    assert result.geometry == (None,)


def test_a_margin_by_hand() -> None:
    net = Bare([[1.0, 0.0], [-1.0, 2.0]], [0.5, -1.0])
    x = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 8.0]]]])
    result = explain(net, x, 1, against=0)
    assert result.maps.tolist() == [[[[-8.0, 0.0], [0.0, 16.0]]]]
    assert (result.bias.tolist(), result.target.tolist()) == ([[-1.5]], [[0.5]])
    assert result.against == 0
    itself = explain(net, x, 1, against=1)
    assert itself.maps.abs().max() == itself.target.abs().max() == 0


HEADS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "linear": lambda n, v: n.last(v),
    "two linear": lambda n, v: n.last(n.square(v)),
    "batch norm": lambda n, v: n.last(n.batch_norm(v)),
    "layer norm": lambda n, v: n.last(n.layer_norm(v)),
    "L2": lambda n, v: n.last(F.normalize(v)) * 4,
    "softmax": lambda n, v: n.last(v).softmax(1),
    "sigmoid": lambda n, v: n.last(v).sigmoid(),
    "class maps": lambda n, v: v,
}

KINDS = {"layer norm": "normalised", "L2": "normalised", "class maps": "class-maps"}
READS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "channels first": lambda h, _: h.flatten(2).mean(2),
    "channels last": lambda h, _: h.movedim(1, -1).flatten(1, -2).mean(1),
    "tokens": lambda h, _: h.flatten(2).transpose(1, 2).mean(1),
    "tokens after a prefix": lambda h, prefix: torch.cat(
        [prefix.expand(len(h), 2, -1), h.flatten(2).transpose(1, 2)], 1
    )[:, 2:].mean(1),
    "sum": lambda h, _: h.flatten(2).sum(2),
}


class Drawn(nn.Module):
    """A head drawn by hypothesis on features that are its input, doubled."""

    def __init__(self, channels: int, classes: int, head: str, read: str) -> None:
        super().__init__()
        self.head, self.read = HEADS[head], READS[read]
        self.square = nn.Linear(channels, channels)
        self.batch_norm = nn.BatchNorm1d(channels)
        self.layer_norm = nn.LayerNorm(channels)
        self.last = nn.Linear(channels, classes)
        self.has_maps = head == "class maps"
        self.prefix = nn.Parameter(torch.ones(classes if self.has_maps else channels))

    def forward(self, x: Tensor) -> Tensor:
        features = x * 2.0
        if self.has_maps:
            features = self.last(features.movedim(1, -1)).movedim(-1, 1)
        logits: Tensor = self.head(self, self.read(features, self.prefix))
        return logits


@settings(max_examples=60)
@given(
    st.integers(0, 2**31 - 1),
    st.lists(st.integers(2, 4), min_size=1, max_size=3).map(tuple),
    st.integers(2, 6),
    st.integers(2, 5),
    st.integers(1, 3),
    st.sampled_from(list(HEADS)),
    st.sampled_from(list(READS)),
    st.sampled_from(list(TOLERANCES)),
)
def test_drawn_heads_add_up(
    seed: int,
    grid: tuple[int, ...],
    channels: int,
    classes: int,
    batch: int,
    head: str,
    read: str,
    dtype: torch.dtype,
) -> None:
    """In one, two and three dimensions, at each precision, for every class, on every picture."""
    assume(read != "tokens after a prefix" or len(grid) == 2)
    is_half = dtype.itemsize == 2
    assume(not is_half or read != "sum")  # which is rounded to its own size, not to the logits'
    # Between two layers bfloat16 rounds away about as much as the evidence of so small a net.
    assume(dtype != torch.bfloat16 or head != "two linear")
    channels += 4 * (head == "layer norm")  # of two channels, it keeps the sign of a difference
    torch.manual_seed(seed)
    net = Drawn(channels, classes, head, read).to(dtype)
    if is_half:
        nn.init.constant_(net.last.bias, 2.0)  # logits that cancel are no scale for the rounding
    x = torch.randn(batch, channels, *grid).to(dtype)
    result = explain(net, x, "all", head=find_head(net, torch.randn(3, channels, *grid).to(dtype)))
    assert result.maps.shape == (batch, classes, *grid)
    assert bool(result.adds_up.all())
    assert result.kind == KINDS.get(head, "linear")
    if dtype == torch.float64 and head in ("linear", "softmax", "sigmoid"):
        scale = 1 if read != "sum" else int(np.prod(grid))
        weight, features = net.last.weight.detach().numpy(), x.numpy() * 2
        for c in range(classes):
            by_loops = oracle.evidence_map(weight[c], features[0]) * scale
            np.testing.assert_allclose(result.maps[0, c].numpy(), by_loops, atol=1e-10)


@given(st.integers(0, 2**31 - 1), st.sampled_from([linear, normalised, class_maps]))
@settings(max_examples=15)
def test_margins_and_odds_add_up(seed: int, head: Any) -> None:
    torch.manual_seed(seed)
    net, x = Net(head).double().eval(), torch.randn(3, 3, 6, 7, dtype=torch.float64)
    plain = explain(net, x, "all")
    margin, odds = (explain(net, x, "all", against=against) for against in (2, "others"))
    torch.testing.assert_close(margin.maps, plain.maps - plain.maps[:, 2:3])
    torch.testing.assert_close(margin.target, plain.logits - plain.logits[:, 2:3])
    q = oracle.softmax_without(plain.logits[1].numpy(), 0)
    mixed = plain.maps[1, 0] - torch.einsum("c,chw->hw", torch.tensor(q), plain.maps[1])
    torch.testing.assert_close(odds.maps[1, 0], mixed)
    for result in (plain, margin, odds):
        torch.testing.assert_close(result.evidence + result.bias, result.target)


def test_a_batch_of_four_with_one_class_is_four_maps() -> None:
    """A peer returned one map and three of zeros."""
    net, x = Net(linear).eval(), torch.randn(4, 3, 8, 8)
    together = explain(net, x, 3)
    assert together.maps.shape == (4, 1, 8, 8)
    for picture in range(4):
        alone = explain(net, x[picture : picture + 1], 3)
        torch.testing.assert_close(together.maps[picture], alone.maps[0])
        assert alone.maps.abs().max() > 0


def test_weights_a_thousandth_as_large_give_a_map_a_thousandth_as_large() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    before = explain(net, x, 1).maps
    with torch.no_grad():
        net.fc.weight[1] *= 1e-3
    torch.testing.assert_close(explain(net, x, 1).maps, before * 1e-3)


def test_a_map_without_positive_evidence_has_none() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        net.fc.weight[1] = -net.fc.weight[1].abs()
    assert explain(net, x, 1).maps.max() <= 0


def test_explaining_twice_gives_the_same_bytes() -> None:
    net, x = Net(normalised).eval(), torch.randn(2, 3, 8, 8)
    first, second = explain(net, x, "top2"), explain(net, x, "top2")
    assert first.maps.numpy().tobytes() == second.maps.numpy().tobytes()


# Live weights: a head is found once, and what is later done to the model shows at once.


def change_in_place(net: Net) -> None:
    with torch.no_grad():
        net.fc.weight.mul_(-2).add_(1)


def load(net: Net) -> None:
    torch.manual_seed(1)
    net.load_state_dict(
        {
            k: torch.randn_like(v) if v.is_floating_point() else v
            for k, v in net.state_dict().items()
            if "running" not in k
        },
        strict=False,
    )


def replace(net: Net) -> None:
    net.fc = nn.Linear(8, 11)


def replace_by_two(net: Net) -> None:
    net.fc = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 3))  # type: ignore[assignment]


def replace_by_fewer(net: Net) -> None:
    net.fc = nn.Linear(8, 2)


@pytest.mark.parametrize(
    ("change", "classes"),
    [(change_in_place, 5), (load, 5), (replace, 11), (replace_by_two, 3), (replace_by_fewer, 2)],
)
def test_weights_are_live(change: Callable[[Net], None], classes: int) -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    before = explain(net, x, "all")
    change(net)
    after = explain(net, x, "all")
    torch.testing.assert_close(after.logits, net(x))
    assert after.maps.shape == (2, classes, 8, 8)
    assert not torch.equal(after.maps[:, :2], before.maps[:, :2])


def test_a_change_of_precision_is_live() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    explain(net, x)
    result = explain(net.to(torch.float64), x.double(), "all")
    assert float(result.certificate.max()) < 1e-10


def test_a_head_that_became_an_mlp_is_found_anew() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    explain(net, x)
    net.fc = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))  # type: ignore[assignment]
    assert explain(net, x).kind == "first-order"


def test_pooling_that_became_another_is_noticed() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    head = find_head(net, x)
    explain(net, x)
    net.head = lambda n, h: n.fc(h.amax((2, 3)))
    assert explain(net, x).kind == "pooled"
    with pytest.raises(CertificateError, match="evidence and bias within 1e-05 of the logit, got"):
        explain(net, x, head=head)
    assert not explain(net, x, head=head, strict=False).adds_up.any()


def test_a_head_found_under_autocast_is_not_used_without() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        under = explain(net, x, "all")
        assert under.logits.dtype == torch.bfloat16
        assert under.maps.dtype == torch.float32
        assert float(under.certificate.max()) < 2e-2
    assert float(explain(net, x, "all").certificate.max()) < 1e-5
    with torch.autocast("cpu", torch.bfloat16):
        assert bool(explain(net, x, "all").adds_up.all())


def test_tokens_of_pictures_of_another_shape_lie_on_their_own_grid() -> None:
    """As many tokens, but on another grid: a remembered head must not lay them out as before."""
    net = Attending("unfold").eval()
    for size in [(32, 32), (16, 64), (64, 16), (32, 32)]:
        grid = tuple(extent // 4 for extent in size)
        assert explain(net, torch.randn(2, 3, *size)).maps.shape[2:] == grid


# The model is left as it was found.


def state(net: nn.Module) -> dict[str, Any]:
    return {
        "training": [module.training for module in net.modules()],
        "tensors": [t.clone() for t in (*net.parameters(), *net.buffers())],
        "grads": [p.grad for p in net.parameters()],
        "requires_grad": [p.requires_grad for p in net.parameters()],
        "hooks": [
            len(getattr(module, kind))
            for module in net.modules()
            for kind in vars(module)
            if kind.endswith("_hooks")
        ],
        "attributes": [sorted(vars(module)) for module in net.modules()],
    }


class Fragile(Net):
    """Has dropout, and fails in the middle if told to."""

    def __init__(self, head: Any) -> None:
        super().__init__(head)
        self.fails = False

    def forward(self, x: Tensor) -> Any:
        if self.fails:
            F.relu(self.bn(self.conv(x)))
            raise ValueError("out of order")
        return super().forward(x)


def crashing(net: Fragile) -> None:
    explain(net, torch.randn(2, 3, 8, 8))
    net.fails = True
    with pytest.raises(ModelError, match="out of order"):
        explain(net, torch.randn(2, 3, 8, 8))


def refused(net: Fragile) -> None:
    net.head = lambda n, h: n.fc(h.amax((2, 3))) * 0
    with pytest.raises(HeadNotFound):
        explain(net, torch.randn(2, 3, 8, 8))


def pooled(net: Fragile) -> None:
    net.head = lambda n, h: n.fc(h.amax((2, 3)))
    assert explain(net, torch.randn(2, 3, 8, 8), "all", against="others").kind == "pooled"


def first_order(net: Fragile) -> None:
    net.head = lambda n, h: n.fc2(F.relu(n.fc(h.mean((2, 3)))))
    assert explain(net, torch.randn(2, 3, 8, 8), 1, against=2).kind == "first-order"


def bad_class(net: Fragile) -> None:
    with pytest.raises(ClassError):
        explain(net, torch.randn(2, 3, 8, 8), 5)


def bad_shape(net: Fragile) -> None:
    explain(net, torch.randn(2, 3, 8, 8))
    with pytest.raises(ModelError):
        explain(net, torch.randn(2, 4, 8, 8))


def success(net: Fragile) -> None:
    explain(net, torch.randn(2, 3, 8, 8), "all", against="others")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "use", [success, crashing, refused, bad_class, bad_shape, pooled, first_order]
)
def test_the_model_is_left_as_it_was_found(use: Callable[[Fragile], None], training: bool) -> None:
    net = Fragile(lambda n, h: n.fc(F.dropout(h.mean((2, 3)), 0.5, n.training)))
    net.train(training)
    net.bn.training = not training  # as people do who freeze their batch norms
    net.fc.weight.requires_grad_(False)
    net.fc.bias.grad = torch.ones(5)
    before = state(net)
    use(net)
    after = state(net)
    for name, value in before.items():
        if name == "tensors":
            assert all(map(torch.equal, value, after[name]))
        else:
            assert value == after[name], name


def test_no_random_number_is_drawn() -> None:
    net, x = Net(linear).train(), torch.randn(2, 3, 8, 8)
    before = torch.get_rng_state()
    explain(net, x, "top2")
    assert torch.equal(torch.get_rng_state(), before)


def test_memory_does_not_grow_from_picture_to_picture() -> None:
    def tensors() -> list[Tensor]:
        gc.collect()
        return [each for each in gc.get_objects() if issubclass(type(each), Tensor)]

    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    explain(net, x, "top2")
    before = {id(each) for each in tensors()}  # those of other tests may go meanwhile
    for _ in range(5):
        explain(net, x, "top2")
    assert not [each.shape for each in tensors() if id(each) not in before]


@pytest.mark.parametrize("head", [linear, normalised, class_maps])
def test_a_remembered_head_does_not_keep_its_model_alive(head: Any) -> None:
    net = Net(head).eval()
    explain(net, torch.randn(2, 3, 8, 8))
    alive = weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None


# What people do to models.


def test_frozen_parameters_and_inference_mode() -> None:
    net, x = Net(linear).eval().requires_grad_(False), torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        inside = explain(net, x, "all")
    outside = explain(net, x, "all")
    torch.testing.assert_close(inside.maps.clone(), outside.maps)
    assert not outside.maps.requires_grad


def test_found_in_inference_mode_and_fed_an_inference_tensor() -> None:
    net = Net(lambda n, h: (lambda v: (h.mul_(0), n.fc(v))[1])(h.mean((2, 3)))).eval()
    with torch.inference_mode():
        x = torch.randn(2, 3, 8, 8)
        assert bool(explain(net, x, "all").adds_up.all())


def test_channels_last() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    expected = explain(net, x, "all").maps
    net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(explain(net, x, "all").maps, expected)


def test_data_parallel_is_unwrapped() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    assert torch.equal(explain(nn.DataParallel(net), x).maps, explain(net, x).maps)


def test_the_original_of_a_compiled_model_is_used() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    compiled: Any = torch.compile(net, backend="eager")
    assert torch.equal(explain(compiled, x).maps, explain(net, x).maps)


def test_a_module_compiled_in_place_is_run_eagerly() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    expected = explain(net, x).maps

    def never(*_: Any) -> Any:
        raise AssertionError("compiled")

    net.compile(backend=never)
    assert torch.equal(explain(net, x).maps, expected)
    fresh = Net(linear).eval()
    fresh.compile(backend=never)
    assert torch.equal(explain(fresh, x).maps, expected)


def test_a_compiled_part_is_run_eagerly() -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("compiled")

    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    expected = explain(net, x).maps
    net.conv = torch.compile(net.conv, backend=never)  # type: ignore[assignment]
    torch.testing.assert_close(explain(net, x).maps, expected)


def test_a_scripted_model_is_refused() -> None:
    with pytest.warns(DeprecationWarning, match="jit"):
        traced = torch.jit.trace(Net(linear).eval(), torch.randn(2, 3, 8, 8))
    with pytest.raises(ModelError, match=r"expected an eager nn\.Module, got a scripted one"):
        explain(traced, torch.randn(2, 3, 8, 8))


def test_keyword_arguments_that_are_no_tensors_are_passed_on() -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net(linear)

        def forward(self, pixels: Tensor, as_dict: bool) -> Any:
            logits = self.net(pixels)
            return {"logits": logits} if as_dict else logits

    x = torch.randn(3, 3, 8, 8)
    result = explain(Keyword().eval(), {"pixels": x, "as_dict": True})
    assert len(result) == 3


def test_a_module_used_twice_is_read_the_second_time() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.fc = nn.ReLU(), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Any:
            self.features(-x)
            return self.fc(self.features(x).mean((2, 3)))

    assert bool(explain(Twice(), torch.randn(2, 3, 4, 4), "all").adds_up.all())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 3, 8, 8), "expected a batch (B, C, *S) with at least one picture"),
        (torch.zeros(8, 8), "got shape (8, 8); add the missing axis"),
        ([], "images: expected at least one picture, got none"),
        (
            "cat.jpg",
            "(B, C, H, W) of floating point, for this model's preprocessing is not known",
        ),
        (3, "expected paths, Pillow pictures, arrays or tensors, got a int"),
        ([torch.zeros(3, 8, 8), torch.zeros(3, 9, 8)], "expected pictures of one size"),
    ],
)
def test_pictures_that_cannot_be_used(images: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        explain(Net(linear), images)
    assert message in str(error.value)


def test_weights_that_are_not_finite() -> None:
    net, x = Net(linear).eval(), torch.randn(2, 3, 8, 8)
    head = find_head(net, x)
    with torch.no_grad():
        net.fc.weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match="expected finite logits, got NaN or infinite ones"):
        explain(net, x, head=head)
    with pytest.raises(HeadNotFound, match="logits that are not finite"):
        explain(net, x)
