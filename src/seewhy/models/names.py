"""Names of classes: ImageNet's thousand, or a user's list."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from seewhy.errors import FileError, InputError
from seewhy.wording import complaint

if TYPE_CHECKING:
    from collections.abc import Sequence


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the 1000 names of ImageNet-1k in the usual order, as torchvision gives them."""
    text = resources.files("seewhy.models").joinpath("imagenet_classes.txt")
    return tuple(text.read_text(encoding="utf-8").splitlines())


def read_names(source: Sequence[str] | Path | str) -> tuple[str, ...]:
    """Return the names in a sequence, or in a UTF-8 text file with one name a line.

    Raises:
        FileError: the file cannot be read as text.
        InputError: there are no names.
    """
    is_path = isinstance(source, (str, Path))
    names = _read_lines(Path(source)) if isinstance(source, (str, Path)) else tuple(source)
    if names and all(map(_is_name, names)):
        return names
    raise InputError(
        f"class_names {source}" if is_path else "class_names",
        expected="one name a class, none of them empty",
        got=f"{len(names)} names" if not names else "an empty line or something that is no text",
        fix="write one name a line, in the order of the model's logits",
    )


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip())


def _read_lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as problem:
        raise FileError(
            f"class_names {path}",
            expected="a UTF-8 text file with one name a line",
            got=complaint(problem),
            fix="check the path and the file",
        ) from problem
