"""Gradient, products with it, integrated gradients, occlusion and CAM: right, and without trace."""

from __future__ import annotations

import gc
import itertools
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.methods.nets_of_relus import ReluNet, separate
from tests.methods.tiny_vit import TinyVit
from tests.nets import Bare
from tests.oracles import methods as oracle
from torch import Tensor, nn

import seewhy
from seewhy.errors import (
    ClassError,
    InputError,
    MissingExtraError,
    ModelError,
    SeewhyError,
)
from seewhy.methods import (
    METHODS,
    USUAL,
    cam,
    choose,
    deconvnet,
    gradient,
    gradient_x_input,
    integrated_gradients,
    occlusion,
)
from seewhy.methods.passes import class_gradient, logits_of

CLASSES = torch.tensor([4, 0, 2])


class Gap(nn.Module):
    """A convolution, a ReLU in place that is used twice, averaging and one linear layer."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2)
        self.norm, self.relu = nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.second(self.relu(self.norm(self.first(x)))))
        logits: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return logits


def pictures(count: int = 3, side: int = 8) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


OF_TRANSFORMERS = ("attention-relevance", "attention-rollout", "legrad")
BLIND_TO_CLASSES = ("eigen-cam", "attention-rollout")


def net_for(name: str) -> nn.Module:
    """A network that the method of this name is for."""
    return TinyVit() if name in OF_TRANSFORMERS else Gap()


def needs_captum(name: str) -> None:
    if name == "integrated-gradients":
        pytest.importorskip("captum")


@pytest.mark.parametrize("name", METHODS)
def test_maps_have_the_pictures_size(name: str) -> None:
    needs_captum(name)
    images = torch.randn(2, 3, 8, 12)
    maps = METHODS[name].function(net_for(name).double(), images.double(), torch.tensor([1, 3]))
    assert (maps.shape, maps.dtype, maps.requires_grad) == ((2, 8, 12), torch.float32, False)


@pytest.mark.parametrize("name", METHODS)
def test_a_picture_does_not_see_the_others_in_its_batch(name: str) -> None:
    needs_captum(name)
    function, net = METHODS[name].function, net_for(name)
    maps = function(net, pictures(), CLASSES)
    each = [function(net, pictures()[i : i + 1], CLASSES[i : i + 1])[0] for i in range(3)]
    torch.testing.assert_close(maps, torch.stack(each))
    is_same = torch.allclose(maps[0], function(net, pictures(), CLASSES - CLASSES)[0])
    assert is_same == (name in BLIND_TO_CLASSES)


def state_of(net: nn.Module) -> list[Any]:
    """Everything that a method might leave behind on a network."""
    everything: list[Any] = [
        (name, tensor.detach().clone(), tensor._version, tensor.requires_grad, tensor.grad)
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]
    ]
    for name, module in net.named_modules():
        hooks = {key: len(value) for key, value in vars(module).items() if "hooks" in key}
        everything.append((name, type(module), module.training, hooks, sorted(vars(module))))
    return everything


def assert_same(before: list[Any], after: list[Any]) -> None:
    for one, other in zip(before, after, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a, b) if isinstance(a, Tensor) else a == b


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_the_model_is_left_as_it_was(name: str, training: bool) -> None:
    needs_captum(name)
    net = net_for(name).train(training)
    net.get_submodule("norm").eval()
    net.get_parameter("fc.weight").requires_grad_(False)
    first = net.get_parameter("first.weight")
    first.grad = torch.ones_like(first)
    images = pictures()
    kept, before = images.clone(), state_of(net)
    found = METHODS[name].function(net, images, CLASSES)
    assert_same(before, state_of(net))
    assert torch.equal(images, kept)
    assert not images.requires_grad
    assert images.grad is None
    assert torch.equal(found, METHODS[name].function(net, images, CLASSES))
    with pytest.raises(SeewhyError):
        METHODS[name].function(net, images[:, :2], CLASSES)
    assert_same(before, state_of(net))


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_kept_from_batch_to_batch(name: str) -> None:
    needs_captum(name)
    net = net_for(name)

    def tensors() -> int:
        METHODS[name].function(net, pictures(), CLASSES)
        gc.collect()
        return sum(issubclass(type(each), Tensor) for each in gc.get_objects())

    tensors()
    before = tensors()
    assert tensors() <= before  # those of other tests may go meanwhile


def test_the_check_for_traces_can_fail() -> None:
    def disturb(net: Gap, how: Callable[[Gap], object]) -> None:
        before = state_of(net)
        how(net)
        with pytest.raises(AssertionError):
            assert_same(before, state_of(net))

    disturb(Gap(), lambda net: net.relu.register_forward_hook(lambda *_: None))
    disturb(Gap(), lambda net: net(pictures()))  # in training mode: batch statistics
    disturb(Gap(), lambda net: net(pictures()).sum().backward())
    disturb(Gap(), lambda net: net.eval())


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize("name", METHODS)
def test_it_works_wherever_it_is_called(name: str, surroundings: str) -> None:
    needs_captum(name)
    net = net_for(name).eval().requires_grad_(surroundings != "no_grad")
    expected = METHODS[name].function(net, pictures(), CLASSES)
    with SURROUNDINGS[surroundings]():
        net(pictures())  # autocast remembers weights from here
        found = METHODS[name].function(net, pictures(), CLASSES)
        both_on = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    assert both_on == (surroundings == "inference_mode", surroundings == "autocast")
    assert found.dtype == torch.float32
    tolerance = 0.1 * float(expected.abs().max()) if surroundings == "autocast" else 1e-5
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def test_autocast_inside_inference_mode() -> None:
    net = Gap().eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        net(pictures())
        assert gradient(net, pictures(), CLASSES).isfinite().all()


def test_the_gradient_by_finite_differences() -> None:
    net = Gap().double().eval()
    image = pictures(1, side=4).double()
    found = class_gradient(net, image, CLASSES[:1])
    for place in itertools.product(range(3), range(4), range(4)):
        step = torch.zeros_like(image)
        step[(0, *place)] = 1e-6
        with torch.no_grad():
            rise = (net(image + step) - net(image - step))[0, CLASSES[0]] / 2e-6
        assert float(found[(0, *place)]) == pytest.approx(float(rise), abs=1e-7)


def test_reductions_by_hand() -> None:
    class Weighted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x[:, :, 0, :] * torch.tensor([[1.0, 2.0], [-5.0, 3.0]])).sum((1, 2))[:, None]

    images, classes = torch.tensor([[[[10.0, 1.0]], [[1.0, -4.0]]]]), torch.tensor([0])
    assert gradient(Weighted(), images, classes).tolist() == [[[-4.0, 5.0]]]
    assert gradient(Weighted(), images, classes, channels="abs-max").tolist() == [[[5.0, 3.0]]]
    assert gradient_x_input(Weighted(), images, classes).tolist() == [[[10.0 - 5, 2.0 - 12]]]
    with pytest.raises(InputError, match="channels: expected 'sum' or 'abs-max', got 'mean'"):
        gradient(Weighted(), images, classes, channels="mean")  # type: ignore[arg-type]


def test_cam_is_what_explain_says() -> None:
    net = Bare([[1.0, 0.0], [0.5, -1.0]], [0.25, 0.0])
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 1.0]]]])
    found = cam(net, features, torch.tensor([1]))
    torch.testing.assert_close(found, torch.tensor([[[0.5, 0.0], [1.5, 1.0]]]))
    expected = seewhy.explain(Gap(), pictures(), CLASSES[:, None]).upsample((8, 8))[:, 0]
    assert torch.equal(cam(Gap(), pictures(), CLASSES), expected)


def test_integrated_gradients_add_up() -> None:
    pytest.importorskip("captum")
    net, images = Gap().eval().double(), pictures().double()
    with torch.no_grad():
        logits = net(images).gather(1, CLASSES[:, None])[:, 0]
        empty = net(torch.full_like(images, 0.5)).gather(1, CLASSES[:, None])[:, 0]
    maps = integrated_gradients(net, images, CLASSES, steps=300, baseline=0.5)
    torch.testing.assert_close(maps.sum((1, 2)).double(), logits - empty, atol=2e-3, rtol=0)
    whole = torch.full_like(images, 0.5)
    other = integrated_gradients(net, images, CLASSES, steps=300, baseline=whole)
    torch.testing.assert_close(maps, other)
    coarse = integrated_gradients(net, images, CLASSES, steps=2, baseline=0.5)
    assert (coarse - maps).abs().max() > 1e-3


def test_integrated_gradients_of_large_batches() -> None:
    """More points than go through at once: the parts are put together rightly."""
    pytest.importorskip("captum")
    net = Gap().eval()
    images = torch.randn(2, 3, 160, 160)
    maps = integrated_gradients(net, images, CLASSES[:2], steps=20)
    leaf_logits = net(images).gather(1, CLASSES[:2, None])[:, 0]
    empty = net(torch.zeros_like(images)).gather(1, CLASSES[:2, None])[:, 0]
    torch.testing.assert_close(maps.sum((1, 2)), leaf_logits - empty, atol=0.05, rtol=0)


def test_without_captum_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MissingExtraError) as caught:
        integrated_gradients(Gap(), pictures(), CLASSES)
    assert str(caught.value).endswith("pip install 'seewhy[compare]'")


def test_occlusion_by_hand() -> None:
    """The logit is the sum of the pixels, so that a patch takes what it covers."""

    class Total(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum((1, 2, 3)), -2 * x.sum((1, 2, 3))], 1)

    image = torch.tensor([[[[1.0, 2.0, 4.0, 8.0]]]])
    found = occlusion(Total(), image, torch.tensor([0]), patch=0.5, stride=1.0)
    assert found.tolist() == [[[3.0, 3.0, 12.0, 12.0]]]
    found = occlusion(Total(), image, torch.tensor([1]), patch=0.5, stride=0.5, fill=1.0)
    falls = [-2 * fall for fall in (1.0, 4.0, 10.0)]  # of windows 0-1, 1-2 and 2-3
    first, second, third = falls
    assert found.tolist() == [[[first, (first + second) / 2, (second + third) / 2, third]]]


@pytest.mark.parametrize(("patch", "stride"), [(1 / 8, 1 / 2), (0.3, 1.0), (0.5, 0.4), (1.0, 1.0)])
def test_occlusion_against_the_oracle(patch: float, stride: float) -> None:
    class Squares(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum((1, 2, 3)), (x.sum((1, 3)) ** 2).sum(1)], 1)

    image = torch.arange(49.0).reshape(1, 1, 7, 7).sin()
    side = max(1, round(7 * patch))
    expected = oracle.occlusion(
        lambda rows: sum(sum(line) ** 2 for line in rows),
        image[0, 0].tolist(),
        side,
        max(1, round(side * stride)),
        0.25,
    )
    found = occlusion(Squares(), image, torch.tensor([1]), patch=patch, stride=stride, fill=0.25)
    torch.testing.assert_close(found[0], torch.tensor(expected))


def test_occlusion_against_captum() -> None:
    attr = pytest.importorskip("captum.attr")
    net, images = Gap().eval(), pictures(side=10)
    theirs = attr.Occlusion(net).attribute(
        images, sliding_window_shapes=(3, 4, 4), strides=(3, 2, 2), target=CLASSES, baselines=0
    )
    ours = occlusion(net, images, CLASSES, patch=0.4, stride=0.5)
    torch.testing.assert_close(ours, theirs[:, 0].float(), atol=1e-5, rtol=1e-5)


def test_a_picture_given_twice_is_occluded_once() -> None:
    passed = 0

    class Counting(Gap):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal passed
            passed += len(x)
            return super().forward(x)

    images = pictures(2)[[0, 1, 0, 0]]
    classes = torch.tensor([0, 1, 2, 3])
    maps = occlusion(Counting(), images, classes, patch=0.5, stride=1.0)
    assert passed == 2 * (1 + 4)
    for index in range(4):
        one = occlusion(Gap(), images[index, None], classes[index, None], patch=0.5, stride=1.0)
        torch.testing.assert_close(maps[index], one[0])


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        module: nn.Module = torch.jit.trace(Gap().eval(), pictures())
    return module


@pytest.mark.parametrize("name", METHODS)
def test_a_scripted_model_is_refused(name: str) -> None:
    needs_captum(name)
    with pytest.raises(ModelError, match=r"expected an eager nn\.Module, got a scripted one"):
        METHODS[name].function(scripted(), pictures(), CLASSES)


def test_wrapped_models_are_unwrapped() -> None:
    expected = deconvnet(Gap(), pictures(), CLASSES)
    assert torch.equal(deconvnet(nn.DataParallel(Gap()), pictures(), CLASSES), expected)


WRONG: list[tuple[Any, type[SeewhyError], str]] = [
    (
        lambda: gradient(separate(), pictures()[0], CLASSES),
        InputError,
        "images: expected prepared pictures (B, C, H, W) of floating point, got float32 of shape"
        " (3, 8, 8); prepare them with the classifier's preprocess, and stack them",
    ),
    (
        lambda: occlusion(separate(), pictures(), torch.tensor([0, 1])),
        ClassError,
        "classes: expected one integer id for each picture, shape (3,), got int64 of shape (2,);"
        " pass torch.tensor([...]) with one id a picture",
    ),
    (
        lambda: gradient(separate(), pictures(), torch.tensor([0, 5, 1])),
        ClassError,
        "classes: expected ids from 0 to 4, got 0, 5, 1; choose classes that the model has",
    ),
    (
        lambda: occlusion(separate(), pictures(), torch.tensor([0, -1, 1])),
        ClassError,
        "classes: expected ids from 0 to 4, got 0, -1, 1; choose classes that the model has",
    ),
    (
        lambda: occlusion(separate(), pictures(), CLASSES, patch=2),
        InputError,
        "patch: expected a share above 0, at most 1, got 2; pass 0.125, say",
    ),
    (
        lambda: integrated_gradients(separate(), pictures(), CLASSES, steps=0),
        InputError,
        "steps: expected 1 or more, got 0; pass 20 to 300",
    ),
    (
        lambda: gradient(nn.Identity(), pictures()[:, :, 0, 0].sum(1)[:, None, None], CLASSES),
        InputError,
        "images: expected prepared pictures (B, C, H, W) of floating point, got float32 of shape"
        " (3, 1, 1); prepare them with the classifier's preprocess, and stack them",
    ),
    (
        lambda: choose(["gradients"]),
        InputError,
        "method 'gradients': expected the name of a method, got an unknown one; did you mean"
        " gradient or gradient-x-input or integrated-gradients?",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_nonsense_is_refused(call: Any, kind: type[SeewhyError], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_what_a_network_raises_is_told_in_a_line() -> None:
    with pytest.raises(ModelError) as caught:
        gradient(separate(), pictures()[:, :2], CLASSES)
    line = str(caught.value)
    assert line.startswith("ReluNet: expected a model that runs on these pictures and can be")
    assert "expected input" in line
    with torch.inference_mode():
        born_there = Gap()
    with pytest.raises(ModelError, match="build the model outside of inference mode"):
        gradient(born_there, pictures(), CLASSES)


def test_cam_of_a_head_that_is_not_linear_is_what_explain_says() -> None:
    net = ReluNet([nn.ReLU()] * 3).eval()
    said = seewhy.explain(net, pictures(), CLASSES[:, None])
    assert said.kind == "first-order"
    torch.testing.assert_close(cam(net, pictures(), CLASSES), said.upsample((8, 8))[:, 0])


def test_choosing() -> None:
    assert tuple(choose()) == USUAL
    assert list(choose(["occlusion", "cam"])) == ["occlusion", "cam"]


class Answer:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: (t, "more"),
        lambda t: {"loss": None, "other": t[:, :1], "logits": t},
        lambda t: {"output": t},
        Answer,
        lambda t: t[..., None, None],
    ],
)
def test_logits_are_found_in_what_is_returned(wrap: Callable[[Tensor], Any]) -> None:
    logits = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(logits_of(wrap(logits), 2), logits)


def test_what_holds_no_logits() -> None:
    for output, got in (("text", "a str"), (torch.ones(3, 2), r"shape \(3, 2\)")):
        with pytest.raises(ModelError, match=rf"logits of shape \(B=2, C\), got {got}"):
            logits_of(output, 2)


def test_the_docs_name_every_method() -> None:
    text = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"`{name}`" not in text] == []


def test_the_table_is_complete() -> None:
    for name, method in METHODS.items():
        assert name == name.lower()
        assert all((method.summary, method.source, method.passes, method.unit))
        assert method.function.__doc__
        assert "Source:" in method.function.__doc__
