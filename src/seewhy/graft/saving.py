"""Write a grafted model whole or not at all; weights in other files come along."""

from __future__ import annotations

import filecmp
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from seewhy.errors import FileError
from seewhy.files import write_whole
from seewhy.graft.opening import external, serialised
from seewhy.wording import complaint

if TYPE_CHECKING:
    import onnx

    from seewhy.graft.make import Grafted


def save(grafted: Grafted, path: Path) -> Path:
    """Write a grafted model; see `write`."""
    return write(grafted.model, grafted.folder, path)


def write(model: onnx.ModelProto, source: Path | None, path: Path) -> Path:
    """Write a model to `path`.

    In the folder where its weights lie, if they lie in other files, it shares them. To another one
    they are copied; a file that is there with other content is left alone.

    Args:
        model: what to write.
        source: the folder where its weights lie, or None.
        path: of the file.

    Raises:
        FileError: it cannot be written, or other weights of the same name are in the way.
        GraftError: it is too large for one file.
    """
    content = serialised(model, path.name)
    places = sorted({place for _, place in external(model)})
    folder = path.absolute().parent
    if source is not None and not _same(source, folder):
        for place in places:
            _bring(source / place, folder / place)
    return write_whole(path, [content])


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _bring(source: Path, target: Path) -> None:
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, target)
            return
        is_same = filecmp.cmp(source, target, shallow=False)
    except OSError as problem:
        raise FileError(
            str(target), expected="room for the model's weights", got=complaint(problem),
            fix="check the folder and the space left",
        ) from problem  # fmt: skip
    if not is_same:
        raise FileError(
            str(target),
            expected="no other file of that name",
            got="one with other content",
            fix="choose another folder",
        )


def _copy(source: Path, target: Path) -> None:
    """Copy by a draft beside the target, so that no half of it is ever there."""
    draft = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        shutil.copyfile(source, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
