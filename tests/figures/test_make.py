"""From a network and pictures to a figure."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.figures.colours import NAMES, Data, Split, classifier, network, palette, probabilities
from torch import nn

from seewhy import Classifier
from seewhy.errors import ClassError, HeadNotFound, InputError, MissingExtraError
from seewhy.figures.make import figure
from seewhy.figures.samples import CIFAR10, samples


def test_every_cell_says_what_the_network_says_by_hand() -> None:
    split = palette(30)
    made = figure(classifier(), Data(split), rows=2, columns=4)
    assert (len(made.cells), made.columns, made.rows) == (8, 4, 2)
    assert made.chosen == "8 of 30 test pictures of paint, at random (seed 0)"
    for cell in made.cells:
        row = int(cell.picture.path.removeprefix("colour "))
        colour = split.colours[row]
        assert colour is not None
        shares, label = probabilities(colour), split.labels[row]
        first, second, _ = sorted(shares, reverse=True)
        assert cell.evidence.name == NAMES[int(np.argmax(colour))]
        assert cell.truth is not None
        assert cell.truth.name == NAMES[label]
        assert cell.second is not None
        numbers = [cell.evidence.probability, cell.margin, cell.second.probability]
        np.testing.assert_allclose(numbers, [first, first - second, second], atol=1e-5)
        assert cell.truth.probability == pytest.approx(shares[label], abs=1e-5)
        assert cell.is_wrong == (np.argmax(colour) != label)
        # the map is all of the logit here: ten times the share of that colour, everywhere
        np.testing.assert_allclose(cell.evidence.map, 10 * max(colour) / 255, atol=1e-4)
    assert made.certificate < 1e-5
    assert made.wrong == sum(cell.is_wrong for cell in made.cells)


def test_more_cells_than_one_batch() -> None:
    made = figure(classifier(), palette(50), rows=10, columns=5)
    assert [cell.picture.path for cell in made.cells] == [f"colour {n}" for n in range(50)]


def test_names_of_the_data_where_the_model_has_none() -> None:
    made = figure(classifier(names=None), Data(palette(3)))
    assert {cell.evidence.name for cell in made.cells} <= set(NAMES)
    made = figure(classifier(names=None), palette(3))
    assert {cell.evidence.name for cell in made.cells} <= {"class 0", "class 1", "class 2"}


def test_pictures_without_labels() -> None:
    split = palette(3)
    made = figure(classifier(), [split.image(row) for row in range(3)])
    assert (made.columns, made.rows) == (3, 1)
    assert [cell.truth for cell in made.cells] == [None] * 3
    assert made.wrong == 0
    assert "wrong" not in made.caption
    document = made.to_json()
    assert document["wrong"] == 0
    assert [each["wrong"] for each in document["pictures"]] == [None] * 3  # type: ignore[attr-defined]


def test_mistakes_are_all_framed_and_margins_grow() -> None:
    wrong = figure(classifier(), palette(50), show="mistakes", rows=2)
    assert all(cell.is_wrong for cell in wrong.cells)
    confidence = [cell.evidence.probability for cell in wrong.cells]
    assert confidence == sorted(confidence, reverse=True)
    narrow = figure(classifier(), palette(50), show="narrowest", rows=2)
    margins = [cell.margin for cell in narrow.cells]
    assert margins == sorted(margins)
    assert narrow.with_second
    assert not wrong.with_second


def test_against() -> None:
    made = figure(classifier(), palette(6), against="green")
    assert made.against == "green"
    for cell in made.cells:
        if cell.evidence.name == "green":
            assert not cell.evidence.map.any()
    assert made.caption.endswith("= margin, to " + made.caption.rpartition("to ")[2])
    others = figure(classifier(), palette(6), against="others")
    assert others.against == "others"
    with pytest.raises(ClassError, match="got an unknown name"):
        figure(classifier(), palette(6), against="mauve")


def test_the_model_is_left_as_it_was() -> None:
    model = classifier()
    model.module.train()
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    figure(model, palette(20), show="mistakes")
    assert model.module.training
    assert not any(each._forward_hooks for each in model.module.modules())
    after = model.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def no_features() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()


class Film(nn.Module):
    """Takes a picture for a film of two frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv3d(3, 5, 1), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        film = torch.stack([x, x.flip(3)], 2)
        out: torch.Tensor = self.fc(self.conv(film).relu().mean((2, 3, 4)))
        return out


def test_a_model_without_such_a_head() -> None:
    with pytest.raises(HeadNotFound, match="its head flattens the grid"):
        figure(replace(classifier(), module=no_features()), palette(3))
    with pytest.raises(InputError, match="feature maps with height and width, to draw over"):
        figure(replace(classifier(), module=Film().eval()), palette(3))


@pytest.mark.parametrize("option", [{"rows": 0}, {"columns": -1}])
def test_a_grid_of_nothing(option: Any) -> None:
    (name, value), *_ = option.items()
    line = f"{name}: expected 1 or more, got {value}; pass another number"
    with pytest.raises(InputError, match=line):
        figure(classifier(), palette(3), **option)


def test_by_default_tiny_pictures_stand_closer() -> None:
    large = classifier()
    large = replace(large, preprocess=replace(large.preprocess, size=(80, 80)))
    assert figure(classifier(), palette(40)).columns == 5
    assert figure(large, palette(40)).columns == 3


def test_progress_where_all_are_decided() -> None:
    told: list[int] = []
    figure(classifier(), palette(40), show="narrowest", on_progress=told.append)
    assert sum(told) == 40


def test_the_pictures_that_foolbox_carries() -> None:
    pytest.importorskip("foolbox")
    source = samples(10)
    assert source.labels is not None
    assert (len(source), len(source.labels)) == (20, 20)
    assert source.class_names == CIFAR10
    assert source.pictures.image(0).size == (32, 32)
    assert Path(source.pictures.name_of(0)).name == "cifar10_00_3.png"
    assert source.labels[0] == 3
    imagenet = samples(1000)
    assert imagenet.labels is not None
    assert imagenet.class_names is not None
    assert imagenet.class_names[imagenet.labels[0]] == "bull mastiff"


def test_no_samples_for_other_models() -> None:
    with pytest.raises(InputError) as caught:
        samples(3)
    assert str(caught.value) == (
        "pictures: expected some to show, for only models of 10 or 1000 classes have samples, got"
        " none, and a model of 3 classes; name pictures, or a data set with --data"
    )


def test_without_foolbox_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        samples(10)
    assert str(caught.value) == (
        "pictures: expected some to show, or those that foolbox carries, got none, and no foolbox;"
        " pip install 'seewhy[demo]'"
    )


@pytest.mark.data
def test_a_real_network_on_real_photographs(data_dir: Path, tmp_path: Path) -> None:
    from seewhy.models import load_model

    photographs = sorted((data_dir / "imagenet-samples").glob("*.JPEG"))[:12]
    made = figure(load_model(), photographs)
    assert (made.rows, made.columns) == (4, 3)
    assert made.certificate < 1e-5
    assert made.save(tmp_path / "a.pdf").stat().st_size > 100_000


def test_equal_splits_give_equal_figures(tmp_path: Path) -> None:
    paths = [
        figure(classifier(), palette(9), seed=5).save(tmp_path / f"{name}.png") for name in "ab"
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_picture_of_one_colour_is_no_reason_to_refuse_the_head() -> None:
    black = Split([(0, 0, 0)] * 3, np.array([0, 1, 2]))
    assert len(figure(classifier(), black, show="narrowest").cells) == 3


def labels(task: str) -> Classifier:
    return replace(classifier(), task=task)  # type: ignore[arg-type]


def test_labels_side_by_side_have_sigmoids_and_are_not_called_wrong() -> None:
    made = figure(labels("multi-label"), Data(palette(6)))
    assert made.wrong == 0
    for cell in made.cells:
        assert cell.truth is None
        probability = 1 / (1 + np.exp(-cell.evidence.logit))
        assert cell.evidence.probability == pytest.approx(probability, abs=1e-5)
    some = figure(labels("multi-label"), Data(palette(6)), show="red")
    assert {cell.evidence.name for cell in some.cells} == {"red"}


def test_one_logit_is_no_and_yes() -> None:
    last = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        last.weight.copy_(torch.tensor([[9.0, 0.0, -9.0]]))
    net = nn.Sequential(*list(network().children())[:-1], last).eval()
    one = replace(classifier(("blue", "red")), module=net, num_classes=1)
    data = replace(Data(palette(20)), class_names=("blue", "red"))
    data = replace(data, test=replace(data.test, labels=data.test.labels % 2))
    made = figure(one, data, rows=4, columns=5)
    assert {cell.evidence.name for cell in made.cells} == {"blue", "red"}
    assert all(cell.evidence.probability >= 0.5 for cell in made.cells)
    assert 0 < made.wrong < 20
    bold = figure(one, data, show="mistakes")
    assert all(cell.is_wrong for cell in bold.cells)


@pytest.mark.parametrize(
    ("task", "show", "line"),
    [
        ("regression", "random", "figure: expected classes to predict, got a regression; draw"),
        (
            "multi-label",
            "mistakes",
            "show mistakes: expected classes that exclude each other, got labels side by side;",
        ),
        ("multi-label", "narrowest", "show narrowest: expected classes that exclude"),
    ],
)
def test_tasks_without_a_meaning_here(task: str, show: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        figure(labels(task), Data(palette(6)), show=show)
