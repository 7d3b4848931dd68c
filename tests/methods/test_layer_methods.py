"""Grad-CAM and its kin: right by hand, by a second derivation, and beside the evidence."""

from __future__ import annotations

import functools
import gc
import math
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.nets_of_layers import CLASSES, ClassToken, Smooth, TwoLayers, seeded
from tests.methods.test_map_methods import Gap, pictures
from tests.oracles import cams as oracle
from torch import Tensor, nn

import seewhy
from seewhy.errors import InputError, ModelError
from seewhy.methods import (
    METHODS,
    MapFunction,
    ablation_cam,
    eigen_cam,
    finer_cam,
    grad_cam,
    grad_cam_plusplus,
    hirescam,
    layer_cam,
    score_cam,
    xgrad_cam,
)
from seewhy.methods.eigen_cam import projected
from seewhy.methods.hirescam import product
from seewhy.methods.xgrad_cam import weighed as xgrad_weighed

# Of the picture [[1, 2], [3, 4]], [[0, 1], [2, 0]]; the logit is 8, with gradients as in TwoLayers.
PICTURE = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [2.0, 0.0]]]])
ONE, TWO = PICTURE[0]
SHARE = 1 / (1 + math.exp(-(8 - 1 / 3 + 1 / 2)))  # of the first channel, by Score-CAM
BY_HAND: dict[Any, Tensor] = {
    grad_cam: 3 / 4 * ONE - 1 / 4 * TWO,
    hirescam: torch.tensor([[1.0, -1.0], [0.0, 8.0]]),
    xgrad_cam: 9 / 10 * ONE - 1 / 3 * TWO,
    layer_cam: torch.tensor([[1.0, 0.0], [0.0, 8.0]]),
    grad_cam_plusplus: (1 / 12 + 2 / 22) * ONE + 1 / 5 * TWO,
    finer_cam: 1.6 * (3 / 4 * ONE - 1 / 4 * TWO),
    score_cam: SHARE * ONE + (1 - SHARE) * TWO,
    ablation_cam: 9 / 8 * ONE - 1 / 8 * TWO,
}


@pytest.mark.parametrize("method", BY_HAND)
def test_by_hand(method: Any) -> None:
    found = method(TwoLayers(), PICTURE, torch.tensor([0]), layers="features", relu=False)
    torch.testing.assert_close(found[0], BY_HAND[method])


def test_eigen_cam_by_hand() -> None:
    """The second channel is twice the first: what they share is sqrt(5) times the first."""
    picture = torch.stack([ONE, 2 * ONE])[None]
    found = eigen_cam(TwoLayers(), picture, torch.tensor([0]), layers="features")
    torch.testing.assert_close(found[0], math.sqrt(5) * ONE)
    centred = eigen_cam(TwoLayers(), -picture, torch.tensor([0]), layers="features", centred=True)
    torch.testing.assert_close(centred[0], math.sqrt(5) * torch.tensor([[1.5, 0.5], [-0.5, -1.5]]))


def test_the_relu_is_there_where_the_paper_has_it() -> None:
    signed = {"hirescam", "xgrad-cam", "eigen-cam"}
    for name in OF_LAYERS:
        method: Any = METHODS[name].function
        net, classes = TwoLayers(), torch.tensor([1])
        default = method(net, -PICTURE, classes, layers="features")
        raw = method(net, -PICTURE, classes, layers="features", relu=False)
        assert torch.equal(default, raw if name in signed else raw.relu()), name
        assert torch.equal(method(net, -PICTURE, classes, layers="features", relu=True), raw.relu())


OF_LAYERS = (
    "ablation-cam",
    "eigen-cam",
    "finer-cam",
    "grad-cam",
    "grad-cam++",
    "hirescam",
    "layer-cam",
    "score-cam",
    "xgrad-cam",
)
FROM_GRADIENTS: dict[str, Callable[[oracle.Array, oracle.Array], oracle.Array]] = {
    "grad-cam": oracle.grad_cam,
    "grad-cam++": oracle.grad_cam_plusplus,
    "hirescam": oracle.hirescam,
    "layer-cam": oracle.layer_cam,
    "xgrad-cam": oracle.xgrad_cam,
}


class Case:
    """A random net in double precision, a picture, and what is known of it without autograd."""

    def __init__(self, seed: int, channels: int, height: int, width: int) -> None:
        self.net: Smooth = seeded(Smooth(channels), seed).double()
        generator = torch.Generator().manual_seed(seed + 1)
        shape = (1, 2, height, width)
        self.picture = torch.randn(shape, generator=generator, dtype=torch.float64)
        self.of = seed % CLASSES
        with torch.no_grad():
            self.features = self.net.features(self.picture)[0].numpy()

    def logits(self, features: oracle.Array) -> oracle.Array:
        with torch.no_grad():
            found: oracle.Array = self.net.rest(torch.from_numpy(features)[None])[0].numpy()
        return found

    def score(self, features: oracle.Array) -> float:
        return float(self.logits(features)[self.of])

    def of_picture(self, picture: oracle.Array) -> float:
        with torch.no_grad():
            return float(self.net(torch.from_numpy(picture)[None])[0, self.of])

    def require(self, method: Any, expected: oracle.Array, **options: Any) -> None:
        """The method's map is the expected one, once it is brought to the picture's size."""
        classes = torch.tensor([self.of])
        found = method(self.net, self.picture, classes, layers="features", **options)[0]
        large = oracle.enlarged(expected, *self.picture.shape[2:])
        scale = np.abs(large).max()
        np.testing.assert_allclose(found.numpy(), large, atol=1e-5 * scale, rtol=1e-4)


CASES = st.builds(
    Case, st.integers(0, 10**6), st.integers(1, 4), st.integers(4, 8), st.integers(4, 8)
)
few = settings(max_examples=15)


@few
@given(CASES)
def test_gradient_methods_against_the_oracle(case: Case) -> None:
    grads = oracle.gradient(case.score, case.features)
    for name, derive in FROM_GRADIENTS.items():
        case.require(METHODS[name].function, derive(case.features, grads), relu=False)


@few
@given(CASES, st.integers(1, 5), st.floats(0, 1))
def test_finer_cam_against_the_oracle(case: Case, references: int, strength: float) -> None:
    def score(features: oracle.Array) -> float:
        return oracle.finer_score(case.logits(features), case.of, references, strength)

    expected = oracle.grad_cam(case.features, oracle.gradient(score, case.features))
    case.require(finer_cam, expected, relu=False, references=references, strength=strength)


@few
@given(CASES)
def test_ablation_cam_against_the_oracle(case: Case) -> None:
    case.require(ablation_cam, oracle.ablation_cam(case.score, case.features), relu=False)


@few
@given(CASES)
def test_score_cam_against_the_oracle(case: Case) -> None:
    picture = case.picture[0].numpy()
    expected = oracle.score_cam(case.of_picture, picture, case.features)
    case.require(score_cam, expected, relu=False)


@few
@given(CASES, st.booleans())
def test_eigen_cam_against_the_oracle(case: Case, centred: bool) -> None:
    expected = oracle.eigen_cam(case.features, centred=centred)
    high, low = expected.max(), -expected.min()
    if abs(high - low) > 1e-6 * max(high, low):  # else the sign is a toss-up
        case.require(eigen_cam, expected, centred=centred)


@pytest.mark.parametrize("shape", [(7, 2, 3), (2, 4, 4), (3, 1, 2)])
def test_the_smaller_matrix_gives_the_same(shape: tuple[int, int, int]) -> None:
    features = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3)).double()
    for found, each in zip(projected(features), features.numpy(), strict=True):
        np.testing.assert_allclose(found.numpy(), oracle.eigen_cam(each), atol=1e-9)


def test_eigen_cam_of_large_and_tiny_features() -> None:
    features = torch.rand(1, 5, 3, 3, generator=torch.Generator().manual_seed(3))
    for scale in (1e-25, 1e25):
        torch.testing.assert_close(projected(features * scale) / scale, projected(features))


@pytest.mark.parametrize("method", [hirescam, xgrad_cam, functools.partial(grad_cam, relu=False)])
def test_with_a_linear_head_it_is_the_evidence_over_the_positions(method: MapFunction) -> None:
    net, images, classes = Gap().double(), pictures(side=16).double(), torch.tensor([4, 0, 2])
    evidence = seewhy.explain(net, images, classes[:, None])
    expected = evidence.upsample((16, 16))[:, 0] / evidence.maps[0, 0].numel()
    torch.testing.assert_close(method(net, images, classes), expected.float())


def test_what_adds_up_to_the_logit() -> None:
    """XGrad-CAM adds up to what HiResCAM does; after that layer this net is linear in pieces."""
    features, grads = torch.rand(2, 3, 4, 5) + 0.1, torch.randn(2, 3, 4, 5)
    total = product(features, grads).sum((1, 2))
    torch.testing.assert_close(xgrad_weighed(features, grads).sum((1, 2)), total)
    net, images, classes = Gap(), pictures(), torch.tensor([4, 0, 2])
    nn.init.zeros_(net.second.get_parameter("bias"))
    found = hirescam(net, images, classes, layers="norm").sum((1, 2))  # of the picture's own size
    logits = net.eval()(images).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(found, logits - net.fc.bias[classes])


@pytest.mark.parametrize("name", OF_LAYERS)
def test_zero_features_give_a_map_of_zeros(name: str) -> None:
    method: Any = METHODS[name].function
    classes, empty = torch.tensor([0]), torch.zeros(1, 2, 4, 4)
    net = TwoLayers()
    net.places.data = torch.ones(2, 4, 4)
    for fuse in ("mean", "max", "sum"):
        for layers in ("features", ["features", net.features]):
            found = method(net, empty, classes, layers=layers, fuse=fuse)
            assert torch.equal(found, torch.zeros(1, 4, 4))


def test_fusing_by_hand() -> None:
    """Each of two maps over its largest magnitude; the sum alone is raw."""
    first = hirescam(Gap(), pictures(), torch.tensor([4, 0, 2]), layers="first")
    last = hirescam(Gap(), pictures(), torch.tensor([4, 0, 2]))

    def scaled(maps: Tensor) -> Tensor:
        return torch.stack([one / one.abs().max() for one in maps])

    expected = {
        "mean": (scaled(first) + scaled(last)) / 2,
        "max": torch.maximum(scaled(first), scaled(last)),
        "sum": first + last,
    }
    layers = ["first", "relu"]
    for how, maps in expected.items():
        found = hirescam(Gap(), pictures(), torch.tensor([4, 0, 2]), layers=layers, fuse=how)  # type: ignore[arg-type]
        torch.testing.assert_close(found, maps)
    assert not torch.allclose(expected["mean"], expected["sum"])


def test_ablation_reruns_only_the_rest() -> None:
    """What comes before the layer runs a few times; after it, once for each channel."""
    rows = {"first": 0, "second": 0}

    class Counting(Gap):
        def forward(self, x: Tensor) -> Tensor:
            rows["first"] += len(x)
            x = self.relu(self.second(self.relu(self.norm(self.first(x)))))
            rows["second"] += len(x)
            logits: Tensor = self.fc(x.mean((2, 3)))
            return logits

    net, images = Counting(), pictures(2)
    ablation_cam(net, images, torch.tensor([0, 1]))
    rows.update(first=0, second=0)
    found = ablation_cam(net, images, torch.tensor([0, 1]))
    assert rows == {"first": 2 + 2 + 2, "second": 2 + 2 * 2 + 2 * 8}
    torch.testing.assert_close(found, ablation_cam(Held(), images, torch.tensor([0, 1])))


def test_ablating_tokens() -> None:
    """Of the picture's tokens only: those that stand beside them stay."""
    net, images = seeded(ClassToken(), std=1.0), torch.randn(1, 3, 16, 16)
    layer = net.blocks[1].before
    features = layer_output(net, images)[0, 1:].T.reshape(-1, 4, 4)

    def score(changed: oracle.Array) -> float:
        def replace(_module: Any, _given: Any, out: Tensor) -> Tensor:
            tokens = torch.from_numpy(changed).reshape(len(changed), -1).T[None]
            return torch.cat([out[:, :1], tokens.float()], 1)

        hook = layer.register_forward_hook(replace)
        with torch.no_grad():
            found = float(net(images)[0, 2])
        hook.remove()
        return found

    expected = oracle.enlarged(oracle.ablation_cam(score, features.double().numpy()), 16, 16)
    found = ablation_cam(net, images, torch.tensor([2]), layers="blocks.1.before", relu=False)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-4, rtol=1e-3)
    assert np.abs(expected).max() > 1e-2


def layer_output(net: ClassToken, images: Tensor) -> Tensor:
    kept: list[Tensor] = []
    layer: Any = net.blocks[1]
    hook = layer.before.register_forward_hook(lambda _m, _i, out: kept.append(out.detach()))
    net(images)
    hook.remove()
    return kept[0]


class Held(Gap):
    """The rest holds on to the number of pictures: all of the network runs again."""

    def forward(self, x: Tensor) -> Tensor:
        count = len(x)
        x = self.relu(self.second(self.relu(self.norm(self.first(x)))))
        logits: Tensor = self.fc(x.reshape(count, 8, -1).mean(2))
        return logits


@pytest.mark.parametrize("method", [score_cam, ablation_cam])
def test_a_picture_given_twice_is_masked_once(method: MapFunction) -> None:
    passed = 0

    class Counting(Gap):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal passed
            passed += len(x)
            return super().forward(x)

    images, classes = pictures(2)[[1, 0, 1, 1]], torch.tensor([0, 1, 2, 3])
    net = Counting()
    maps = method(net, images, classes)
    passed = 0
    torch.testing.assert_close(method(net, images, classes), maps)
    twice, passed = passed, 0
    method(net, images[:2], classes[:2])
    assert twice == passed + 2  # the first pass is for all that are given
    for index in range(4):
        one = method(Gap(), images[index, None], classes[index, None])
        torch.testing.assert_close(maps[index], one[0])


@pytest.mark.parametrize("method", [score_cam, ablation_cam, grad_cam])
def test_large_pictures_go_through_in_parts(method: MapFunction) -> None:
    images, classes = torch.randn(2, 3, 300, 300), torch.tensor([0, 1])
    maps = method(Gap(), images, classes)
    for index in range(2):
        one = method(Gap(), images[index, None], classes[index, None])
        torch.testing.assert_close(maps[index], one[0], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", OF_LAYERS)
def test_nothing_piles_up_from_batch_to_batch(name: str) -> None:
    net, classes = Gap(), torch.tensor([0, 1])

    def alive() -> int:
        gc.collect()
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    def batches(count: int) -> None:
        for seed in range(count):
            images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
            METHODS[name].function(net, images, classes)

    batches(2)
    before = alive()
    batches(20)
    assert alive() <= before  # those of other tests may go meanwhile


def test_ten_thousand_pictures_take_no_more_memory_than_a_thousand() -> None:
    net, classes = Gap(), torch.arange(100) % 5

    def batches(count: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return (torch.randn(100, 3, 8, 8, generator=generator) for _ in range(count))

    def run(count: int) -> int:
        for images in batches(count):
            hirescam(net, images, classes)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        run(2)
        before = run(10)
        assert run(100) - before < 10_000  # bytes
    finally:
        tracemalloc.stop()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        grad_cam(Gap(), pictures(1), torch.tensor([0]), fuse="median")  # type: ignore[arg-type]
    line = "fuse: expected 'mean' or 'max' or 'sum', got 'median'; choose one of these"
    assert str(caught.value) == line
    with pytest.raises(InputError) as caught:
        finer_cam(Gap(), pictures(1), torch.tensor([0]), references=0)
    assert str(caught.value) == "references: expected 1 or more, got 0; pass 3, say"
    with pytest.raises(ModelError) as refused:
        finer_cam(Gap(1), pictures(1), torch.tensor([0]))
    assert str(refused.value) == (
        "model: expected two logits or more, got one, which has no others to compare with;"
        " use grad_cam"
    )
