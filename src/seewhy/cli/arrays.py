"""Sequences and volumes on the command line: .npy and .npz files, drawn as what they are."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seewhy.errors import DataError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from seewhy.render import Style
    from seewhy.results import ClassEvidence

    Array = NDArray[np.float32]

SUFFIXES = (".npy", ".npz")
LARGEST = 2**31  # bytes of one array


def are_named(names: Sequence[str]) -> bool:
    """Whether the files that were named are arrays.

    Raises:
        InputError: some are, and some are not.
    """
    are = [Path(name).suffix.lower() in SUFFIXES for name in names]
    if any(are) and not all(are):
        other = names[are.index(False)]
        fix = "explain them apart"
        raise InputError("arrays", expected="no pictures among them", got=other, fix=fix)
    return any(are)


def refuse(**options: Any) -> None:
    """See that none of the options was used that are for pictures.

    Raises:
        InputError: one was.
    """
    used = next((name for name, value in options.items() if value), None)
    if used:
        name = "--" + used.replace("_", "-")
        expected, fix = "options that are not for pictures alone", "leave it out"
        raise InputError("arrays", expected=expected, got=name, fix=fix)


def read(path: Path) -> Array:
    """A sequence (C, T) or a volume (C, D, H, W), as it is but for its type, float32.

    Raises:
        DataError: the file holds none, or several.
    """
    import numpy as np

    try:
        array = _load(path)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise _bad(path, "no such file", "check the path") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _bad(path, "something else", "save it with numpy.save") from error
    if array.ndim not in (2, 4) or 0 in array.shape:
        fix = "a single sequence of T samples has shape (1, T)"
        raise _bad(path, f"shape {array.shape}", fix)
    if array.dtype.kind not in "fiub" or not bool(np.isfinite(array).all()):
        got = "NaN or infinite ones" if array.dtype.kind == "f" else f"{array.dtype}"
        raise DataError(str(path), expected="finite numbers", got=got, fix="correct the array")
    return np.ascontiguousarray(array, np.float32)


def shape_of_input(paths: Sequence[Path]) -> tuple[int, ...]:
    """The shape of the first array that can be read: what the network is taken to be for.

    Raises:
        DataError: none can be; why the first cannot.
    """
    first: DataError | None = None
    for path in paths:
        try:
            return read(path).shape
        except DataError as problem:
            first = first or problem
    assert first is not None, "there is a path"
    raise first


def require_like(path: Path, shape: Sequence[int], network: Sequence[int]) -> None:
    """See that an array has the axes and channels that the network was made for.

    Raises:
        DataError: it has not.
    """
    if len(shape) == len(network) and shape[0] == network[0]:
        return
    what = "sequence" if len(network) == 2 else "volume"
    channels = f"{network[0]} channel" + ("s" if network[0] > 1 else "")
    raise DataError(
        str(path),
        expected=f"a {what} of {channels}, as the first array is",
        got=f"shape {tuple(shape)}",
        fix="explain it apart, with a network for it",
    )


def _load(path: Path) -> NDArray[Any]:
    import numpy as np

    if path.suffix.lower() == ".npy":
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)  # no more than it is
        return array
    with zipfile.ZipFile(path) as packed:
        names = packed.namelist()
        size = sum(each.file_size for each in packed.infolist())
    if len(names) != 1 or size > LARGEST:
        got = f"{len(names)} arrays" if len(names) != 1 else f"{size:,} bytes"
        raise _bad(path, got, "save each array to a file of its own, with numpy.save")
    with np.load(path, allow_pickle=False) as arrays:
        only: NDArray[Any] = arrays[arrays.files[0]]
    return only


def _bad(path: Path, got: str, fix: str) -> DataError:
    expected = "an array (channels, time) or (channels, depth, height, width)"
    return DataError(str(path), expected=expected, got=got, fix=fix)


def found(patterns: Sequence[str]) -> list[Path]:
    """The files that names and globs stand for, sorted, each once.

    Raises:
        DataError: there is none.
    """
    import glob

    paths = {Path(each) for name in patterns for each in glob.glob(name) or [name]}  # noqa: PTH207
    return sorted(paths)


def drawings(
    array: Array,
    entries: Sequence[ClassEvidence],
    *,
    style: Style,
    limit: float,
    against: str | None,
) -> Iterator[Image]:
    """Each class's evidence in a sequence as coloured curves, in a volume as slices.

    Of a volume of several channels the first is shown.
    """
    from seewhy.sequences import render_sequence
    from seewhy.volumes import render_volume

    for entry in entries:
        if array.ndim == 2:
            yield render_sequence(array, entry, limit=limit, against=against)
        else:
            yield render_volume(array[0], entry, style=style, limit=limit, against=against)
