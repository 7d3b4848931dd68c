from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.figures import colours
from tests.figures.colours import Data, Split, classifier, palette, probabilities
from torch import nn

from seewhy.errors import ClassError, DataError, InputError, ModelError
from seewhy.figures.decide import decide
from seewhy.figures.select import Selection, Wish, class_wish, select
from seewhy.figures.source import source_of


def chosen(source: Any, show: Any, count: int = 6, seed: int = 0) -> Selection:
    fitted = source_of(source).fitted_to("colours", colours.NAMES, 3)
    return select(classifier(), fitted, Wish(show, count, seed))


def test_decisions_are_what_the_network_says_by_hand() -> None:
    split = palette(150)  # more than a batch
    split.colours = [*split.colours[:70], None, *split.colours[71:]]
    told: list[int] = []
    decisions, skipped = decide(classifier(), source_of(split), told.append)
    assert skipped == ("colour 70: expected a picture, got none; paint another",)
    assert decisions.rows.tolist() == [row for row in range(150) if row != 70]
    for row, predicted, probability, margin in zip(
        decisions.rows,
        decisions.predicted,
        decisions.probability,
        decisions.margin,
        strict=True,
    ):
        colour = split.colours[row]
        assert colour
        first, second, _ = sorted(probabilities(colour), reverse=True)
        assert predicted == np.argmax(colour)
        np.testing.assert_allclose([probability, margin], [first, first - second], atol=1e-5)
    assert sum(told) == 150


def test_a_batch_is_larger_for_tiny_pictures() -> None:
    told: list[int] = []
    decide(classifier(), source_of(palette(40)), told.append)
    assert told == [40]


def test_mistakes_and_narrowest_of_the_whole_split() -> None:
    split = palette(100)
    best = [max(probabilities(colour)) for colour in split.colours if colour]
    predicted = [int(np.argmax(colour)) for colour in split.colours if colour]
    wrong = [row for row in range(100) if predicted[row] != split.labels[row]]
    expected = sorted(wrong, key=lambda row: -best[row])[:6]
    result = chosen(split, "mistakes")
    assert list(result.images) == expected
    assert result.words == (f"the 6 most confident of {len(wrong)} mistakes on 100 test pictures")
    second = [sorted(probabilities(colour))[1] for colour in split.colours if colour]
    closest = sorted(range(100), key=lambda row: best[row] - second[row])[:6]
    result = chosen(Data(split), "narrowest")
    assert list(result.images) == closest
    assert result.words == "the 6 narrowest margins of 100 test pictures of paint"


def test_at_random_decides_nothing_and_reads_no_more_than_it_shows() -> None:
    split = palette(100)
    result = chosen(split, "random", seed=3)
    assert list(result.images) == sorted(split.asked)
    assert len(split.asked) == 6
    assert list(chosen(split, "random", seed=3).images) == list(result.images)
    assert list(chosen(split, "random", seed=4).images) != list(result.images)
    assert result.words == "6 of 100 test pictures, at random (seed 3)"


def test_all_that_there_are_keep_their_order() -> None:
    result = chosen(palette(5), "random")
    assert list(result.images) == [0, 1, 2, 3, 4]
    assert result.words == "all 5 test pictures"


@pytest.mark.parametrize("show", ["green", 1, "1", ["green"], "GREEN", ("1", 1)])
def test_one_class_and_no_other(show: Any) -> None:
    split = palette(100)
    result = chosen(split, show)
    assert len(result.images) == 6
    assert set(split.labels[list(result.images)]) == {1}
    assert len(split.asked) == 6
    assert ", class green, at random (seed 0)" in result.words


def test_several_classes_take_turns() -> None:
    split = palette(100)
    result = chosen(split, "blue, red")
    assert split.labels[list(result.images)].tolist() == [2, 0, 2, 0, 2, 0]
    assert "classes blue, red" in result.words


def test_a_class_of_pictures_without_labels_is_what_they_are_predicted_to_be() -> None:
    split = palette(40)
    images = [split.image(row) for row in range(40)]
    result = chosen(images, "blue", count=40)
    blue = [row for row, c in enumerate(split.colours) if c and np.argmax(c) == 2]
    assert sorted(result.images) == blue
    assert "pictures, predicted to be blue" in result.words


def test_broken_pictures_are_named_and_others_take_their_place() -> None:
    split = palette(30)
    whole = chosen(split, "random")
    split.colours = [None if row in whole.images else c for row, c in enumerate(split.colours)]
    result = chosen(split, "random")
    assert len(result.images) == 6
    assert not set(result.images) & set(whole.images)
    assert len(result.skipped) == 6
    assert result.skipped[0].startswith("colour ")


def test_one_picture() -> None:
    assert chosen([palette(1).image(0)], "random").words == "1 picture"
    assert chosen([palette(1).image(0)], "narrowest").words == "1 picture"


def right() -> Split:
    split = palette(20)
    split.labels = np.array([int(np.argmax(colour)) for colour in split.colours if colour])
    return split


BROKEN = Split([None] * 3, np.array([0, 1, 2]))

WRONG: list[tuple[Any, Any, type[Exception], str]] = [
    (
        right(),
        "mistakes",
        InputError,
        "show mistakes: expected at least one, got none: the model is right about all 20 test"
        " pictures; choose narrowest instead",
    ),
    (
        [palette(1).image(0)],
        "mistakes",
        InputError,
        "show mistakes: expected pictures with labels, got pictures without; choose random instead",
    ),
    (
        Split([(255, 0, 0)], np.array([0])),
        "blue",
        InputError,
        "show blue: expected pictures of class blue, got none among 1 test pictures; choose random"
        " instead",
    ),
    (
        [colours.palette(1).image(0).resize((9, 9)).point(lambda _: 0)],
        "blue",
        InputError,
        "show blue: expected pictures predicted to be blue, got none among 1 picture; choose"
        " random instead",
    ),
    (
        palette(3),
        "mistake",
        ClassError,
        "show 'mistake': expected random, mistakes, narrowest, or one of the model's 3 classes,"
        " got an unknown name; did you mean mistakes?",
    ),
    (
        palette(3),
        7,
        ClassError,
        "show '7': expected random, mistakes, narrowest, or an id from 0 to 2, got 7; choose a"
        " class that the model has",
    ),
    (
        palette(3),
        " , ",
        InputError,
        "show: expected random, mistakes, narrowest, or a class, got nothing; choose random"
        " instead",
    ),
    (
        BROKEN,
        "random",
        DataError,
        "test pictures: expected pictures that can be read, got none of 3: colour 2: expected a"
        " picture, got none; paint another and 2 more; check the data",
    ),
    (
        BROKEN,
        "narrowest",
        DataError,
        "test pictures: expected pictures that can be read, got none of 3: colour 0: expected a"
        " picture, got none; paint another and 2 more; check the data set",
    ),
]


@pytest.mark.parametrize(("source", "show", "kind", "line"), WRONG)
def test_what_cannot_be_shown(source: Any, show: Any, kind: type[Exception], line: str) -> None:
    fitted = source_of(source).fitted_to("colours", colours.NAMES, 3)
    with pytest.raises(kind) as caught:
        select(classifier(), fitted, Wish(show, 6, 0))
    assert str(caught.value) == line


def test_a_class_whose_name_has_a_comma() -> None:
    names = ("tabby, tabby cat", "lynx, catamount", "cat")
    assert class_wish("lynx, catamount", names, 3) == (1,)
    assert class_wish(["lynx, catamount", 0], names, 3) == (1, 0)
    assert class_wish("random", names, 3) == ()


def test_logits_that_are_no_numbers() -> None:
    class Relative(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / x.mean((1, 2, 3), keepdim=True)

    model = classifier()
    model = replace(model, module=nn.Sequential(Relative(), *model.module.children()))
    black = Split([(9, 9, 9), (0, 0, 0)], np.array([0, 0]))
    with pytest.raises(ModelError, match="expected finite logits, got NaN or infinite ones"):
        decide(model, source_of(black))
