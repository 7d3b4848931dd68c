from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import peers

from seewhy import explain, load_model
from seewhy.errors import ModelError
from seewhy.images import Preprocess

peers.register_torchvision_schemas()
transformers = pytest.importorskip("transformers")

from seewhy.models.from_hf import _preprocess, load  # noqa: E402 -- after the declaration
from seewhy.models.parts import Parts, Request  # noqa: E402

NAMES = ("cat", "dog", "bird")


def tiny(labels: dict[int, str] | None = None) -> Any:
    options: dict[str, Any] = {} if labels is None else {"id2label": labels}
    return transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], num_labels=3, **options
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small ResNet as transformers saves it, with three named classes."""
    torch.manual_seed(0)
    path = tmp_path / "my resnet"
    transformers.ResNetForImageClassification(tiny(dict(enumerate(NAMES)))).save_pretrained(path)
    options = {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 64},
        "crop_pct": 0.8,
        "resample": 3,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
    }
    (path / "preprocessor_config.json").write_text(json.dumps(options))
    return path


def loaded(name: str | Path, **options: Any) -> Parts:
    return load(Request(f"hf:{name}", str(name), **options))


def test_a_folder_gives_network_names_and_preprocessing(folder: Path) -> None:
    parts = loaded(folder)
    assert parts.class_names == NAMES
    assert parts.preprocess == Preprocess(
        (64, 64), 0.8, "crop", "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    )
    assert parts.module(torch.zeros(2, 3, 64, 64)).logits.shape == (2, 3)


@pytest.mark.parametrize(
    ("problem", "task"),
    [
        (None, None),
        ("regression", "regression"),
        ("single_label_classification", "single-label"),
        ("multi_label_classification", "multi-label"),
    ],
)
def test_a_configuration_may_say_what_the_logits_mean(
    folder: Path, problem: str | None, task: str | None
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"problem_type": problem}))
    model = load_model(f"hf:{folder}")
    assert model.task == task
    assert explain(model, torch.randn(2, 3, 64, 64)).task == (task or "single-label")
    assert explain(model, torch.randn(2, 3, 64, 64), task="multi-label").task == "multi-label"


def test_its_weights_are_read_unless_random_ones_are_wanted(folder: Path) -> None:
    first, second = loaded(folder), loaded(folder)
    other = loaded(folder, pretrained=False)
    name = "classifier.1.weight"
    weight = first.module.state_dict()[name]
    assert torch.equal(weight, second.module.state_dict()[name])
    assert not torch.equal(weight, other.module.state_dict()[name])


def test_without_options_and_names_the_usual_ones_hold(tmp_path: Path) -> None:
    transformers.ResNetForImageClassification(tiny()).save_pretrained(tmp_path)
    parts = loaded(tmp_path)
    assert parts.preprocess == Preprocess()
    assert parts.class_names is None


def test_a_backbone_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    transformers.ResNetModel(tiny()).save_pretrained(tmp_path)
    with pytest.raises(ModelError) as caught:
        loaded(tmp_path)
    assert str(caught.value) == (
        f"model hf:{tmp_path}: expected weights for all of its parameters, those of its classes "
        "too, got none for classifier.1.bias, classifier.1.weight; "
        "choose a checkpoint that was trained to classify, or pass weights=FILE"
    )


def test_code_that_a_model_brings_along_is_not_run(folder: Path) -> None:
    victim = folder / "victim"
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(victim)!r})\n")
    config = json.loads((folder / "config.json").read_text())
    evil = {"AutoConfig": "evil.C", "AutoModelForImageClassification": "evil.M"}
    (folder / "config.json").write_text(
        json.dumps({**config, "auto_map": evil, "model_type": "evil"})
    )
    with pytest.raises(ModelError):
        loaded(folder)
    assert not victim.exists()


def test_a_folder_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ModelError) as caught:
        loaded(folder.parent / "my_resnet")
    assert str(caught.value) == (
        f"model hf:{folder.parent / 'my_resnet'}: expected a folder with config.json and weights, "
        "or a name on the hub, got no such folder; did you mean my resnet?"
    )


def test_a_name_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as caught:
        loaded("seewhy/no-such-model")
    text = str(caught.value)
    assert "expected its pretrained weights, cached or downloaded, got OSError: " in text
    assert "\n" not in text


HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # ViT: stretched
        ({"size": {"height": 20, "width": 30}, **HALF}, ((30, 20), 1.0, "squash")),
        ({"size": 24, **HALF}, ((24, 24), 1.0, "squash")),
        # MobileNet: shorter side, then crop
        (
            {
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
            },
            ((224, 224), 0.875, "crop"),
        ),
        ({"size": 256, "do_center_crop": True, "crop_size": 224}, ((224, 224), 0.875, "crop")),
        ({"size": {"shortest_edge": 50}}, ((50, 50), 1.0, "crop")),
        # EfficientNet: stretched, then crop
        (
            {"size": {"height": 40, "width": 40}, "do_center_crop": True, "crop_size": 30},
            ((30, 30), 0.75, "squash"),
        ),
        # ConvNext: its own rule, with a default, and in its old spelling
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},
            ((384, 384), 1.0, "squash"),
        ),
        (
            {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224},
            ((224, 224), 0.875, "crop"),
        ),
    ],
)
def test_processors_options_are_translated(
    options: dict[str, Any], expected: tuple[Any, float, str]
) -> None:
    found = _preprocess(options)
    assert (found.size, found.crop, found.mode) == expected
    assert found.interpolation == "bilinear"
    assert found.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("options", "black", "white"),
    [
        ({}, -1.0, 1.0),
        ({"do_normalize": False}, 0.0, 1.0),
        ({"rescale_factor": 1 / 127.5, "image_mean": [0] * 3, "image_std": [1] * 3}, 0.0, 2.0),
        (
            {
                "image_processor_type": "EfficientNetImageProcessor",
                "rescale_factor": 1 / 127.5,
                "rescale_offset": True,
                "do_normalize": False,
            },
            -1.0,
            1.0,
        ),
        # (0 - 0.5) / 0.5 / 0.5, as include_top asks for
        ({"image_processor_type": "EfficientNetImageProcessor"}, -2.0, 2.0),
        (
            {"image_processor_type": "EfficientNetImageProcessor", "include_top": False},
            -1.0,
            1.0,
        ),
    ],
)
def test_black_and_white_become_what_the_processor_makes_of_them(
    options: dict[str, Any], black: float, white: float
) -> None:
    from PIL import Image

    preprocess = _preprocess({"size": 4, **options})
    for value, expected in ((0, black), (255, white)):
        pixels, _ = preprocess(Image.new("RGB", (4, 4), (value,) * 3))
        np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_efficientnets_processor_agrees() -> None:
    from PIL import Image

    processor = transformers.EfficientNetImageProcessor(size={"height": 8, "width": 8}, resample=0)
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    theirs = processor(Image.fromarray(noise), return_tensors="np")["pixel_values"][0]
    ours, _ = _preprocess(processor.to_dict())(Image.fromarray(noise))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
