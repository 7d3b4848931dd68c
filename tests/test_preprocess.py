from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.Image import Image, Resampling
from tests.peers import register_torchvision_schemas

from seewhy.errors import InputError
from seewhy.geometry import Geometry
from seewhy.preprocess import Preprocess, crop_share, resize_part

MODES = ["crop", "squash", "pad"]


def noise(size: tuple[int, int], seed: int = 0) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(500, 333), (333, 500), (224, 224), (32, 32), (257, 256)])
def test_crop_is_torchvision_bit_for_bit(size: tuple[int, int], interpolation: Any) -> None:
    register_torchvision_schemas()
    from torchvision import transforms as T

    reference = T.Compose(
        [
            T.Resize(256, interpolation=T.InterpolationMode(interpolation)),
            T.CenterCrop(224),
            T.ToTensor(),
            T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    prepared, _ = Preprocess(interpolation=interpolation)(noise(size))
    assert torch.equal(torch.from_numpy(prepared), reference(noise(size)))


@pytest.mark.parametrize(
    ("mode", "peer"), [("crop", None), ("squash", "squash"), ("pad", "border")]
)
@pytest.mark.parametrize("crop", [0.875, 0.95, 1.0])
@pytest.mark.parametrize("target", [(224, 224), (128, 96)])
@pytest.mark.parametrize("size", [(301, 200), (97, 211)])
def test_every_mode_is_timm_bit_for_bit(
    mode: Any, peer: str | None, crop: float, target: tuple[int, int], size: tuple[int, int]
) -> None:
    register_torchvision_schemas()
    from timm.data.transforms_factory import create_transform

    reference: Any = create_transform(
        (3, target[1], target[0]), interpolation="bicubic", crop_pct=crop, crop_mode=peer
    )
    prepared, _ = Preprocess(size=target, crop=crop, mode=mode)(noise(size))
    assert torch.equal(torch.from_numpy(prepared), reference(noise(size)))


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25)
@given(sides=st.tuples(st.integers(1, 300), st.integers(1, 300)), data=st.data())
def test_any_size_gives_the_input_asked_for(
    mode: Any, sides: tuple[int, int], data: st.DataObject
) -> None:
    target = data.draw(st.tuples(st.integers(1, 64), st.integers(1, 64)))
    prepared, geometry = Preprocess(size=target, mode=mode)(PIL.Image.new("RGB", sides))
    assert prepared.shape == (3, target[1], target[0])
    assert prepared.dtype == np.float32
    assert prepared.flags.c_contiguous
    assert geometry.original == sides
    assert geometry.prepared == target


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25)
@given(
    size=st.tuples(st.integers(150, 400), st.integers(150, 400)),
    crop=st.sampled_from([0.8, 0.875, 1.0]),
    centre=st.tuples(st.floats(0.4, 0.6), st.floats(0.4, 0.6)),
)
def test_geometry_follows_a_marked_block(
    mode: Any, size: tuple[int, int], crop: float, centre: tuple[float, float]
) -> None:
    x, y = (int(side * share) for side, share in zip(size, centre, strict=True))
    picture = PIL.Image.new("RGB", size)
    block = (x - 12, y - 12, x + 12, y + 12)
    picture.paste((255, 255, 255), block)
    neutral = Preprocess((192, 160), crop, mode, "bilinear", mean=(0.0,), std=(1.0,))
    prepared, geometry = neutral(picture)
    rows, columns = np.nonzero(prepared[0] > 0.5)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(geometry.boxes_to_prepared(block), seen, atol=0.75)
    np.testing.assert_allclose(
        geometry.boxes_to_original(seen), block, atol=0.75 / min(geometry.scale)
    )


def test_geometry_by_hand() -> None:
    # 512 x 1024: shorter side to 256, longer to 512; of 256 x 512 the crop starts at (16, 144)
    _, geometry = Preprocess()(PIL.Image.new("RGB", (512, 1024)))
    assert geometry.scale == (0.5, 0.5)
    assert geometry.offset == (-16, -144)
    assert geometry.visible == (32, 288, 480, 736)


def test_pad_shows_all_of_the_picture_between_borders_of_the_mean() -> None:
    prepared, geometry = Preprocess(crop=1.0, mode="pad")(PIL.Image.new("RGB", (448, 224), "white"))
    assert geometry.visible == (0, 0, 448, 224)
    assert geometry.offset == (0, 56)
    assert np.abs(prepared[:, :56]).max() < 0.01  # the mean, to within one grey level of 255
    assert prepared[:, 56:168].min() > 2
    assert np.abs(prepared[:, 168:]).max() < 0.01


def test_numbers_by_hand() -> None:
    picture = PIL.Image.new("RGB", (2, 2), (255, 0, 51))
    plain = Preprocess((2, 2), 1.0, mean=(0.5, 0.25, 0.2), std=(0.5, 0.5, 2.0))
    np.testing.assert_allclose(plain(picture)[0][:, 0, 0], [1.0, -0.5, 0.0], atol=1e-7)


def test_one_mean_means_greyscale() -> None:
    picture = PIL.Image.new("RGB", (8, 8), (255, 0, 0))
    prepared, _ = Preprocess((4, 4), 1.0, mean=(0.0,), std=(1.0,))(picture)
    assert prepared.shape == (1, 4, 4)
    np.testing.assert_allclose(prepared, 76 / 255, atol=1e-7)  # ITU-R 601: 0.299 of red


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (20_000, 3)])
@pytest.mark.parametrize("mode", MODES)
def test_a_sliver_does_not_become_a_gigapixel(mode: Any, size: tuple[int, int]) -> None:
    prepared, geometry = Preprocess(mode=mode)(PIL.Image.new("RGB", size, "white"))
    assert prepared.shape == (3, 224, 224)
    assert prepared.max() > 2
    x0, y0, x1, y1 = geometry.visible
    assert 0 <= x0 < x1 <= size[0]
    assert 0 <= y0 < y1 <= size[1]


@pytest.mark.parametrize("resample", [Resampling.BILINEAR, Resampling.BICUBIC, Resampling.LANCZOS])
@pytest.mark.parametrize("size", [(40, 9), (9, 40), (300, 200)])
def test_a_part_resized_is_part_of_the_whole_resized(
    size: tuple[int, int], resample: Resampling
) -> None:
    picture = noise(size).point(lambda value: 96 + value // 4)  # no overshoot to clip in between
    whole, box = (size[0] * 3, size[1] * 2), (1, 2, 25, 17)
    part = resize_part(picture, Geometry.identity(size).resize(whole), box, resample)
    expected = np.asarray(picture.resize(whole, resample).crop(box), dtype=int)
    assert np.abs(np.asarray(part, dtype=int) - expected).max() <= 2


@given(st.integers(1, 1000), st.integers(0, 1000))
def test_crop_share_meets_the_pixel(kept: int, more: int) -> None:
    preprocess = Preprocess((kept, kept), crop_share(kept, kept + more))
    assert preprocess.resized == (kept + more, kept + more)


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"size": (0, 3)},
        "preprocess: size: expected (width, height) above 0, got (0, 3); pass another",
    ),
    ({"size": (3, 3, 3)}, "preprocess: size: expected (width, height) above 0, got (3, 3, 3)"),
    ({"size": (2.5, 3)}, "preprocess: size: expected (width, height) above 0, got (2.5, 3)"),
    ({"crop": 0.0}, "preprocess: crop: expected a share above 0, at most 1, got 0.0"),
    ({"crop": 1.1}, "preprocess: crop: expected a share above 0, at most 1, got 1.1"),
    ({"crop": float("nan")}, "preprocess: crop: expected a share above 0, at most 1, got nan"),
    ({"mode": "zoom"}, "preprocess: mode: expected 'crop' or 'squash' or 'pad', got 'zoom'"),
    ({"interpolation": "best"}, "preprocess: interpolation: expected 'bilinear' or 'bicubic' or"),
    ({"mean": (0.5, 0.5)}, "preprocess: mean: expected 1 or 3 finite numbers, got (0.5, 0.5)"),
    ({"mean": (0.5,)}, "preprocess: std: expected 1 finite numbers above 0, got (0.229,"),
    ({"std": (1.0, 0.0, 1.0)}, "preprocess: std: expected 3 finite numbers above 0, got (1.0, 0.0"),
    ({"std": (1.0, float("inf"), 1.0)}, "preprocess: std: expected 3 finite numbers above 0, got"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_nonsense_is_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Preprocess(**arguments)
    assert str(caught.value).startswith(message)


def test_it_is_a_value() -> None:
    assert Preprocess() == Preprocess(size=(224, 224))
    with pytest.raises(FrozenInstanceError):
        Preprocess().crop = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("mode", MODES)
def test_a_frame_is_all_but_the_normalising(mode: Any) -> None:
    preprocess = Preprocess(size=(20, 30), mode=mode, mean=(0.0,) * 3, std=(1.0,) * 3)
    framed, geometry = preprocess.frame(noise((57, 43)))
    prepared, same = preprocess(noise((57, 43)))
    assert (framed.size, geometry) == ((20, 30), same)
    np.testing.assert_array_equal(np.asarray(framed), np.rint(prepared.transpose(1, 2, 0) * 255))
