"""SmoothGrad and its kin: gradients of the picture under noise; their mean, square or variance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seewhy.errors import InputError
from seewhy.methods.channels import Reduction, reduced
from seewhy.methods.passes import at_once, class_gradient, undisturbed

SAMPLES = 50  # beyond which the paper sees little change
NOISE = 0.15  # of the picture's range; the paper finds 10 % to 20 % best


def smoothgrad(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    seed: int = 0,
    channels: Reduction = "sum",
) -> Tensor:
    """The mean gradient over noisy copies of the picture, (B, H, W).

    Args:
        model: any network that can be differentiated.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        samples: how many noisy copies.
        noise: the standard deviation of the noise, as a share of the picture's range of values.
        seed: of the noise. It is the same for every picture of a batch, so that a map does not
            depend on what else is in the batch.
        channels: how the channels of a pixel become one number, see `reduced`.

    Raises:
        InputError: samples or noise that make no sense.

    Source:
        Smilkov et al., SmoothGrad: Removing Noise by Adding Noise, arXiv:1706.03825, 2017,
        section 3.
    """
    return reduced(_moments(model, images, classes, samples, noise, seed).mean, channels)


def smoothgrad_squared(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    seed: int = 0,
    channels: Reduction = "sum",
) -> Tensor:
    """The mean squared gradient over noisy copies of the picture, (B, H, W): never negative.

    Arguments and errors are those of `smoothgrad`; squares are taken before channels are reduced.

    Source:
        Hooker et al., A Benchmark for Interpretability Methods in Deep Neural Networks, NeurIPS
        2019, section 4.1.2 (SG-SQ).
    """
    found = _moments(model, images, classes, samples, noise, seed)
    return reduced(found.mean.square() + found.variance, channels)


def vargrad(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    seed: int = 0,
    channels: Reduction = "sum",
) -> Tensor:
    """The variance of the gradient over noisy copies of the picture, (B, H, W): never negative.

    Arguments and errors are those of `smoothgrad`. The variance is that of the samples: their sum
    of squares is divided by their number.

    Source:
        Adebayo et al., Local Explanation Methods for Deep Neural Networks Lack Sensitivity to
        Parameter Values, ICLR workshop 2018.
    """
    return reduced(_moments(model, images, classes, samples, noise, seed).variance, channels)


@dataclass
class Moments:
    """Mean and variance of what was added so far, over the first axis, in one go over the data."""

    mean: Tensor
    squares: Tensor  # the sum of squared deviations from the mean
    count: int = 0

    @property
    def variance(self) -> Tensor:
        """The squared deviation from the mean, on average."""
        return self.squares / self.count

    def add(self, values: Tensor) -> None:
        """Take more values into account; the way to join them is Chan, Golub and LeVeque's."""
        many, before = len(values), self.count
        self.count += many
        shift = values.mean(0) - self.mean
        self.mean = self.mean + shift * (many / self.count)
        inside = values.var(0, correction=0) * many
        self.squares = self.squares + inside + shift.square() * (before * many / self.count)


def _moments(
    model: nn.Module, images: Tensor, classes: Tensor, samples: int, noise: float, seed: int
) -> Moments:
    """Of the gradient (B, C, H, W), as many noisy copies in one pass as `at_once` allows."""
    _check(samples, noise)
    with undisturbed(model, images, classes), torch.no_grad():
        pictures = images.detach().clone()
        lowest, highest = pictures.aminmax(dim=1)
        spread = noise * (highest.amax((1, 2)) - lowest.amin((1, 2)))
        found = Moments(torch.zeros_like(pictures).float(), torch.zeros_like(pictures).float())
        for drawn in _noise(pictures, samples, seed):
            noisy = pictures + spread[:, None, None, None] * drawn[:, None]
            several = class_gradient(model, noisy.flatten(0, 1), classes.repeat(len(drawn)))
            found.add(several.unflatten(0, noisy.shape[:2]).float())
    return found


def _noise(pictures: Tensor, samples: int, seed: int) -> Iterator[Tensor]:
    """Standard normal noise (S, C, H, W), a few samples at a time, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    some = max(1, at_once(pictures) // len(pictures))
    for start in range(0, samples, some):
        count = min(some, samples - start)
        each = [torch.randn(pictures.shape[1:], generator=generator) for _ in range(count)]
        yield torch.stack(each).to(pictures)


def _check(samples: int, noise: float) -> None:
    if samples < 1:
        raise InputError("samples", expected="1 or more", got=str(samples), fix="pass 50, say")
    if not 0 <= noise < float("inf"):
        fix = "pass 0.1 to 0.2"
        raise InputError("noise", expected="a share, 0 or more", got=str(noise), fix=fix)
