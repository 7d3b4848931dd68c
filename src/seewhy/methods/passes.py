"""Forward and backward passes that leave no trace on the model, whatever the caller is doing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.errors import ClassError, InputError, ModelError, SeewhyError
from seewhy.heads import unwrap
from seewhy.observe import find_tensors, in_eval_mode, run_eagerly
from seewhy.wording import complaint, first_few


def class_logits(model: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """The logit of one class for each picture, (B,): one forward pass as the caller's state has it.

    Args:
        model: the network, in the mode that it is to run in.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).

    Raises:
        ClassError: the model has no such class.
        ModelError: it returns no logits.
    """
    return of_classes(logits_of(model(images), len(images)), classes)


def of_classes(logits: Tensor, classes: Tensor) -> Tensor:
    """The logit of one class for each picture, (B,), from all of them (B, C).

    Raises:
        ClassError: there is no such class.
    """
    require_classes(classes, logits.shape[1])
    return logits.gather(1, classes.to(logits.device)[:, None])[:, 0]


def require_classes(classes: Tensor, count: int) -> None:
    """Refuse classes that a model of `count` classes does not have.

    Raises:
        ClassError: there is one.
    """
    if int(classes.min()) < 0 or int(classes.max()) >= count:
        raise ClassError(
            "classes",
            expected=f"ids from 0 to {count - 1}",
            got=first_few(dict.fromkeys(map(str, classes.tolist()))),
            fix="choose classes that the model has",
        )


def at_once(images: Tensor) -> int:
    """How many pictures of this size to take in one pass where a method needs many of them.

    Eight of 224 x 224 pixels: more are no faster on a CPU, and what a backward pass of them needs
    fits into a gigabyte.
    """
    return max(1, 8 * 224**2 // (images.shape[2] * images.shape[3]))


def class_gradient(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    prepare: Callable[[Tensor], None] = lambda _logits: None,
) -> Tensor:
    """The gradient of each picture's class logit with respect to the picture, (B, C, H, W).

    One forward and one backward pass. Gradients of parameters are neither computed nor kept, and
    no hook is set on any module.

    Args:
        model: the network.
        images: prepared pictures (B, C, H, W).
        classes: ids (B,).
        prepare: is given the logits before the backward pass, to change how it runs.

    Raises:
        InputError, ClassError: pictures or classes of the wrong form.
        ModelError: the model cannot be run or differentiated.
    """
    with differentiable(model, images, classes) as (network, pictures, ids):
        logits = class_logits(network, pictures, ids)
        prepare(logits)
        (gradient,) = torch.autograd.grad(logits.sum(), pictures)
    return gradient


@contextlib.contextmanager
def differentiable(
    model: nn.Module, images: Tensor, classes: Tensor
) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    """The original network in evaluation mode, and copies of the pictures that take gradients.

    Gradients work in here even if the caller switched them off, or is in inference mode.

    Raises:
        InputError: pictures or classes of the wrong form.
        ModelError: whatever the network raises within.
    """
    with undisturbed(model, images, classes) as network, torch.enable_grad():
        yield network, images.detach().clone().requires_grad_(), classes.detach().clone()


@contextlib.contextmanager
def undisturbed(model: nn.Module, images: Tensor, classes: Tensor) -> Iterator[nn.Module]:
    """The original network in evaluation mode, outside of the caller's inference mode.

    Raises:
        InputError: pictures or classes of the wrong form.
        ModelError: whatever the network raises within.
    """
    require_prepared(images, classes)
    network = unwrap(model)
    try:
        with torch.inference_mode(mode=False), run_eagerly(), in_eval_mode(network):
            yield network
    except (SeewhyError, ImportError):
        raise
    except Exception as error:  # a network may raise anything
        raise ModelError(
            type(network).__name__,
            expected="a model that runs on these pictures and can be differentiated",
            got=complaint(error),
            fix="check the pictures' shape, dtype and device; build the model outside of"
            " inference mode",
        ) from error


def logits_of(output: Any, batch: int) -> Tensor:
    """The logits (B, C) in what a network returns: a tensor, or the first one, or "logits".

    Raises:
        ModelError: there are none, or some are NaN or infinite.
    """
    if isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    elif hasattr(output, "logits"):
        output = output.logits
    tensor = next((t for _, t in find_tensors(output) if t.is_floating_point()), None)
    if tensor is None or tensor.ndim == 0 or tensor.shape[0] != batch:
        raise ModelError(
            "model",
            expected=f"logits of shape (B={batch}, C)",
            got=f"a {type(output).__name__}" if tensor is None else f"shape {tuple(tensor.shape)}",
            fix="wrap the model to return its logits alone",
        )
    if not bool((tensor < torch.inf).all()):  # minus infinity rules a class out, and says so
        raise ModelError(
            "model",
            expected="finite logits",
            got="NaN or infinite ones",
            fix="check the weights and the pictures for NaN",
        )
    return tensor.reshape(batch, -1)


def require_prepared(images: Tensor, classes: Tensor) -> None:
    """Refuse what is no batch of prepared pictures with a class for each.

    Raises:
        InputError, ClassError: pictures or classes of the wrong form.
    """
    if images.ndim != 4 or not images.is_floating_point() or 0 in images.shape:
        raise InputError(
            "images",
            expected="prepared pictures (B, C, H, W) of floating point",
            got=f"{str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}",
            fix="prepare them with the classifier's preprocess, and stack them",
        )
    is_integer = not (classes.is_floating_point() or classes.is_complex())
    if classes.shape != images.shape[:1] or not is_integer or classes.dtype == torch.bool:
        raise ClassError(
            "classes",
            expected=f"one integer id for each picture, shape ({len(images)},)",
            got=f"{str(classes.dtype).removeprefix('torch.')} of shape {tuple(classes.shape)}",
            fix="pass torch.tensor([...]) with one id a picture",
        )
