"""Read pictures, whatever they are, as upright 8-bit RGB; and find them on disk.

A picture is hostile until shown otherwise: only the formats listed here are ever decoded, its size
is checked before its pixels are, and whatever a decoder raises becomes one `ImageError`.
"""

from __future__ import annotations

import glob
import io
import threading
import warnings
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import PIL.Image
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL.Image import Image

from seewhy.errors import ImageError
from seewhy.geometry import Box, Geometry, Size
from seewhy.preprocess import Preprocess, crop_share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

__all__ = [
    "MAX_PIXELS",
    "Box",
    "Geometry",
    "Preprocess",
    "Size",
    "Source",
    "crop_share",
    "find_pictures",
    "from_array",
    "read",
]

Source = str | Path | bytes | BinaryIO | Image

MAX_PIXELS = 200_000_000  # decoded: 600 MB

# Pillow reads more, some by running other programs (EPS) or without a signature to know it by (TGA)
_SUFFIXES = {
    "AVIF": (".avif",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
SUFFIXES = frozenset(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")

# The value that is white, for the modes whose values are not 0 to 255.
_WHITE = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1.0}

_OS_ERRORS: dict[type[Exception], tuple[str, str]] = {
    FileNotFoundError: ("no such file", "check the path"),
    IsADirectoryError: ("a folder", "name the pictures in it, or pass it to find_pictures()"),
    PermissionError: ("a file that may not be read", "change its permissions"),
}


def read(source: Source, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read one picture as upright 8-bit RGB.

    EXIF orientation is applied; transparency is laid over white; 16-bit grey is scaled, not
    clipped; of an animation the first frame is taken. The source is left as it was.

    Args:
        source: a path, the bytes of a file, a file opened for reading bytes, or a Pillow picture.
        max_pixels: refuse larger pictures before decoding them.

    Raises:
        ImageError: it is missing, damaged, too large, or not a picture.
    """
    return read_scaled(source, None, max_pixels=max_pixels)[0]


def read_scaled(
    source: Source, at_least: Size | None, *, max_pixels: int = MAX_PIXELS
) -> tuple[Image, Size]:
    """Read one picture as `read` does, a JPEG perhaps smaller than it is: that is faster.

    Args:
        source: see `read`.
        at_least: (width, height); a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where neither
            side gets smaller than this.
        max_pixels: see `read`.

    Returns:
        The picture, and the (width, height) of the upright original.

    Raises:
        ImageError: as `read`.
    """
    subject = _name(source)
    try:
        with _quiet_pillow, _open(source, subject) as image:
            _check_size(image, subject, max_pixels)
            size = image.size
            if at_least is not None:
                image.draft(None, at_least)
            is_smaller = image.size != size
            image.load()
            upright = _rgb(_upright(image), subject)
            if is_smaller:
                return upright, size[::-1] if _is_turned(image) else size
            return upright, upright.size
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        got, fix = _look_at(_head(source))
        raise ImageError(subject, expected="a picture", got=got, fix=fix) from error
    except Exception as error:  # a decoder may raise anything over a damaged file
        got, fix = _why_not(error)
        raise ImageError(subject, expected="a picture", got=got, fix=fix) from error


def from_array(array: NDArray[Any], *, name: str = "array") -> Image:
    """Read a numpy array as a picture.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the fourth being alpha; uint8, uint16, or
            floats between 0 and 1.
        name: what to call it in an error.

    Raises:
        ImageError: the shape, the type or a value is none of these.
    """
    values = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    white = {"u1": 255, "u2": 65535}.get(values.dtype.str[1:], 1.0)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        _refuse_array(array, name, "transpose channels-first arrays with .transpose(1, 2, 0)")
    if 0 in values.shape or (white == 1.0 and values.dtype.kind != "f"):
        _refuse_array(array, name, "convert it")
    return read(PIL.Image.fromarray(_bytes(values, white, name)), max_pixels=values.size)


def find_pictures(patterns: Sequence[str | Path]) -> list[Path]:
    """Find the pictures that files, folders and globs (with `**` too) name, sorted, each once.

    A file is taken whatever it is called; folders (searched whole) and globs yield files with a
    picture's suffix, hidden ones left out.

    Raises:
        ImageError: one of the patterns leads to nothing.
    """
    found = {path.absolute(): path for pattern in patterns for path in _matches(pattern)}
    return sorted(found.values())


def _matches(pattern: str | Path) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    if not str(pattern):  # a shell's empty variable, not the folder that one is in
        raise ImageError("''", expected="pictures", got="no path", fix="name a picture or a folder")
    inside = path.rglob("*") if path.is_dir() else _glob(str(path))
    pictures = [each for each in inside if _is_picture(each)]
    if not pictures:
        got = "a folder without any" if path.is_dir() else "nothing there"
        raise ImageError(str(pattern), expected="pictures", got=got, fix="check the path")
    return pictures


def _glob(pattern: str) -> Iterator[Path]:
    # before Python 3.13 pathlib's "a/**" finds no files, and it refuses "a**"
    return map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207 -- see above


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")  # also "._photo.jpg", which macOS leaves beside a photo
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _name(source: object) -> str:
    if isinstance(source, str | Path):
        return str(source)
    name = getattr(source, "filename", None) or getattr(source, "name", None)
    return name if isinstance(name, str) else "picture"


def _open(source: Source, subject: str) -> AbstractContextManager[Image]:
    if isinstance(source, Image):
        return nullcontext(source)
    if not _can_be_opened(source):
        raise ImageError(
            subject,
            expected="a path, bytes, a binary file or a Pillow picture",
            got=type(source).__name__,
            fix="read numpy arrays with from_array()",
        )
    if isinstance(source, str | Path) and _is_special(Path(source)):
        raise ImageError(
            subject, expected="a picture", got="a device or a pipe", fix="save it to a file first"
        )
    PIL.Image.init()
    formats = [name for name in _SUFFIXES if name in PIL.Image.OPEN]
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    return PIL.Image.open(file, formats=formats)


def _can_be_opened(source: object) -> bool:
    if isinstance(source, io.TextIOBase):
        return False
    return isinstance(source, str | Path | bytes) or hasattr(source, "read")


def _is_special(path: Path) -> bool:
    return path.exists() and not (path.is_file() or path.is_dir())


class _QuietPillow:
    """Keep Pillow from warning about what it reads, and from applying its own size limit.

    Both settings belong to the whole process, so that threads reading side by side must share one
    change of them: the first in makes it, the last out takes it back.
    """

    def __init__(self) -> None:
        self._lock, self._readers, self._undo = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._undo.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._undo.callback(
                    setattr, PIL.Image, "MAX_IMAGE_PIXELS", PIL.Image.MAX_IMAGE_PIXELS
                )
                PIL.Image.MAX_IMAGE_PIXELS = None
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._undo.close()


_quiet_pillow = _QuietPillow()


def _check_size(image: Image, subject: str, max_pixels: int) -> None:
    width, height = image.size
    if not 0 < width * height <= max_pixels:
        raise ImageError(
            subject,
            expected=f"1 to {max_pixels:,} pixels",
            got=f"{width:,} x {height:,}",
            fix="make it smaller, or raise max_pixels" if width * height else "check its source",
        )


def _upright(image: Image) -> Image:
    """A copy, turned as its EXIF data say; damaged EXIF data cost no picture."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow parses a TIFF directory here, and any byte of it may be wrong
        return image.copy()


def _is_turned(image: Image) -> bool:
    """Whether width and height change places, as the EXIF data say."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except Exception:  # as in `_upright`
        return False


def _rgb(image: Image, subject: str) -> Image:
    if image.mode in _WHITE:
        image = PIL.Image.fromarray(_bytes(np.asarray(image), _WHITE[image.mode], subject))
    if image.has_transparency_data:
        colours = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        white = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(white, colours)
    return image if image.mode == "RGB" else image.convert("RGB")


def _bytes(values: NDArray[Any], white: float, subject: str) -> NDArray[np.uint8]:
    low, high = values.min(), values.max()
    if not 0 <= low <= high <= white:  # not true of NaN either
        raise ImageError(
            subject,
            expected=f"values between 0 and {white:g}",
            got=f"{low:g} to {high:g}",
            fix="scale it to this range first",
        )
    return np.rint(values * (255 / white)).astype(np.uint8)


def _refuse_array(array: NDArray[Any], name: str, fix: str) -> None:
    raise ImageError(
        name,
        expected="(H, W), (H, W, 3) or (H, W, 4) in uint8, uint16 or float",
        got=f"{array.shape} in {array.dtype}",
        fix=fix,
    )


def _why_not(error: Exception) -> tuple[str, str]:
    """What the system or a decoder says came instead, and what to do about it."""
    if type(error) in _OS_ERRORS:
        return _OS_ERRORS[type(error)]
    if isinstance(error, OSError) and error.strerror:
        return f"the system's error {error.strerror!r}", "check the path"
    reason = str(error) or type(error).__name__
    return f"a damaged one ({reason})", "save or download it again"


def _head(source: Source) -> bytes:
    """The first bytes of what Pillow could not identify."""
    if isinstance(source, bytes):
        return source[:64]
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return file.read(64)
    assert not isinstance(source, Image)
    source.seek(0)
    return source.read(64)


def _look_at(head: bytes) -> tuple[str, str]:
    """What a file is that is no picture, and what to do about it."""
    if not head:
        return "an empty file", "save or download it again"
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "a HEIC file", "convert it to JPEG"
    if head.startswith(_SIGNATURES):
        return "a damaged one (nothing after its signature)", "save or download it again"
    text = head.decode("utf-8", errors="replace")
    if "\ufffd" not in text[:-1] and "\0" not in text:
        return f"text that begins {text[:24]!r}", "check where it came from"
    return "bytes of no known format", f"convert it to one of {', '.join(_SUFFIXES)}"
