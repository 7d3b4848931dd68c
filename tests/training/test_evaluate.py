"""Scores: counted, by class, with classes matched by name."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.datasets import Dataset, load_dataset
from seewhy.errors import DataError, InputError
from seewhy.models import Classifier
from seewhy.preprocess import Preprocess
from seewhy.training import evaluate
from seewhy.training.evaluate import accuracy

NAMES = ("bright", "dark", "striped")
HOW = Preprocess((16, 16), 1.0, "squash", mean=(0, 0, 0), std=(1, 1, 1))


class Brightness(nn.Module):
    """Tells bright from dark by the mean; what is striped it takes for dark."""

    def __init__(self, order: tuple[int, ...] = (0, 1, 2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(8.0))
        self.order = list(order)

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean((1, 2, 3)) - 0.55
        scores = torch.stack([self.weight * level, -self.weight * level, level * 0 - 9], 1)
        return scores[:, self.order]


def model(order: tuple[int, ...] = (0, 1, 2), names: tuple[str, ...] | None = NAMES) -> Classifier:
    return Classifier("brightness", Brightness(order), HOW, names, len(order))


def test_scores_by_hand(data: Dataset) -> None:
    found = evaluate(model(), data)
    assert (found.split, found.count, found.correct, found.top5) == ("test", 24, 16, None)
    assert found.accuracy == pytest.approx(2 / 3)
    assert [(each.name, each.count, each.correct) for each in found.classes] == [
        ("bright", 8, 8),
        ("dark", 8, 8),
        ("striped", 8, 0),
    ]


def test_the_loss_is_the_mean_of_minus_log_probabilities(data: Dataset) -> None:
    pixels = data.test.load(HOW)
    total = 0.0
    for image, label in zip(pixels.images, pixels.labels, strict=True):
        level = float(image.mean() / 255) - 0.55
        scores = [8 * level, -8 * level, -9.0]
        total -= scores[label] - math.log(sum(map(math.exp, scores)))
    assert evaluate(model(), data).loss == pytest.approx(total / 24, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 24, 1000])
def test_the_batch_size_plays_no_part(data: Dataset, batch_size: int) -> None:
    done: list[int] = []
    found = evaluate(model(), data, batch_size=batch_size, on_progress=done.append)
    assert (found.correct, sum(done)) == (16, 24)


def test_classes_are_matched_by_name(data: Dataset) -> None:
    found = evaluate(model((2, 0, 1), ("Striped", "BRIGHT", "dark")), data)
    assert [each.correct for each in found.classes] == [8, 8, 0]


def test_a_model_of_more_classes(data: Dataset) -> None:
    names = ("grey", "striped", "bright", "dark")
    found = evaluate(model((2, 2, 0, 1), names), data)
    assert [each.correct for each in found.classes] == [8, 8, 0]


def test_a_model_without_names_has_them_in_the_data_s_order(data: Dataset) -> None:
    assert evaluate(model(names=None), data).correct == 16


@pytest.mark.parametrize(
    ("order", "names", "said"),
    [
        ((0, 1, 2), ("bright", "dark", "grey"), "got 1 that it does not have: striped"),
        ((0, 1, 2, 2), ("a", "b", "c", "d"), "got 3 that it does not have: bright, dark, striped"),
        ((0, 1, 2), ("cat", "dog", "owl"), "classes of the model, such as cat, dog, owl, got 3"),
        ((0, 1), None, "expected the 2 classes of the model, got 3"),
    ],
)
def test_classes_that_are_not_the_model_s(
    data: Dataset, order: tuple[int, ...], names: tuple[str, ...] | None, said: str
) -> None:
    with pytest.raises(DataError) as raised:
        evaluate(model(order, names), data)
    assert said in str(raised.value)


def test_top_5_where_there_are_more_than_ten_classes(data: Dataset) -> None:
    order = (2, 2, 2, 0, 1, 2, 2, 2, 2, 2, 2)
    names = ("striped", *"abefghijkl"[:2], "bright", "dark", *"ghijkl")
    found = evaluate(model(order, names), data)
    assert found.top5 is not None
    assert found.top5_accuracy is not None
    assert found.correct <= found.top5 <= found.count


def test_broken_pictures_are_named_and_left_out(pictures: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(pictures, tmp_path / "data")
    (copy / "test" / "dark" / "003.png").write_bytes(b"no picture")
    found = evaluate(model(), load_dataset(copy))
    assert (found.count, found.correct) == (23, 15)
    assert len(found.skipped) == 1
    assert "003.png" in found.skipped[0]
    assert found.account()["skipped"] == list(found.skipped)


def test_no_such_split(data: Dataset) -> None:
    with pytest.raises(InputError, match="split: expected train or test, got 'val'"):
        evaluate(model(), data, "val")


def test_a_class_without_pictures_has_no_accuracy(data: Dataset) -> None:
    fewer = dataclasses.replace(data, test=data.test.take("test", np.arange(16)))
    account = evaluate(model(), fewer).account()
    assert account["classes"][2] == {
        "name": "striped",
        "count": 0,
        "correct": 0,
        "accuracy": None,
    }


def test_the_model_is_left_as_it_was(data: Dataset) -> None:
    network = nn.Sequential(Brightness(), nn.Dropout(), nn.BatchNorm1d(3)).train()
    network[1].eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    evaluate(Classifier("net", network, HOW, NAMES, 3), data)
    assert [part.training for part in network] == [True, False, True]
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def test_held_out_accuracy_is_the_same_number(data: Dataset) -> None:
    assert accuracy(Brightness(), data.test.load(HOW), HOW) == pytest.approx(2 / 3)
