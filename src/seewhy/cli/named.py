"""What the user named to look at: a data set, or pictures."""

from __future__ import annotations

from typing import Any

from seewhy.errors import InputError


def named(command: str, pictures: list[str] | None, data: str | None) -> Any:
    """The data set, or the paths of the pictures; None where the user named neither.

    Args:
        command: whose arguments they are, for the error.
        pictures: files, folders or patterns.
        data: see `load_dataset`.

    Raises:
        InputError: both were named.
        FileError, ImageError: there is no such data, or there are no such pictures.
    """
    from seewhy import images
    from seewhy.cli.downloads import load_dataset

    if data and pictures:
        raise InputError(
            command,
            expected="--data or pictures",
            got="both",
            fix="name the data set, or the pictures",
        )
    if data:
        return load_dataset(data)
    return images.find_pictures(pictures) if pictures else None
