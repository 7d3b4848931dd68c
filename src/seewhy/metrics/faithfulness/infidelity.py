"""Whether the numbers in a map are what the logit loses, not only their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from seewhy.errors import InputError
from seewhy.metrics.faithfulness.answers import answers, require_maps
from seewhy.metrics.faithfulness.asked import Askable
from seewhy.metrics.faithfulness.fills import filled
from seewhy.metrics.faithfulness.order import at_size
from seewhy.metrics.scores import Scores

SQUARES = 64
SIDES = (1 / 8, 1 / 2)  # of a square, as shares of the picture's shorter side


@dataclass(frozen=True, eq=False)
class Infidelity:
    """What maps said that hiding squares would cost, and what it did cost.

    Attributes:
        said: by the map, (B, n).
        lost: by the logit, (B, n).
    """

    said: Float[NDArray[np.float64], "pictures squares"]
    lost: Float[NDArray[np.float64], "pictures squares"]

    @property
    def plain(self) -> Scores:
        """`mean of (said - lost)^2`, in logits squared: the paper's equation 1. Low is good.

        For maps in logits a pixel only: a map in another unit is off by that unit.
        """
        return Scores(((self.said - self.lost) ** 2).mean(1))

    @property
    def scaled(self) -> Scores:
        """The same after each map is multiplied by the number that suits it best.

        `sum(said lost) / sum(said^2)`, 0 for a map of zeros: as in the authors' experiments, so
        that maps of any unit can be compared.
        """
        squares = (self.said**2).sum(1, keepdims=True)
        factor = (self.said * self.lost).sum(1, keepdims=True) / np.where(squares, squares, 1)
        return Scores(((factor * self.said - self.lost) ** 2).mean(1))

    @property
    def unexplained(self) -> Scores:
        """`scaled` over the mean of `lost^2`: 0 where the map foretells all, 1 where nothing.

        NaN where no square cost anything.
        """
        power = (self.lost**2).mean(1)
        return Scores(self.scaled.values / np.where(power > 0, power, np.nan))


def infidelity(
    model: Askable,
    images: Tensor,
    classes: Tensor,
    maps: Tensor,
    *,
    count: int = SQUARES,
    fill: str = "mean",
    seed: int = 0,
) -> Infidelity:
    """Hide squares and compare what the logit loses with what the map says of them.

    `E[(I . map - (f(x) - f(x - I)))^2]`, where I is a square of the picture less the fill there, f
    the class's logit, and `I . map` what the map says of I. The squares are drawn once and are the
    same for all pictures, so that methods are compared on the same.

    Args:
        model: any classifier, or how it is to be asked, see `Asked`.
        images: prepared pictures (B, C, H, W).
        classes: the class explained in each, (B,).
        maps: (B, h, w), in logits a pixel, up to a factor: what is said of a square is the sum over
            it. Or attributions (B, C, H, W) in logits per unit of input, gradients say: these are
            multiplied by I first.
        count: how many squares; their sides are drawn between 1/8 and 1/2 of the shorter side.
        fill: what hides, see `fills`.
        seed: of the squares.

    Raises:
        InputError: fewer squares than one, maps that do not fit, or no such fill.
        ClassError: a class that the model does not have.
        ModelError: the model cannot be run.

    Source:
        Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019, definition
        2.1; square removal: section 2.2.
    """
    require_maps(maps, images)
    return hidden(model, images, classes, count=count, fill=fill, seed=seed).foretold_by(maps)


@dataclass(frozen=True, eq=False)
class Hidden:
    """What hiding squares of pictures cost the logit, to compare any number of maps with.

    Attributes:
        change: the pictures less the fill, (B, C, H, W).
        squares: what was hidden, (n, H, W), boolean.
        lost: by the logit, (B, n).
    """

    change: Tensor
    squares: Tensor
    lost: Float[NDArray[np.float64], "pictures squares"]

    def foretold_by(self, maps: Tensor) -> Infidelity:
        """How well these maps, one for each picture, said so; see `infidelity`.

        Raises:
            InputError: maps that do not fit.
        """
        require_maps(maps, self.change)
        of_pixels = _of_pixels(maps.to(self.change.device), self.change)
        said = of_pixels.flatten(1).double() @ self.squares.flatten(1).double().T
        return Infidelity(said.cpu().numpy(), self.lost)


def hidden(
    model: Askable,
    images: Tensor,
    classes: Tensor,
    *,
    count: int = SQUARES,
    fill: str = "mean",
    seed: int = 0,
) -> Hidden:
    """Hide squares, which takes `count + 1` passes of each picture: once for all its maps.

    Raises:
        InputError, ClassError, ModelError: as `infidelity`.
    """
    if count < 1:
        raise InputError("count", expected="1 or more", got=str(count), fix="pass 64, say")
    empty = filled(images, fill)
    drawn = squares((images.shape[2], images.shape[3]), count, seed).to(images.device)

    def versions(which: Tensor, version: Tensor) -> Tensor:
        """The whole picture last."""
        is_hidden = torch.cat([drawn, torch.zeros_like(drawn[:1])])[version]
        return torch.where(is_hidden[:, None], empty[which], images[which])

    logits = answers(model, images, classes, count + 1, versions).logits.double()
    return Hidden(images - empty, drawn, (logits[:, -1:] - logits[:, :-1]).cpu().numpy())


def _of_pixels(maps: Tensor, change: Tensor) -> Tensor:
    """What is said of each pixel, (B, H, W)."""
    if maps.ndim == 3:
        return at_size(maps, (change.shape[2], change.shape[3]))
    if maps.shape != change.shape or not bool(torch.isfinite(maps).all()):
        raise InputError(
            "maps",
            expected=f"finite attributions of the pictures' shape, {tuple(change.shape)}",
            got=f"shape {tuple(maps.shape)}, or NaN or infinite ones",
            fix="pass maps (B, h, w), or one number for each channel of each pixel",
        )
    return (maps.detach() * change).sum(1)


def squares(size: tuple[int, int], count: int, seed: int) -> Tensor:
    """Masks of squares that lie within the picture, (count, H, W), boolean."""
    rng = np.random.default_rng(seed)
    least, most = (max(1, round(share * min(size))) for share in SIDES)
    sides = rng.integers(least, most + 1, count)
    inside = np.ones((count, 1, 1), bool)
    for axis, length in enumerate(size):
        start = rng.integers(0, length - sides + 1)[:, None]
        place = np.arange(length)
        along = (place >= start) & (place < start + sides[:, None])
        inside = inside & np.expand_dims(along, 2 - axis)
    return torch.from_numpy(inside)
