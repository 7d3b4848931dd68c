"""What the model says to many changed versions of each picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seewhy import tasks
from seewhy.errors import InputError
from seewhy.methods.passes import at_once, logits_of, require_classes
from seewhy.metrics.faithfulness.asked import Askable, Asked
from seewhy.tasks import QUANTITIES, Task

# (which picture (M,), which version of it (M,)) -> the changed pictures (M, C, H, W)
Versions = Callable[[Tensor, Tensor], Tensor]


class Answers(NamedTuple):
    """Of each picture's class, for all versions of the picture.

    Attributes:
        logits: (B, V), float32.
        probabilities: (B, V): a softmax over all classes, or a sigmoid, as the task has it; a
            sigmoid where there is one logit only. Of a regression it is the output itself.
        is_top: whether the class is the most probable one, (B, V), boolean; a label, whether it is
            more probable than not.
    """

    logits: Tensor
    probabilities: Tensor
    is_top: Tensor

    def around(self, others: Answers) -> Answers:
        """The first of two answers, then all others, then the second."""
        both = zip(self, others, strict=True)
        return Answers(*(torch.cat([own[:, :1], of, own[:, 1:]], 1) for own, of in both))


def answers(
    model: Askable, images: Tensor, classes: Tensor, count: int, versions: Versions
) -> Answers:
    """Show the model `count` versions of each picture, as many at once as `at_once` says.

    The versions of all pictures stand in one row, which is cut into batches; only one batch of
    changed pictures exists at a time, however many there are of both.

    Args:
        model: any classifier, or how it is to be asked; it is left as it was.
        images: prepared pictures (B, C, H, W).
        classes: the class to watch in each, (B,).
        count: how many versions there are of each.
        versions: makes them.

    Raises:
        InputError, ClassError: pictures or classes of the wrong form, or a class that is not there.
        ModelError: the model cannot be run, or returns what is not finite.
    """
    asked, found = Asked.of(model), []
    with asked.running(images, classes) as answer:
        places = torch.arange(len(images) * count, device=images.device)
        for some in places.split(at_once(images)):
            which = some // count
            logits = logits_of(answer(versions(which, some % count)), len(some)).float()
            ids = classes.to(logits.device)[which.to(logits.device)]
            found.append(_of_class(logits, ids, asked.task))
    shape = (len(images), count)
    return Answers(*(torch.cat(each).view(shape) for each in zip(*found, strict=True)))


def _of_class(logits: Tensor, classes: Tensor, task: Task) -> Answers:
    if task == "binary":
        logits = torch.cat([-logits, logits], 1)  # for "no" and for "yes"
    require_classes(classes, logits.shape[1])
    own = logits.gather(1, classes[:, None])[:, 0]
    if task in QUANTITIES:
        return Answers(own, own, torch.zeros_like(own, dtype=torch.bool))
    is_choice = task == "single-label" and logits.shape[1] > 1
    every = tasks.probabilities(logits, "single-label" if is_choice else "multi-label")
    is_top = logits.argmax(1) == classes if is_choice else own > 0
    return Answers(own, every.gather(1, classes[:, None])[:, 0], is_top)


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
