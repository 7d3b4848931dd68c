"""Show the model only what a map holds to be important, and see how sure it still is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seewhy.errors import InputError
from seewhy.metrics.faithfulness.answers import answers, require_maps
from seewhy.metrics.faithfulness.asked import Askable, Asked
from seewhy.metrics.faithfulness.fills import filled
from seewhy.metrics.faithfulness.order import at_size, ranks
from seewhy.metrics.scores import Scores

AREA = 0.2  # of the pixels


def average_drop(
    model: Askable, images: Tensor, classes: Tensor, maps: Tensor, *, fill: str = "mean"
) -> Scores:
    """How much probability is lost where only the map's evidence is shown; low is good.

    `max(0, Y - O) / Y`, 0 to 1, with Y the class's probability for the picture and O that for the
    picture seen through the map: each pixel times `max(map, 0) / max(map)`, and the rest of the
    fill. A map without positive evidence shows nothing. The paper gives it in per cent.

    A map that is large everywhere does well: see `sufficiency` for a fixed area.

    Args:
        model: any classifier, or how it is to be asked, see `Asked`.
        images: prepared pictures (B, C, H, W).
        classes: the class explained in each, (B,).
        maps: of these, (B, h, w).
        fill: what is there where the map is not, see `fills`; "mean" as in the paper.

    Raises:
        InputError: maps that do not fit, no such fill, or a model without probabilities.
        ClassError: a class that the model does not have.
        ModelError: the model cannot be run.

    Source:
        Chattopadhay et al., Grad-CAM++: Improved Visual Explanations for Deep Convolutional
        Networks, WACV 2018, section 4.1.1.
    """
    Asked.of(model).require_probabilities("average-drop")
    whole, seen = _through(model, images, classes, maps, fill)
    return Scores(np.maximum(whole - seen, 0) / np.maximum(whole, np.finfo(np.float64).tiny))


def increase(
    model: Askable, images: Tensor, classes: Tensor, maps: Tensor, *, fill: str = "mean"
) -> Scores:
    """Whether the class is more probable where only the map's evidence is shown; high is good.

    1 where `O > Y` in the terms of `average_drop`, else 0: the mean is the share of pictures.

    Args:
        model: any classifier, or how it is to be asked, see `Asked`.
        images: prepared pictures (B, C, H, W).
        classes: the class explained in each, (B,).
        maps: of these, (B, h, w).
        fill: as in `average_drop`.

    Raises:
        InputError, ClassError, ModelError: as `average_drop`.

    Source:
        Chattopadhay et al., WACV 2018, section 4.1.2.
    """
    Asked.of(model).require_probabilities("increase")
    whole, seen = _through(model, images, classes, maps, fill)
    return Scores((seen > whole).astype(np.float64))


def _through(
    model: Askable, images: Tensor, classes: Tensor, maps: Tensor, fill: str
) -> tuple[np.ndarray, np.ndarray]:
    """The class's probability for the pictures, and for what is seen of them through their maps."""
    require_maps(maps, images)
    positive = at_size(maps.to(images.device), (images.shape[2], images.shape[3])).clamp(min=0)
    peak = positive.amax((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    opacity = (positive / peak)[:, None].to(images)
    seen = opacity * images + (1 - opacity) * filled(images, fill)

    def versions(which: Tensor, version: Tensor) -> Tensor:
        return torch.where((version == 0)[:, None, None, None], images[which], seen[which])

    found = answers(model, images, classes, 2, versions).probabilities.cpu().numpy()
    return found[:, 0].astype(np.float64), found[:, 1].astype(np.float64)


def sufficiency(
    model: Askable,
    images: Tensor,
    classes: Tensor,
    maps: Tensor,
    *,
    area: float = AREA,
    fill: str = "blur",
) -> Scores:
    """Whether the class stays the most probable where only its best pixels are sharp; high is good.

    1 where it does, else 0: the mean is the share of pictures. A label, beside which others may be
    right, has to stay more probable than not. The `round(area N)` pixels with the
    most evidence stay, the others are replaced. A picture of another class to begin with counts as
    it comes.

    Args:
        model: any classifier, or how it is to be asked, see `Asked`.
        images: prepared pictures (B, C, H, W).
        classes: the class explained in each, (B,).
        maps: of these, (B, h, w).
        area: the share of the pixels that stay, above 0 and up to 1.
        fill: what the others are replaced by, see `fills`.

    Raises:
        InputError: an area out of bounds, maps that do not fit, no such fill, or a model without
            probabilities.
        ClassError: a class that the model does not have.
        ModelError: the model cannot be run.

    Source:
        The preservation game of Fong and Vedaldi, ICCV 2017, section 4.1, at a given area.
    """
    require_maps(maps, images)
    Asked.of(model).require_probabilities("sufficiency")
    check_area(area)
    places = ranks(maps.to(images.device), (images.shape[2], images.shape[3]))
    stays = (places < round(area * images[0, 0].numel()))[:, None]
    seen = torch.where(stays, images, filled(images, fill))
    found = answers(model, images, classes, 1, lambda which, _version: seen[which])
    return Scores(found.is_top[:, 0].cpu().numpy().astype(np.float64))


def check_area(area: float) -> None:
    """Refuse what is no share of the pixels.

    Raises:
        InputError: it is none.
    """
    if not 0 < area <= 1:
        raise InputError("area", expected="above 0, up to 1", got=str(area), fix="pass 0.2, say")
