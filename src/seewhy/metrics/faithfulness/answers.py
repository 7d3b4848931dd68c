"""What the model says to many changed versions of each picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seewhy.errors import InputError
from seewhy.methods.passes import at_once, logits_of, require_classes, undisturbed

# (which picture (M,), which version of it (M,)) -> the changed pictures (M, C, H, W)
Versions = Callable[[Tensor, Tensor], Tensor]


class Answers(NamedTuple):
    """Of each picture's class, for all versions of the picture.

    Attributes:
        logits: (B, V), float32.
        probabilities: (B, V): softmax over all classes; a sigmoid where there is one logit only.
        is_top: whether the class is the most probable one, (B, V), boolean.
    """

    logits: Tensor
    probabilities: Tensor
    is_top: Tensor


def answers(
    model: nn.Module, images: Tensor, classes: Tensor, count: int, versions: Versions
) -> Answers:
    """Show the model `count` versions of each picture, as many at once as `at_once` says.

    The versions of all pictures stand in one row, which is cut into batches; only one batch of
    changed pictures exists at a time, however many there are of both.

    Args:
        model: any classifier; it is left as it was.
        images: prepared pictures (B, C, H, W).
        classes: the class to watch in each, (B,).
        count: how many versions there are of each.
        versions: makes them.

    Raises:
        InputError, ClassError: pictures or classes of the wrong form, or a class that is not there.
        ModelError: the model cannot be run, or returns what is not finite.
    """
    found = []
    with undisturbed(model, images, classes) as network, torch.no_grad():
        places = torch.arange(len(images) * count, device=images.device)
        for some in places.split(at_once(images)):
            which = some // count
            logits = logits_of(network(versions(which, some % count)), len(some)).float()
            require_classes(classes, logits.shape[1])
            found.append(_of_class(logits, classes.to(logits.device)[which]))
    shape = (len(images), count)
    return Answers(*(torch.cat(each).view(shape) for each in zip(*found, strict=True)))


def _of_class(logits: Tensor, classes: Tensor) -> Answers:
    own = logits.gather(1, classes[:, None])[:, 0]
    if logits.shape[1] == 1:
        return Answers(own, own.sigmoid(), own > 0)
    probabilities = logits.softmax(1).gather(1, classes[:, None])[:, 0]
    return Answers(own, probabilities, logits.argmax(1) == classes)


def require_maps(maps: Tensor, images: Tensor) -> None:
    """See that there is one map for each picture.

    Raises:
        InputError: there is not, or these are no pictures.
    """
    if images.ndim != 4:
        raise InputError(
            "images",
            expected="prepared pictures (B, C, H, W)",
            got=f"shape {tuple(images.shape)}",
            fix="stack them",
        )
    if len(maps) != len(images):
        raise InputError(
            "maps",
            expected=f"{len(images)}, one for each picture",
            got=str(len(maps)),
            fix="pass the maps of these pictures",
        )
