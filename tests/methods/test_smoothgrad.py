"""SmoothGrad, its square and its variance: by hand, in plain loops, against Captum."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.methods.nets_of_relus import separate
from tests.oracles import noise_and_biases as oracle
from torch import Tensor, nn

from seewhy.errors import InputError
from seewhy.methods import MapFunction, gradient, smoothgrad, smoothgrad_squared, vargrad
from seewhy.methods.smoothgrad import Moments

KINDS: dict[str, MapFunction] = {
    "smoothgrad": smoothgrad,
    "smoothgrad_sq": smoothgrad_squared,
    "vargrad": vargrad,
}


class Cubes(nn.Module):
    """The logit is the sum of x^3, the other one minus half of that: gradients 3 x^2."""

    def forward(self, x: Tensor) -> Tensor:
        total = (x**3).sum((1, 2, 3))
        return torch.stack((total, -0.5 * total), 1)


def cubed_gradient(scale: float, x: Any) -> Any:
    return scale * 3 * x**2


def drawn(samples: int, *shape: int, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(shape, generator=generator) for _ in range(samples)]).numpy()


def test_by_hand() -> None:
    """Without noise all copies are the same; a linear network's gradient has no variance."""

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * torch.tensor([[[[1.0, -2.0]], [[0.5, 3.0]]]])).sum((1, 2, 3))[:, None]

    images, classes = torch.tensor([[[[4.0, 1.0]], [[0.0, 2.0]]]]), torch.tensor([0])
    assert smoothgrad(Linear(), images, classes).tolist() == [[[1.5, 1.0]]]
    assert smoothgrad_squared(Linear(), images, classes).tolist() == [[[1.25, 13.0]]]
    assert vargrad(Linear(), images, classes).tolist() == [[[0.0, 0.0]]]
    found = smoothgrad(Cubes(), images, classes, noise=0, samples=3)
    torch.testing.assert_close(found, gradient(Cubes(), images, classes))
    assert smoothgrad(Linear(), images, classes, channels="abs-max").tolist() == [[[1.0, 3.0]]]


@given(
    st.integers(1, 5),
    st.floats(0, 1).map(lambda share: round(share, 2)),
    st.integers(0, 3),
    st.integers(0, 1),
)
def test_against_the_oracle(samples: int, share: float, seed: int, of: int) -> None:
    image = np.sin(np.arange(12.0)).reshape(2, 2, 3)
    noise = drawn(samples, 2, 2, 3, seed=seed).astype(np.float64)
    scale = (1.0, -0.5)[of]
    expected = oracle.noisy_gradients(partial(cubed_gradient, scale), image, noise, share)
    picture, classes = torch.from_numpy(image)[None], torch.tensor([of])
    for method, wanted in zip(KINDS.values(), expected, strict=True):
        found = method(Cubes(), picture, classes, samples=samples, noise=share, seed=seed)  # type: ignore[call-arg]
        torch.testing.assert_close(found[0], torch.from_numpy(wanted.sum(0)).float())


@pytest.mark.parametrize("kind", KINDS)
def test_against_captum(kind: str) -> None:
    """Captum draws its noise from the global generator: the same numbers from the same seed."""
    attr = pytest.importorskip("captum.attr")
    net, classes = separate().eval(), torch.tensor([3])
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    spread = float(0.15 * (image.max() - image.min()))
    torch.manual_seed(7)
    theirs = attr.NoiseTunnel(attr.Saliency(net)).attribute(
        image, nt_type=kind, nt_samples=10, stdevs=spread, target=classes, abs=False
    )
    ours = KINDS[kind](net, image, classes, samples=10, seed=7)  # type: ignore[call-arg]
    torch.testing.assert_close(ours, theirs.sum(1), rtol=1e-4, atol=1e-6)
    assert (ours - KINDS[kind](net, image, classes, samples=10)).abs().max() > 1e-5  # type: ignore[call-arg]


def test_in_several_passes() -> None:
    """More copies than go through at once are put together rightly."""
    passed: list[int] = []

    class Counting(Cubes):
        def forward(self, x: Tensor) -> Tensor:
            passed.append(len(x))
            return super().forward(x)

    images = torch.randn(2, 1, 300, 300, generator=torch.Generator().manual_seed(0))
    found = vargrad(Counting(), images, torch.tensor([0, 1]), samples=5)
    assert passed == [4, 4, 2]
    for index, scale in enumerate((1.0, -0.5)):
        _, _, expected = oracle.noisy_gradients(
            partial(cubed_gradient, scale),
            images[index].double().numpy(),
            drawn(5, 1, 300, 300).astype(np.float64),
            0.15,
        )
        wanted = torch.from_numpy(expected[0]).float()
        torch.testing.assert_close(found[index], wanted, rtol=1e-3, atol=1e-4)


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=4), min_size=1, max_size=5))
def test_moments_come_together(parts: list[list[float]]) -> None:
    found = Moments(torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64))
    for part in parts:
        found.add(torch.tensor(part, dtype=torch.float64))
    every = torch.tensor([value for part in parts for value in part], dtype=torch.float64)
    torch.testing.assert_close(found.mean, every.mean(), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(found.variance, every.var(correction=0), atol=1e-9, rtol=1e-9)


def test_nonsense_is_refused() -> None:
    images, classes = torch.ones(1, 1, 2, 2), torch.tensor([0])
    with pytest.raises(InputError) as caught:
        smoothgrad(Cubes(), images, classes, samples=0)
    assert str(caught.value) == "samples: expected 1 or more, got 0; pass 50, say"
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="noise: expected a share, 0 or more, got"):
            vargrad(Cubes(), images, classes, noise=noise)
