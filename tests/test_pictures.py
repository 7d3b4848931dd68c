"""Whatever a user calls pictures, as a batch on the network's device and in its precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from seewhy import Geometry, ImageError, InputError
from seewhy.pictures import open_picture, prepare_batch

RED = np.zeros((4, 6, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
NETWORK = nn.Linear(1, 1, dtype=torch.float64)


def prepare(image: Image.Image) -> tuple[np.ndarray[Any, Any], Geometry]:
    """Scale to 0..1; the geometry says that nothing was done."""
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
    return pixels, Geometry.identity(image.size)


def red_file(folder: Path) -> Path:
    Image.fromarray(RED).save(folder / "red.png")
    return folder / "red.png"


SOURCES: dict[str, Any] = {
    "path": red_file,
    "text": lambda folder: str(red_file(folder)),
    "bytes": lambda folder: red_file(folder).read_bytes(),
    "Pillow": lambda _: Image.fromarray(RED),
    "array": lambda _: RED,
    "8-bit tensor": lambda _: torch.from_numpy(RED).permute(2, 0, 1),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("many", [False, True])
def test_pictures_of_every_kind(name: str, many: bool, tmp_path: Path) -> None:
    source = SOURCES[name](tmp_path)
    batch, geometry = prepare_batch([source, source] if many else source, NETWORK, prepare)
    count = 2 if many else 1
    assert batch.shape == (count, 3, 4, 6)
    assert batch.dtype == torch.float64
    assert batch[-1, :, 2, 3].tolist() == [1.0, 0.0, 0.0]
    assert geometry == (Geometry.identity((6, 4)),) * count


def test_a_batch_of_pixels_is_as_many_pictures() -> None:
    batch, geometry = prepare_batch(np.stack([RED, RED]), NETWORK, prepare)
    assert (batch.shape, len(geometry)) == ((2, 3, 4, 6), 2)


def test_prepared_tensors_are_taken_as_they_are() -> None:
    x = torch.randn(2, 3, 4, 6)
    batch, geometry = prepare_batch(x, NETWORK, None)
    assert batch is x
    assert geometry == (None, None)
    listed, _ = prepare_batch([x[0], x[1]], NETWORK, None)
    assert torch.equal(listed, x.double())


def test_a_preprocess_without_geometry() -> None:
    batch, geometry = prepare_batch(RED, NETWORK, lambda image: torch.ones(3, 2, 2))
    assert batch.shape == (1, 3, 2, 2)
    assert geometry == (None,)


def test_keyword_arguments_are_passed_on() -> None:
    inputs = {"pixels": torch.zeros(1, 3, 2, 2), "flag": True}
    batch, geometry = prepare_batch(inputs, NETWORK, prepare)
    assert batch == inputs
    assert geometry == ()


BAD: list[tuple[Any, Any, type[Exception], str]] = [
    (RED, None, InputError, "got ndarray of uint8, shape (4, 6, 3); pass preprocess="),
    ("a.png", None, InputError, "got a path (a.png); pass preprocess="),
    ("a.png", prepare, ImageError, "a.png"),
    ([], prepare, InputError, "images: expected at least one picture, got none"),
    (None, prepare, InputError, "got a NoneType; pass one of these, or a list of them"),
    ([None], prepare, ImageError, "expected"),
    (torch.zeros(3, 3), prepare, InputError, "add the missing axis, as in images[None]"),
    (torch.zeros(0, 3, 2, 2), prepare, InputError, "with at least one picture, got shape (0, 3"),
    ([torch.zeros(3, 2, 2), torch.zeros(3, 2, 3)], None, ImageError, "pictures of one size"),
    (RED, lambda image: torch.zeros(1, 3, 2, 2), InputError, "returns an array (C, H, W), got sh"),
]


@pytest.mark.parametrize(("images", "preprocess", "kind", "message"), BAD)
def test_pictures_that_cannot_be_used(
    images: Any, preprocess: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        prepare_batch(images, NETWORK, preprocess)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mixture_of_pictures_and_prepared_tensors_is_refused() -> None:
    mixed: list[Any] = [torch.randn(3, 4, 6), RED]
    with pytest.raises(InputError):
        prepare_batch(mixed, NETWORK, prepare)


def test_a_tensor_with_channels_first_is_turned() -> None:
    picture: Tensor = torch.from_numpy(RED).permute(2, 0, 1)
    assert open_picture(picture).size == (6, 4)
