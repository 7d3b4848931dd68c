"""Turn whatever the user calls pictures into a batch that the network accepts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from seewhy import images as pictures
from seewhy.errors import ImageError, InputError
from seewhy.geometry import Geometry

# Takes an upright RGB picture to the network's input (C, H, W), with the geometry if it knows.
Preparer = Callable[[Image.Image], Any]


def prepare_batch(
    images: Any, network: nn.Module, preprocess: Preparer | None
) -> tuple[Any, tuple[Geometry | None, ...]]:
    """A batch on the network's device, and what preprocessing did to each picture.

    Tensors of floating point are taken as prepared already; everything else is a picture.

    Raises:
        InputError: pictures for a network whose preprocessing is not known, or no pictures.
        ImageError: a picture that cannot be read.
    """
    if _is_prepared(images):
        return _checked(images), (None,) * images.shape[0]
    if isinstance(images, Mapping):
        return dict(images), ()
    singles = list(_each(images))
    if not singles:
        raise InputError("images", expected="at least one picture", got="none", fix="pass some")
    if all(_is_prepared(single) for single in singles):
        return _stacked(singles, network), (None,) * len(singles)
    if preprocess is None:
        raise InputError(
            "images",
            expected="a tensor (B, C, H, W) of floating point, for this model's preprocessing"
            " is not known",
            got=_kind(images if isinstance(images, Tensor | np.ndarray) else singles[0]),
            fix="pass preprocess=, or load the model with seewhy.load_model",
        )
    prepared = [_prepared(single, preprocess) for single in singles]
    batch = _stacked([tensor for tensor, _ in prepared], network)
    return batch, tuple(geometry for _, geometry in prepared)


def open_picture(source: Any) -> Image.Image:
    """One picture, upright and RGB, from a path, bytes, a Pillow picture, an array or a tensor.

    Raises:
        ImageError: it cannot be read.
    """
    if isinstance(source, Tensor):
        source = source.detach().cpu().numpy()
        if source.ndim == 3 and source.shape[0] in (1, 3, 4):
            source = np.moveaxis(source, 0, -1)
    if isinstance(source, np.ndarray):
        return pictures.from_array(source)
    return pictures.read(source)


def _is_prepared(images: Any) -> bool:
    return isinstance(images, Tensor) and images.is_floating_point()


def _checked(batch: Tensor) -> Tensor:
    if batch.ndim < 3 or batch.shape[0] == 0:
        raise InputError(
            "images",
            expected="a batch (B, C, *S) with at least one picture",
            got=f"shape {tuple(batch.shape)}",
            fix="add the missing axis, as in images[None]",
        )
    return batch


def _each(images: Any) -> list[Any]:
    """The single pictures in what may be one, a batch, or a list."""
    if isinstance(images, str | bytes | os.PathLike | Image.Image):
        return [images]
    if isinstance(images, Tensor | np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, list | tuple):
        return list(images)
    raise InputError(
        "images",
        expected="paths, Pillow pictures, arrays or tensors",
        got=_kind(images),
        fix="pass one of these, or a list of them",
    )


def _prepared(source: Any, preprocess: Preparer) -> tuple[Tensor, Geometry | None]:
    made = preprocess(open_picture(source))
    array, geometry = made if isinstance(made, tuple) else (made, None)
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array))
    if tensor.ndim != 3:
        raise InputError(
            "preprocess",
            expected="something that returns an array (C, H, W)",
            got=f"shape {tuple(tensor.shape)}",
            fix="return one picture without a batch axis",
        )
    return tensor, geometry


def _stacked(tensors: list[Tensor], network: nn.Module) -> Tensor:
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) != 1:
        raise ImageError(
            "images",
            expected="pictures of one size after preprocessing",
            got=f"{sorted(shapes)}",
            fix="resize or crop them to one size",
        )
    batch = torch.stack(tensors)
    weight = next((p for p in network.parameters() if p.is_floating_point()), None)
    return batch if weight is None else batch.to(weight.device, weight.dtype)


def _kind(value: Any) -> str:
    name = type(value).__name__
    if isinstance(value, str | Path):
        return f"a path ({value})"
    if hasattr(value, "shape"):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{name} of {kind}, shape {tuple(value.shape)}"
    return f"a {name}"
