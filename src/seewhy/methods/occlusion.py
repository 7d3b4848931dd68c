"""Occlusion: hide a part of the picture and see how much of the logit goes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from seewhy.errors import InputError
from seewhy.methods.passes import (
    at_once,
    logits_of,
    require_classes,
    require_prepared,
    undisturbed,
)

Window = tuple[slice, slice]

PATCH, STRIDE = 1 / 8, 1 / 2  # shares of the picture's side, and of the patch's
PATCHES = 15**2  # that makes


def occlusion(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    *,
    patch: float = PATCH,
    stride: float = STRIDE,
    fill: float = 0.0,
) -> Tensor:
    """How far the logit falls when a patch over the pixel is hidden, (B, H, W), in logits.

    The mean over all patches that cover the pixel. The passes serve all classes, so that a picture
    that is given several times, with different classes, is occluded once.

    Args:
        model: any network.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        patch: the patch's sides, as a share of the picture's.
        stride: how far it moves, as a share of itself.
        fill: what hides, in prepared pixels. 0 is the mean colour after the usual preparation; the
            paper takes grey.

    Source:
        Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section
        4.2.
    """
    _check_share("patch", patch)
    _check_share("stride", stride)
    require_prepared(images, classes)
    height, width = images.shape[2:]
    windows = list(itertools.product(_places(height, patch, stride), _places(width, patch, stride)))
    with undisturbed(model, images, classes) as network, torch.no_grad():
        pictures, which = torch.unique(images.detach(), dim=0, return_inverse=True)
        whole = logits_of(network(pictures.clone()), len(pictures))
        require_classes(classes, whole.shape[1])
        falls = [whole.float() - each for each in _hidden(network, pictures, windows, fill)]
    of_class = torch.stack(falls)[:, which, classes.to(which.device)]
    return _mean_over_windows(of_class, windows, height, width)


def _check_share(name: str, share: float) -> None:
    if not 0 < share <= 1:
        raise InputError(
            name, expected="a share above 0, at most 1", got=f"{share}", fix="pass 0.125, say"
        )


def _places(length: int, patch: float, stride: float) -> list[slice]:
    """Where the patch lies along one side; the last one may reach beyond the edge."""
    side = max(1, round(length * patch))
    step = max(1, round(side * stride))
    return [slice(start, start + side) for start in range(0, length - side + step, step)]


def _hidden(
    network: nn.Module, pictures: Tensor, windows: Sequence[Window], fill: float
) -> Iterator[Tensor]:
    """The logits (P, C) of the pictures with each window hidden, some windows in one pass."""
    some = max(1, at_once(pictures) // len(pictures))
    for start in range(0, len(windows), some):
        chunk = windows[start : start + some]
        copies = pictures.repeat(len(chunk), 1, 1, 1, 1)
        for copy, (rows, columns) in zip(copies, chunk, strict=True):
            copy[:, :, rows, columns] = fill
        logits = logits_of(network(copies.flatten(0, 1)), len(chunk) * len(pictures))
        yield from logits.float().unflatten(0, (len(chunk), len(pictures)))


def _mean_over_windows(falls: Tensor, windows: Sequence[Window], height: int, width: int) -> Tensor:
    """The mean, (B, H, W), of the falls (W, B) of all windows over each pixel."""
    total = falls.new_zeros(falls.shape[1], height, width)
    count = falls.new_zeros(height, width)
    for fall, (rows, columns) in zip(falls, windows, strict=True):
        total[:, rows, columns] += fall[:, None, None]
        count[rows, columns] += 1
    return total / count
