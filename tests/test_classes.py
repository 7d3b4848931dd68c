"""From what a user calls classes to ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seewhy import ClassError
from seewhy.classes import class_id, class_ids, parse_classes

NAMES = ("tabby", "Egyptian cat", "tiger cat", "Tabby", "7")
LOGITS = torch.tensor([[0.0, 3.0, 1.0, 2.0, -1.0], [9.0, 3.0, 1.0, 2.0, 10.0]])


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (1, [[1], [1]]),
        ("1", [[1], [1]]),
        (np.int64(1), [[1], [1]]),
        (np.array([1, 2]), [[1, 2], [1, 2]]),
        ([3, "tabby"], [[3, 0], [3, 0]]),
        ((2,), [[2], [2]]),
        (range(2), [[0, 1], [0, 1]]),
        ("egyptian CAT", [[1], [1]]),
        ("egypt", [[1], [1]]),
        ("Tabby", [[3], [3]]),
        ("7", [[4], [4]]),
        ("predicted", [[1], [4]]),
        ("top2", [[1, 3], [4, 0]]),
        ("top99", [[1, 3, 2, 0, 4], [4, 0, 1, 3, 2]]),
        ("all", [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]),
        (torch.tensor(2), [[2], [2]]),
        (torch.tensor([2, 0]), [[2, 0], [2, 0]]),
        (torch.tensor([[2], [0]]), [[2], [0]]),
        (torch.tensor([[2, 1], [0, 4]], dtype=torch.int16), [[2, 1], [0, 4]]),
    ],
)
def test_ids_of_each_picture(wanted: Any, ids: list[list[int]]) -> None:
    found = class_ids(wanted, LOGITS, NAMES)
    assert found.tolist() == ids
    assert found.dtype == torch.int64


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (5, "class 5: expected an id from 0 to 4, got 5; choose a class that the model has"),
        (-1, "class -1: expected an id from 0 to 4, got -1; choose a class that the model has"),
        ("-1", "class -1: expected an id from 0 to 4, got -1"),
        ("--1", "class '--1': expected one of the model's 5 classes, got an unknown name"),
        ("²", "class '²': expected one of the model's 5 classes, got an unknown name"),
        ("top0", "class 'top0': expected one of the model's 5 classes, got an unknown name"),
        (
            "cat",
            "the model's 5 classes, got 2: Egyptian cat (1), tiger cat (2); choose one by its id",
        ),
        (
            "TABBY",
            "class 'TABBY': expected one of the model's 5 classes, got 2: tabby (0), T",
        ),
        ("tigre cat", "got an unknown name; did you mean tiger cat or Egyptian cat?"),
        ([], 'classes: expected at least one, got none; try "top5"'),
        (1.5, "expected an id or a name, got a float (1.5)"),
        ([0, 1.0], "expected an id or a name, got a float (1.0)"),
        (True, "expected an id or a name, got a bool (True)"),
        (None, "expected an id or a name, got a NoneType (None)"),
        (torch.tensor([0.5]), "expected an id or a name, got a float (0.5)"),
        (torch.tensor([[0], [5]]), "classes: expected ids from 0 to 4, got [0, 5]"),
        (torch.tensor([[0]]), "classes: expected integer ids of shape (B=2, k), got int64"),
        (torch.tensor([[0.0], [1.0]]), "got float32 of shape (2, 1)"),
        (torch.tensor([[True], [False]]), "got bool of shape (2, 1)"),
        (torch.zeros(2, 0, dtype=torch.long), "expected ids from 0 to 4, got []"),
        (torch.zeros(1, 2, 1, dtype=torch.long), "classes: expected"),
    ],
)
def test_classes_that_the_model_does_not_have(wanted: Any, message: str) -> None:
    with pytest.raises(ClassError) as error:
        class_ids(wanted, LOGITS, NAMES)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_names_that_are_not_known() -> None:
    with pytest.raises(ClassError, match="expected an id, got an unknown name; choose one"):
        class_id("tabby", None, 5)
    assert class_id("3", None, 5) == 3


def test_classes_without_a_picture() -> None:
    assert parse_classes("top5", NAMES, 3) == 3
    assert parse_classes("predicted", NAMES, 5) == 1
    assert parse_classes("all", NAMES, 5) is None
    assert parse_classes(["tiger cat", 0], NAMES, 5) == (2, 0)
