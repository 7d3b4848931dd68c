"""Units of a class, picture by picture and channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def means(features: Tensor, weights: Tensor) -> list[float]:
    """Of each channel the mean, over pictures, of its weight times its mean over positions."""
    found = []
    for channel, weight in enumerate(weights.tolist()):
        total = 0.0
        for picture in features[:, channel].double():
            total += weight * float(picture.sum()) / picture.numel()
        found.append(total / len(features))
    return found


def shares(of: Sequence[float]) -> list[float]:
    """Each positive one over the sum of the positive ones; 0 for the others."""
    whole = sum(each for each in of if each > 0)
    return [max(each, 0.0) / whole for each in of]


def moved(trunk: nn.Module, image: Tensor, channel: int, y: int, x: int) -> Tensor:
    """Which pixels (H, W) of a picture (3, H, W) change one cell of a channel when they change."""
    before = trunk(image[None])[0, channel, y, x]
    changed = torch.zeros(image.shape[1:], dtype=torch.bool)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            other = image.clone()
            other[:, row, column] += 0.01
            changed[row, column] = trunk(other[None])[0, channel, y, x] != before
    return changed
