from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from seewhy.errors import ClassError
from seewhy.images import Preprocess
from seewhy.models.classifier import Classifier, count_logits

NAMES = ("tabby", "tiger cat", "Persian cat", "Cardigan", "cardigan", "tiger")


def classifier(names: tuple[str, ...] | None = NAMES, count: int | None = 6) -> Classifier:
    module = nn.Sequential(nn.Flatten(), nn.LazyLinear(6, dtype=torch.float64))
    preprocess = Preprocess(size=(5, 3), mean=(0.5,), std=(0.5,))
    module(torch.zeros(1, 1, 3, 5, dtype=torch.float64))
    return Classifier("mine", module, preprocess, names, count)


def test_the_example_is_noise_of_the_right_shape_and_type() -> None:
    example = classifier().example(batch=4)
    assert example.shape == (4, 1, 3, 5)
    assert example.dtype == torch.float64
    assert torch.equal(example, classifier().example(batch=4))
    assert 0.7 < float(example.std()) < 1.3
    assert not torch.equal(example[0], example[1])


def test_the_example_leaves_the_global_noise_alone() -> None:
    loaded = classifier()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    loaded.example()
    assert torch.equal(torch.rand(1), expected)


def test_it_calls_its_module() -> None:
    loaded = classifier()
    example = loaded.example()
    assert torch.equal(loaded(example), loaded.module(example))  # type: ignore[arg-type]
    assert loaded.device == torch.device("cpu")


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (0, 0),
        (5, 5),
        ("4", 4),
        (" 2 ", 2),
        ("tabby", 0),
        ("TABBY", 0),
        ("tab", 0),
        ("persian", 2),
        ("Cardigan", 3),
        ("cardigan", 4),
        ("tiger", 5),
        ("tiger c", 1),
    ],
)
def test_a_class_is_found_by_index_name_or_a_part_of_it(wanted: str | int, index: int) -> None:
    assert classifier().class_id(wanted) == index


OTHER = "choose a class that the model has, by name or id"


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (6, "class 6: expected an id from 0 to 5, got 6; choose a class that the model has"),
        (-1, "class -1: expected an id from 0 to 5, got -1; choose a class that the model has"),
        (
            "tabi",
            "class 'tabi': expected one of the model's 6 classes, got an unknown name; "
            "did you mean tabby?",
        ),
        (
            "zzz",
            f"class 'zzz': expected one of the model's 6 classes, got an unknown name; {OTHER}",
        ),
        (
            "CARDIGAN",
            "class 'CARDIGAN': expected one of the model's 6 classes, "
            "got 2: Cardigan (3), cardigan (4); choose one by its id",
        ),
        (
            "a",
            "class 'a': expected one of the model's 6 classes, "
            "got 5: tabby (0), tiger cat (1), Persian cat (2) and 2 more; choose one by its id",
        ),
        (
            "",
            f"class '': expected one of the model's 6 classes, got an unknown name; {OTHER}",
        ),
    ],
)
def test_a_class_that_is_not_there(wanted: str | int, text: str) -> None:
    with pytest.raises(ClassError) as caught:
        classifier().class_id(wanted)
    assert str(caught.value) == text


def test_without_names_only_an_index_will_do() -> None:
    loaded = classifier(names=None, count=None)
    assert loaded.class_id(100) == 100
    assert loaded.class_name(7) == "class 7"
    with pytest.raises(ClassError, match="class 'cat': expected an id, got an unknown name"):
        loaded.class_id("cat")


def test_class_names() -> None:
    assert classifier().class_name(1) == "tiger cat"


Outputs = namedtuple("Outputs", "logits aux")  # noqa: PYI024 -- as torchvision's GoogLeNet has it
LOGITS = torch.zeros(2, 7)


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        torch.zeros(2, 7, 4, 4),
        (LOGITS, torch.zeros(2, 3)),
        [LOGITS],
        {"logits": LOGITS},
        {"aux": torch.zeros(2, 3), "logits": LOGITS},
        {"out": LOGITS},
        SimpleNamespace(logits=LOGITS),
        Outputs(LOGITS, torch.zeros(2, 3)),
        ({"out": LOGITS},),
    ],
)
def test_logits_are_counted_whatever_holds_them(output: object) -> None:
    assert count_logits(output) == 7


@pytest.mark.parametrize("output", [None, (), {}, "text", torch.zeros(3), {"a": 1}])
def test_what_shows_no_logits_is_not_counted(output: object) -> None:
    assert count_logits(output) is None
