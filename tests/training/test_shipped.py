"""The network that comes with the package is what its card says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seewhy.datasets import load_dataset
from seewhy.models import load_model
from seewhy.models.folder import CARD, SHIPPED
from seewhy.models.nets import NETS
from seewhy.training import evaluate

FOLDER = SHIPPED / "resnet20-cifar10"


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 700_000


def test_it_is_a_resnet20_made_as_its_card_says() -> None:
    card = json.loads((FOLDER / CARD).read_text("utf-8"))
    recipe = card["trained"]["recipe"]
    assert (card["net"], card["num_classes"], card["gap"]) == ("resnet20", 10, None)
    assert (recipe["epochs"], recipe["hole"], recipe["seed"]) == (100, 0.5, 0)
    assert recipe["half"] is True
    assert load_model("resnet20-cifar10").preprocess == NETS["resnet20"].preprocess


@pytest.mark.data
@pytest.mark.slow
def test_it_scores_what_its_card_says(data_dir: Path) -> None:
    card = json.loads((FOLDER / CARD).read_text("utf-8"))["trained"]
    found = evaluate(load_model("resnet20-cifar10"), load_dataset(data_dir / "cifar10-jpeg"))
    assert found.count == card["test_pictures"] == 10_000
    assert found.accuracy >= 0.89
    assert found.accuracy == pytest.approx(card["test_accuracy"], abs=2e-4)  # another processor
    assert found.loss == pytest.approx(card["test_loss"], abs=1e-3)
