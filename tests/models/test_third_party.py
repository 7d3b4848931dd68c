"""A public checkpoint of a ResNet-20 for CIFAR-10 goes in as it is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import seewhy
from seewhy.models import Classifier, load_model

CIFAR = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FILE = "checkpoints/resnet20-cifar10-third-party.th"


@pytest.fixture(scope="module")
def classifier(data_dir: Path) -> Classifier:
    return load_model("resnet20", weights=data_dir / FILE, class_names=CIFAR)


@pytest.mark.data
def test_it_loads_by_name(classifier: Classifier, data_dir: Path) -> None:
    state = torch.load(data_dir / FILE, map_location="cpu", weights_only=True)["state_dict"]
    found = classifier.module.state_dict()
    assert all(torch.equal(found[name.removeprefix("module.")], state[name]) for name in state)
    assert classifier.class_names == CIFAR
    assert seewhy.find_head(classifier.module, classifier.example()).grid == (8, 8)


@pytest.mark.data
@pytest.mark.slow
def test_it_scores_what_it_scores_elsewhere(classifier: Classifier, data_dir: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(data_dir / "cifar10-jpeg" / "test.parquet").slice(0, 2000)
    pictures = [Image.open(io.BytesIO(each["bytes"])) for each in table["img"].to_pylist()]
    batch = torch.from_numpy(np.stack([classifier.preprocess(each)[0] for each in pictures]))
    with torch.inference_mode():
        found = torch.cat([classifier.module(part).argmax(1) for part in batch.split(500)])
    accuracy = 100 * np.mean(found.numpy() == table["label"].to_numpy())
    assert len(pictures) == 2000
    assert accuracy == pytest.approx(81.55, abs=0.3)  # and 81.03 on all 10,000
