from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import peers

from seewhy.errors import FileError, InputError
from seewhy.models.names import imagenet_names, read_names

if TYPE_CHECKING:
    from pathlib import Path

FIX = "write one name a line, in the order of the model's logits"


def test_imagenets_names_are_torchvisions() -> None:
    peers.register_torchvision_schemas()
    models = pytest.importorskip("torchvision.models")
    assert imagenet_names() == tuple(models.ResNet18_Weights.DEFAULT.meta["categories"])


def test_imagenets_names_by_hand() -> None:
    names = imagenet_names()
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[285], names[999]) == ("tench", "Egyptian cat", "toilet tissue")


def test_names_from_a_sequence_and_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("Kätzchen \nHund\n", encoding="utf-8")
    assert read_names(path) == read_names(str(path)) == ("Kätzchen", "Hund")
    assert read_names(["a", "b c"]) == ("a", "b c")


@pytest.mark.parametrize(
    ("content", "got"),
    [("", "0 names"), ("a\n\nb\n", "an empty line or something that is no text")],
)
def test_a_file_that_lacks_names(tmp_path: Path, content: str, got: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_names(path)
    assert str(caught.value) == (
        f"class_names {path}: expected one name a class, none of them empty, got {got}; {FIX}"
    )


def test_names_that_are_none() -> None:
    with pytest.raises(InputError, match="class_names: expected one name a class"):
        read_names([])
    with pytest.raises(InputError, match="something that is no text"):
        read_names(["a", 3])  # type: ignore[list-item]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        read_names(tmp_path / "none.txt")
    assert str(caught.value) == (
        f"class_names {tmp_path / 'none.txt'}: expected a UTF-8 text file with one name a line, "
        "got no such file or directory; check the path and the file"
    )
    (tmp_path / "latin.txt").write_bytes(b"K\xe4tzchen\n")
    with pytest.raises(FileError, match="got UnicodeDecodeError"):
        read_names(tmp_path / "latin.txt")
