"""Labels of a data set become a model's ids, by name where both have names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seewhy.datasets import logit_ids
from seewhy.errors import DataError

PETS = ("cat", "dog", "red_fox")
NUMBERS = ("0", "1", "2")


@pytest.mark.parametrize(
    ("names", "model", "count", "expected"),
    [
        (PETS, PETS, 3, [0, 1, 2]),
        (PETS, ("Red Fox", "DOG", "cat"), 3, [2, 1, 0]),
        (("dog", "cat"), PETS, 3, [1, 0]),  # a part of the model's classes
        (("auto-mobile",), ("x", "auto_mobile"), 2, [1]),
        (("crane",), ("x", "crane", "crane"), 3, [1]),  # ImageNet has two cranes
        (PETS, None, 3, [0, 1, 2]),  # by number: the model has no names
        (NUMBERS, PETS, 3, [0, 1, 2]),  # by number: the data have none
        (NUMBERS, None, 1000, [0, 1, 2]),
        (PETS, None, None, [0, 1, 2]),
    ],
)
def test_the_ids(
    names: tuple[str, ...], model: tuple[str, ...] | None, count: int | None, expected: list[int]
) -> None:
    assert logit_ids(names, model, count, subject="data pets").tolist() == expected


@pytest.mark.parametrize(
    ("names", "model", "count", "line"),
    [
        (
            PETS,
            None,
            2,
            "data pets: expected the 2 classes of net, got 3: cat, dog, red_fox;"
            " take a model of 3 classes, or train one",
        ),
        (
            PETS,
            None,
            10,
            "data pets: expected the 10 classes of net, got 3: cat, dog, red_fox;"
            " take a model of 3 classes, or train one",
        ),
        (
            NUMBERS,
            ("cat", "dog"),
            2,
            "data pets: expected the 2 classes of net, got 3: 0, 1, 2;"
            " take a model of 3 classes, or train one",
        ),
        (
            PETS,
            ("cat", "dog", "owl"),
            3,
            "data pets: expected classes of net, such as cat, dog, owl, got 1 that it does not"
            " have: red_fox; take a model of these classes, or give it the data's names as its"
            " class names",
        ),
        (
            PETS,
            ("Katze", "Hund", "Fuchs"),
            3,
            "data pets: expected classes of net, such as Katze, Hund, Fuchs, got 3 that it does"
            " not have: cat, dog, red_fox; take a model of these classes, or give it the data's"
            " names as its class names",
        ),
    ],
)
def test_a_model_of_other_classes(
    names: tuple[str, ...], model: tuple[str, ...] | None, count: int, line: str
) -> None:
    with pytest.raises(DataError) as caught:
        logit_ids(names, model, count, subject="data pets", model="net")
    assert str(caught.value) == line


@given(st.permutations(("ant", "bee", "Cow Bird", "doe", "e-e_l")))
def test_any_order_leads_back(order: list[str]) -> None:
    names = ("ant", "bee", "cow_bird", "DOE", "e e l")
    ids = logit_ids(names, tuple(order), 5, subject="data")
    assert [order[i].casefold()[0] for i in ids] == [name.casefold()[0] for name in names]
