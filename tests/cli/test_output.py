"""Names of what is written, and where it may be written."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from seewhy.cli.output import labels

parts = st.text("aAbBßſ-._ 1é\n\udc80*", min_size=1, max_size=4).filter(
    lambda text: text.strip(".") != ""
)
paths = st.lists(parts, min_size=1, max_size=3).map(lambda names: Path("/p", *names))


@given(st.lists(paths, min_size=1, max_size=8, unique=True))
def test_no_two_labels_are_alike_on_any_file_system(found: list[Path]) -> None:
    named = labels(found)
    assert list(named) == found
    assert len({label.casefold() for label in named.values()}) == len(found)


@given(paths | st.text(min_size=1).map(lambda text: Path("/p", text.replace("/", "_"))))
def test_a_label_is_a_safe_part_of_a_file_name(path: Path) -> None:
    (label,) = labels([path]).values()
    assert label
    assert len(label.encode()) <= 80
    assert not set(label) & set('/\\:*?"<>|.\n\0 ')


def test_labels_say_the_folder_only_where_it_matters() -> None:
    found = [Path("in/cats/1.jpg"), Path("in/dogs/1.jpg"), Path("in/dogs/2.jpg")]
    assert list(labels(found).values()) == ["cats-1", "dogs-1", "2"]


def test_labels_of_one_stem_are_numbered() -> None:
    found = [Path("in/1.jpg"), Path("in/1.png"), Path("in/1.PNG")]
    assert list(labels(found).values()) == ["1", "1-2", "1-3"]


def test_long_names_differ_at_their_ends() -> None:
    found = [Path("x" * 200 + "1.jpg"), Path("x" * 200 + "2.jpg")]
    one, two = labels(found).values()
    assert (one[-1], two[-1]) == ("1", "2")
