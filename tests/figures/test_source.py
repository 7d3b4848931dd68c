from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.figures.colours import Data, Split, palette

from seewhy.errors import DataError, InputError
from seewhy.figures.source import source_of

CIFAR = ("airplane", "automobile", "bird")


def labelled(names: tuple[str, ...], labels: list[int]) -> Any:
    split = Split([(0, 0, 0)] * len(labels), np.array(labels))
    return source_of(Data(split, names))


@pytest.mark.parametrize(
    ("names", "model", "count", "expected"),
    [
        (CIFAR, CIFAR, 3, [0, 1, 2]),
        (("bird", "airplane"), CIFAR, 3, [2, 0]),  # by name: another order, and not all of them
        (("Bird", "AIRPLANE", "auto_mobile"), ("airplane", "auto-mobile", "bird"), 3, [2, 0, 1]),
        (CIFAR, None, 3, [0, 1, 2]),  # by number: the model has no names
        (("0", "1", "2"), CIFAR, 3, [0, 1, 2]),  # by number: the data have none
        (("0", "1"), CIFAR, 3, [0, 1]),
    ],
)
def test_labels_become_the_models_ids(
    names: tuple[str, ...], model: tuple[str, ...] | None, count: int, expected: list[int]
) -> None:
    source = labelled(names, list(range(len(names)))).fitted_to("net", model, count)
    assert source.labels.tolist() == expected
    assert source.class_names == (model or names)


def test_labels_of_another_task_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        labelled(("airplane", "bird", "car"), [0]).fitted_to("net", CIFAR, 3)
    assert str(caught.value) == (
        "labels of the test pictures of paint: expected classes of net, such as airplane,"
        " automobile, bird, got 1 that it does not have: car; take a model of these classes, or"
        " give it the data's names as its class names"
    )


def test_a_split_alone_goes_by_number() -> None:
    source = source_of(palette(9)).fitted_to("net", CIFAR, 3)
    assert source.labels is not None
    assert source.labels.tolist() == palette(9).labels.tolist()
    with pytest.raises(DataError, match="the 2 classes of net, got 3"):
        source_of(palette(9)).fitted_to("net", None, 2)


def test_either_split_of_a_data_set() -> None:
    data = Data(palette(9))
    assert source_of(data).what == "test pictures of paint"
    assert len(source_of(data, "train")) == 1
    with pytest.raises(InputError, match="split: expected 'train' or 'test', got 'val'"):
        source_of(data, "val")


def test_pictures_as_the_user_names_them(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture = PIL.Image.new("RGB", (3, 2), "red")
    picture.save(path)
    source = source_of([path, str(path), picture, np.asarray(picture)])
    assert [source.pictures.image(row).getpixel((2, 1)) for row in range(4)] == [(255, 0, 0)] * 4
    names = [source.pictures.name_of(row) for row in range(4)]
    assert names == [str(path), str(path), "picture 2", "picture 3"]
    assert source.labels is None
    assert len(source_of(path)) == len(source_of(picture)) == 1


@pytest.mark.parametrize(
    ("pictures", "line"),
    [
        ([], "pictures: expected at least one, got none; pass some"),
        (
            7,
            "pictures: expected a data set, one of its splits, or a list of pictures, got int; pass"
            " what seewhy.load_dataset returned, or paths",
        ),
    ],
)
def test_what_are_no_pictures(pictures: Any, line: str) -> None:
    with pytest.raises(InputError) as caught:
        source_of(pictures)
    assert str(caught.value) == line
