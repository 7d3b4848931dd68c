"""Take pixels away in the order of evidence, or bring them in, and watch the class go or come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from seewhy.errors import InputError
from seewhy.metrics.faithfulness.answers import Answers, answers, require_maps
from seewhy.metrics.faithfulness.asked import Askable
from seewhy.metrics.faithfulness.fills import filled
from seewhy.metrics.faithfulness.imputation import NOISE, impute
from seewhy.metrics.faithfulness.order import ranks
from seewhy.metrics.scores import Scores

STEPS = 50
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)  # of the pixels


@dataclass(frozen=True, eq=False)
class Curve:
    """What becomes of the class as ever more pixels are changed.

    Attributes:
        shares: of the pixels, (K,).
        probabilities: of the class, (B, K); of a regression it is the output, in its own unit.
        is_top: whether it is the most probable one, (B, K).
    """

    shares: Float[NDArray[np.float64], " steps"]
    probabilities: Float[NDArray[np.float64], "pictures steps"]
    is_top: Bool[NDArray[np.bool_], "pictures steps"]

    @property
    def area(self) -> Scores:
        """The area under each picture's curve by the trapezoidal rule: 0 to 1 of probabilities."""
        between = (self.probabilities[:, 1:] + self.probabilities[:, :-1]) / 2
        return Scores((between * np.diff(self.shares)).sum(1))

    @property
    def mean(self) -> Float[NDArray[np.float64], " steps"]:
        """The mean curve over the pictures."""
        mean: NDArray[np.float64] = self.probabilities.mean(0)
        return mean


@dataclass(frozen=True, eq=False)
class Road:
    """Both orders of removal with imputation.

    Attributes:
        most: the most relevant pixels first (MoRF).
        least: the least relevant first (LeRF).
    """

    most: Curve
    least: Curve

    @property
    def gap(self) -> Scores:
        """The mean over the shares of the probability in LeRF less that in MoRF: higher is better.

        0 for an order that says nothing; at most 1.
        """
        return Scores((self.least.probabilities - self.most.probabilities).mean(1))


def deletion(
    model: Askable,
    images: Tensor,
    classes: Tensor,
    maps: Tensor,
    *,
    steps: int = STEPS,
    fill: str = "mean",
) -> Curve:
    """The class's probability as the pixels with the most evidence go first; low is good.

    At step k of K the `round(k N / K)` first of the N pixels are replaced. The metric is the area
    under the curve of probabilities over the share that is gone, from 0 to 1, ends included.

    Args:
        model: any classifier, or how it is to be asked, see `Asked`.
        images: prepared pictures (B, C, H, W).
        classes: the class explained in each, (B,).
        maps: of these, (B, h, w), see `ranks` for their order.
        steps: K.
        fill: what replaces: "mean", as in the paper, or "blur", see `fills`.

    Raises:
        InputError: fewer steps than one, maps that do not fit, or no such fill.
        ClassError: a class that the model does not have.
        ModelError: the model cannot be run.

    Source:
        Petsiuk, Das and Saenko, RISE: Randomized Input Sampling for Explanation of Black-box
        Models, BMVC 2018, section 4.1, algorithm 1 in the appendix.
    """
    require_maps(maps, images)
    return Removal(model, images, classes, steps, fill).curve(maps)


def insertion(
    model: Askable,
    images: Tensor,
    classes: Tensor,
    maps: Tensor,
    *,
    steps: int = STEPS,
    fill: str = "blur",
) -> Curve:
    """The class's probability as the pixels with the most evidence come first; high is good.

    As `deletion`, but from the filled picture to the picture itself.

    Args:
        model: any classifier, or how it is to be asked, see `Asked`.
        images: prepared pictures (B, C, H, W).
        classes: the class explained in each, (B,).
        maps: of these, (B, h, w).
        steps: K.
        fill: what is there before: "blur", as in the paper, or "mean".

    Raises:
        InputError, ClassError, ModelError: as `deletion`.

    Source:
        Petsiuk et al., BMVC 2018, section 4.1.
    """
    require_maps(maps, images)
    return Removal(model, images, classes, steps, fill, is_insertion=True).curve(maps)


class Removal:
    """Deletion or insertion by any number of maps of the same pictures.

    The picture itself and the filled one, where every curve begins and ends, are asked once.

    Args:
        model: any classifier, or how it is to be asked.
        images: prepared pictures (B, C, H, W).
        classes: the class explained in each, (B,).
        steps: K.
        fill: what replaces, or is there before.
        is_insertion: from the filled pictures to the pictures themselves, else the other way.

    Raises:
        InputError, ClassError, ModelError: as `deletion`.
    """

    def __init__(
        self,
        model: Askable,
        images: Tensor,
        classes: Tensor,
        steps: int,
        fill: str,
        *,
        is_insertion: bool = False,
    ) -> None:
        self.model, self.classes, self.size = model, classes, _size(images)
        self.counts, self.shares = _steps(images, steps), np.linspace(0, 1, steps + 1)
        both = images, filled(images, fill)
        self.first, self.last = reversed(both) if is_insertion else both
        self.ends = answers(model, images, classes, 2, self._end)

    def _end(self, which: Tensor, version: Tensor) -> Tensor:
        is_last = (version == 1)[:, None, None, None]
        return torch.where(is_last, self.last[which], self.first[which])

    def curve(self, maps: Tensor) -> Curve:
        """The curve by these maps, one for each picture.

        Raises:
            InputError: maps that do not fit.
        """
        require_maps(maps, self.first)
        places, counts = ranks(maps.to(self.first.device), self.size), self.counts[1:-1]

        def versions(which: Tensor, version: Tensor) -> Tensor:
            is_changed = places[which] < counts[version][:, None, None]
            return torch.where(is_changed[:, None], self.last[which], self.first[which])

        if not len(counts):
            return _curve(self.shares, self.ends, slice(None))
        found = answers(self.model, self.first, self.classes, len(counts), versions)
        return _curve(self.shares, self.ends.around(found), slice(None))


def road(
    model: Askable,
    images: Tensor,
    classes: Tensor,
    maps: Tensor,
    *,
    shares: Sequence[float] = SHARES,
    noise: float = NOISE,
    seed: int = 0,
) -> Road:
    """The class's probability as pixels go and are guessed from those that stay.

    What replaces a pixel says little of where pixels were taken away, which a grey patch tells by
    its outline. The same noise is added for all pictures.

    Args:
        model: any classifier, or how it is to be asked, see `Asked`.
        images: prepared pictures (B, C, H, W).
        classes: the class explained in each, (B,).
        maps: of these, (B, h, w).
        shares: of the pixels that go, each above 0 and below 1.
        noise: the standard deviation of what is added to an imputed pixel, in prepared pixels.
        seed: of the noise.

    Raises:
        InputError: a share out of bounds, or maps that do not fit.
        ClassError: a class that the model does not have.
        ModelError: the model cannot be run.

    Source:
        Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods,
        ICML 2022, section 5; the shares and the noise: the authors' code.
    """
    require_maps(maps, images)
    fractions = _shares(shares)
    pixels = _pixels(images)
    counts = torch.from_numpy(np.rint(fractions * pixels)).to(images.device)
    places = ranks(maps.to(images.device), _size(images))
    added = noise * _noise((len(counts), *images.shape[1:]), seed).to(images)

    def versions(which: Tensor, version: Tensor) -> Tensor:
        share = version % len(counts)
        order = places[which]
        order = torch.where((version < len(counts))[:, None, None], order, pixels - 1 - order)
        missing = order < counts[share][:, None, None]
        imputed = impute(images[which], missing) + added[share]
        return torch.where(missing[:, None], imputed, images[which])

    found = answers(model, images, classes, 2 * len(counts), versions)
    halves = slice(len(counts)), slice(len(counts), None)
    return Road(*(_curve(fractions, found, half) for half in halves))


def _steps(images: Tensor, steps: int) -> Tensor:
    """How many pixels are changed at each step, (K + 1,); halves are rounded up."""
    if steps < 1:
        raise InputError("steps", expected="1 or more", got=str(steps), fix="pass 50, say")
    number = torch.arange(steps + 1, device=images.device)
    return (2 * number * _pixels(images) + steps) // (2 * steps)


def _shares(shares: Sequence[float]) -> NDArray[np.float64]:
    every = np.asarray(shares, np.float64)
    if not every.size or not ((every > 0) & (every < 1)).all():
        raise InputError(
            "shares",
            expected="numbers above 0 and below 1",
            got=str(list(shares)),
            fix="pass 0.1, 0.3, 0.5, say",
        )
    return every


def _pixels(images: Tensor) -> int:
    return images.shape[2] * images.shape[3]


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def _curve(shares: NDArray[np.float64], found: Answers, part: slice) -> Curve:
    return Curve(
        shares,
        found.probabilities[:, part].cpu().numpy().astype(np.float64),
        found.is_top[:, part].cpu().numpy(),
    )
