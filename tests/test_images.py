from __future__ import annotations

import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import compress, crc32

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.orientation import SIDES, upright

from seewhy.errors import ImageError
from seewhy.images import find_pictures, from_array, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image

ORIENTATION = 0x0112
FORMATS = ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"]


def noise(width: int = 40, height: int = 30) -> Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def encoded(image: Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixel(image: Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    assert image.mode == "RGB"
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


@pytest.mark.parametrize("source", ["str", "path", "bytes", "file", "picture"])
def test_every_kind_of_source_is_read(tmp_path: Path, source: str) -> None:
    path = tmp_path / "noise.png"
    noise().save(path)
    with path.open("rb") as file, PIL.Image.open(path) as picture:
        sources: dict[str, Any] = {
            "str": str(path),
            "path": path,
            "bytes": path.read_bytes(),
            "file": file,
            "picture": picture,
        }
        image = read(sources[source])
        assert not file.closed
    np.testing.assert_array_equal(image, noise())
    assert image.mode == "RGB"


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(kind: str) -> None:
    image = read(encoded(PIL.Image.new("RGB", (16, 8), (200, 100, 50)), kind))
    assert image.size == (16, 8)
    np.testing.assert_allclose(pixel(image), (200, 100, 50), atol=4)


@given(
    orientation=st.sampled_from(sorted(SIDES)),
    sides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    kind=st.sampled_from(["PNG", "TIFF", "WEBP"]),
)
def test_exif_orientation_is_applied(orientation: int, sides: tuple[int, int], kind: str) -> None:
    stored = noise(*sides)
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {}
    image = read(encoded(stored, kind, exif=exif, **lossless))
    np.testing.assert_array_equal(image, upright(np.asarray(stored), orientation))
    np.testing.assert_array_equal(read(image), image)  # not turned twice


def test_exif_orientation_of_a_jpeg_is_applied() -> None:
    scene = PIL.Image.new("RGB", (32, 16), "blue")
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = 6  # the camera's top is on the scene's right
    image = read(encoded(scene, "JPEG", exif=exif))
    assert image.size == (16, 32)


@pytest.mark.parametrize("junk", [b"junk", b"II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01\0\0\0\x06"])
def test_damaged_exif_costs_no_picture(junk: bytes) -> None:
    assert read(encoded(noise(), "JPEG", exif=b"Exif\0\0" + junk)).size == (40, 30)


def test_a_picture_passed_in_is_left_as_it_was(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = 8
    with PIL.Image.open(io.BytesIO(encoded(noise(), "JPEG", exif=exif))) as image:
        assert read(image).size == (30, 40)
        assert image.size == (40, 30)
        assert image.getexif()[ORIENTATION] == 8
        assert read(image) is not image


def palette_with_hole() -> bytes:
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    return encoded(image, "PNG", transparency=1)


def half_red() -> Image:
    return PIL.Image.new("RGBA", (1, 1), (255, 0, 0, 128))


# name: (the picture, the colour of its first pixel)
COLOURS: dict[str, tuple[Any, tuple[int, int, int]]] = {
    "black and white": (PIL.Image.new("1", (1, 1), 1), (255, 255, 255)),
    "grey": (PIL.Image.new("L", (1, 1), 77), (77, 77, 77)),
    "grey, half transparent": (PIL.Image.new("LA", (1, 1), (0, 128)), (127, 127, 127)),
    "colour, half transparent": (half_red(), (255, 127, 127)),
    "colour, half transparent, premultiplied": (half_red().convert("RGBa"), (255, 127, 127)),
    "grey, premultiplied": (PIL.Image.new("LA", (1, 1), (0, 128)).convert("La"), (127, 127, 127)),
    "transparent": (PIL.Image.new("RGBA", (1, 1), (255, 0, 0, 0)), (255, 255, 255)),
    "palette": (PIL.Image.new("RGB", (1, 1), (9, 8, 7)).quantize(), (9, 8, 7)),
    "one grey transparent": (
        encoded(PIL.Image.new("L", (1, 1), 9), "PNG", transparency=9),
        (255, 255, 255),
    ),
    "one colour transparent": (
        encoded(PIL.Image.new("RGB", (1, 1), (9, 8, 7)), "PNG", transparency=(9, 8, 7)),
        (255, 255, 255),
    ),
    "print colours": (PIL.Image.new("CMYK", (1, 1), (0, 255, 255, 0)), (255, 0, 0)),
    "luma and chroma": (PIL.Image.new("YCbCr", (1, 1), (128, 128, 128)), (128, 128, 128)),
    "16 bits": (PIL.Image.fromarray(np.full((1, 1), 0x8000, np.uint16)), (128, 128, 128)),
    "16 bits, white": (PIL.Image.fromarray(np.full((1, 1), 65535, np.uint16)), (255, 255, 255)),
    "16 bits, big endian": (PIL.Image.fromarray(np.full((1, 1), 257, ">u2")), (1, 1, 1)),
    "32 bits": (PIL.Image.fromarray(np.full((1, 1), 65535, np.int32)), (255, 255, 255)),
    "floats": (PIL.Image.fromarray(np.full((1, 1), 0.2, np.float32)), (51, 51, 51)),
}


@pytest.mark.parametrize("name", COLOURS)
def test_every_colour_mode_becomes_rgb(name: str) -> None:
    source, colour = COLOURS[name]
    assert pixel(read(source)) == colour


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_print_colours_are_read_from_files(kind: str) -> None:
    red = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(pixel(read(encoded(red, kind))), (255, 0, 0), atol=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    image = np.asarray(read(encoded(PIL.Image.fromarray(ramp), kind)))
    np.testing.assert_array_equal(image[..., 0], np.arange(256).reshape(16, 16))


def test_16_bit_colour_is_scaled_not_clipped() -> None:
    # Pillow cannot write such a PNG: signature, header, one filtered row of three samples, end
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    header = (1).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    row = compress(b"\0" + bytes.fromhex("ffff 8000 0100"))
    file = chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")
    assert pixel(read(b"\x89PNG\r\n\x1a\n" + file)) == (255, 128, 1)


def test_a_transparent_palette_entry_is_laid_over_white() -> None:
    image = read(palette_with_hole())
    assert [pixel(image, 0), pixel(image, 1)] == [(255, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    first, second = (PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    image = read(encoded(first, kind, save_all=True, append_images=[second]))
    np.testing.assert_allclose(pixel(image), (255, 0, 0), atol=4)


def test_one_pixel_and_a_very_wide_picture() -> None:
    assert read(encoded(noise(1, 1), "PNG")).size == (1, 1)
    assert read(encoded(PIL.Image.new("RGB", (20_000, 1)), "PNG")).size == (20_000, 1)


@pytest.mark.parametrize("kind", FORMATS)
def test_pillows_own_limit_neither_warns_nor_refuses(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    assert read(encoded(noise(), kind)).size == (40, 30)
    assert PIL.Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("kind", FORMATS)
def test_too_many_pixels_are_refused(kind: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(encoded(noise(), kind), max_pixels=1199)
    assert str(caught.value) == (
        "picture: expected 1 to 1,199 pixels, got 40 x 30; make it smaller, or raise max_pixels"
    )
    assert read(encoded(noise(), kind), max_pixels=1200).size == (40, 30)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = bytearray(encoded(noise(), "PNG"))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageError, match=r"expected 1 to 200,000,000 pixels, got 60,000 x 60,000;"):
        read(bytes(bomb))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_one_line(tmp_path: Path, kind: str, share: float) -> None:
    whole = encoded(noise(), kind)
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImageError, match=rf"^{path}: expected a picture, got .*; .*") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=40), st.sampled_from(FORMATS), st.integers(0, 200))
def test_damage_anywhere_is_an_image_error_or_a_picture(
    damage: bytes, kind: str, where: int
) -> None:
    data = bytearray(encoded(noise(8, 8), kind))
    data[where : where + len(damage)] = damage
    with suppress(ImageError):
        assert read(bytes(data), max_pixels=10_000).mode == "RGB"


def text(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read(content)
    return str(caught.value)


def test_bytes_that_are_no_picture() -> None:
    assert text(b"") == (
        "picture: expected a picture, got an empty file; save or download it again"
    )
    assert text(b"<html>404</html>") == (
        "picture: expected a picture, got text that begins '<html>404</html>';"
        " check where it came from"
    )
    assert text(b"\0\0\0\x18ftypheic\0\0") == (
        "picture: expected a picture, got a HEIC file; convert it to JPEG"
    )
    assert text(b"\x80\x01\x02\x03") == (
        "picture: expected a picture, got bytes of no known format;"
        " convert it to one of AVIF, BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF, WEBP"
    )
    assert text(b"\x89PNG\r\n\x1a\n") == (
        "picture: expected a picture, got a damaged one (nothing after its signature);"
        " save or download it again"
    )
    # Pillow would run Ghostscript on this
    assert text(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n").startswith(
        "picture: expected a picture, got text that begins '%!PS-Adobe-3.0 EPSF-3.0"
    )


def test_paths_that_are_no_picture(tmp_path: Path) -> None:
    note, missing, empty = (tmp_path / name for name in ("note.jpg", "gone.png", "empty.gif"))
    note.write_text("Dear diary")
    empty.touch()
    expected = {
        note: "got text that begins 'Dear diary'; check where it came from",
        missing: "got no such file; check the path",
        empty: "got an empty file; save or download it again",
        tmp_path: "got a folder; name the pictures in it, or pass it to find_pictures()",
        Path("x" * 400): "got the system's error 'File name too long'; check the path",
        Path(os.devnull): "got a device or a pipe; save it to a file first",
    }
    for path, message in expected.items():
        with pytest.raises(ImageError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: expected a picture, {message}"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A file that the user may not read; root, who may read everything, is another for a while."""
    path, me = tmp_path / "locked.png", os.geteuid()
    path.touch(mode=0)
    if me == 0:
        os.seteuid(65534)
    yield path
    os.seteuid(me)


def test_a_file_without_permission(locked: Path) -> None:
    with pytest.raises(ImageError, match=r"got a file that may not be read; change its permissio"):
        read(locked)


@pytest.mark.parametrize("source", [None, 3, np.zeros((2, 2)), io.StringIO("text")])
def test_what_is_no_source_at_all(source: Any) -> None:
    with pytest.raises(ImageError) as caught:
        read(source)
    assert str(caught.value) == (
        "picture: expected a path, bytes, a binary file or a Pillow picture, got"
        f" {type(source).__name__}; read numpy arrays with from_array()"
    )


@pytest.mark.parametrize("value", [-1.0, 1.5, float("nan")])
def test_floats_without_a_scale_are_refused(value: float) -> None:
    image = PIL.Image.fromarray(np.array([[value, 0.5]], dtype=np.float32))
    with pytest.raises(ImageError, match=r"^picture: expected values between 0 and 1, got .* to "):
        read(image)


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match=r"got 0 x 5; check its source$"):
        read(PIL.Image.new("RGB", (0, 5)))


def test_threads_share_pillows_settings_and_give_them_back() -> None:
    data, limit = encoded(noise(300, 300), "PNG"), PIL.Image.MAX_IMAGE_PIXELS
    filters = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(read, [data] * 40))
    assert {image.size for image in images} == {(300, 300)}
    assert limit == PIL.Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters


def test_arrays() -> None:
    colour = np.array([[[255, 0, 51]]], dtype=np.uint8)
    assert pixel(from_array(colour)) == (255, 0, 51)
    assert pixel(from_array(colour / 255)) == (255, 0, 51)
    assert pixel(from_array((colour / 255).astype(np.float16))) == (255, 0, 51)
    assert pixel(from_array(colour.astype(np.uint16) * 257)) == (255, 0, 51)
    assert pixel(from_array(colour[..., 2])) == (51, 51, 51)
    assert pixel(from_array(colour[..., 2:])) == (51, 51, 51)
    assert pixel(from_array(np.array([[[255, 0, 0, 128]]], dtype=np.uint8))) == (255, 127, 127)
    assert from_array(np.zeros((2, 5, 3), dtype=np.uint8)).size == (5, 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 9)), "got (3, 8, 9) in float64; transpose channels-first arrays with"),
        (np.zeros(4), "got (4,) in float64; transpose"),
        (np.zeros((4, 4), np.int64), "got (4, 4) in int64; convert it"),
        (np.zeros((0, 4), np.uint8), "got (0, 4) in uint8; convert it"),
        (np.full((4, 4), 255.0), "expected values between 0 and 1, got 255 to 255; scale it to"),
    ],
)
def test_arrays_that_are_no_pictures(array: Any, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        from_array(array, name="frame 7")
    assert str(caught.value).startswith("frame 7: expected ")
    assert message in str(caught.value)


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [
        "b.jpg",
        "a.PNG",
        "notes.txt",
        "in/c.jpeg",
        "in/deep/d.webp",
        "._b.jpg",
        "e[1].gif",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["."], ["a.PNG", "b.jpg", "e[1].gif", "in/c.jpeg", "in/deep/d.webp"]),
        (["*.jpg", "b.jpg", "./b.jpg"], ["b.jpg"]),
        (["in"], ["in/c.jpeg", "in/deep/d.webp"]),
        (["**/*.webp"], ["in/deep/d.webp"]),
        (["in/**"], ["in/c.jpeg", "in/deep/d.webp"]),
        (["*"], ["a.PNG", "b.jpg", "e[1].gif"]),
        (["e[1].gif"], ["e[1].gif"]),
        (["notes.txt"], ["notes.txt"]),
        (["in/c.jpeg", "a.PNG"], ["a.PNG", "in/c.jpeg"]),
        ([], []),
    ],
)
def test_pictures_are_found(album: Path, patterns: list[str], found: list[str]) -> None:
    assert [path.as_posix() for path in find_pictures(patterns)] == found
    absolute = [album / pattern for pattern in patterns]
    assert find_pictures(absolute) == [album / path for path in found]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("bare", "bare: expected pictures, got a folder without any; check the path"),
        ("gone.jpg", "gone.jpg: expected pictures, got nothing there; check the path"),
        ("*.bmp", "*.bmp: expected pictures, got nothing there; check the path"),
        ("*.txt", "*.txt: expected pictures, got nothing there; check the path"),
        ("", "'': expected pictures, got no path; name a picture or a folder"),
    ],
)
def test_a_pattern_that_leads_to_nothing(album: Path, pattern: str, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        find_pictures(["b.jpg", pattern])
    assert str(caught.value) == message


@pytest.mark.data
def test_real_photographs_are_read(data_dir: Path) -> None:
    paths = find_pictures([data_dir / "imagenet-samples"])
    assert len(paths) == 200
    for path in paths[::20]:
        image = read(path)
        with PIL.Image.open(path) as reference:
            np.testing.assert_array_equal(image, reference.convert("RGB"))
