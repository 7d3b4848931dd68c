from __future__ import annotations

import math

import pytest
from tests import peers

from seewhy.errors import ModelError
from seewhy.images import Preprocess

peers.register_torchvision_schemas()
models = pytest.importorskip("torchvision.models")

from seewhy.models.from_torchvision import load  # noqa: E402 -- after the declaration
from seewhy.models.parts import Parts, Request  # noqa: E402


def random(name: str, num_classes: int | None = None) -> Parts:
    return load(Request(f"torchvision:{name}", name, pretrained=False, num_classes=num_classes))


def test_the_preprocessing_and_names_are_those_of_the_default_weights() -> None:
    parts = random("resnet18")
    assert parts.preprocess == Preprocess((224, 224), 0.875, "crop", "bilinear")
    assert parts.class_names is not None
    assert parts.class_names[285] == "Egyptian cat"


@pytest.mark.parametrize("name", ["efficientnet_b1", "vit_h_14", "regnet_y_400mf", "swin_v2_t"])
def test_the_crop_is_exact_for_every_size(name: str) -> None:
    from seewhy.models.from_torchvision import _preprocess

    transforms = models.get_model_weights(name).DEFAULT.transforms()
    found = _preprocess(transforms)
    assert found.size == (transforms.crop_size[0],) * 2
    assert math.floor(found.size[0] / found.crop) == transforms.resize_size[0]
    assert found.interpolation == transforms.interpolation.value


def test_the_number_of_classes() -> None:
    assert random("squeezenet1_1", num_classes=7).module.num_classes == 7


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("resnet81", "did you mean resnet18 or resnet152 or resnet101?"),
        ("fasterrcnn_resnet50_fpn", "did you mean "),
        ("qqqqqqqqqqq", "torchvision.models.list_models() lists them"),
    ],
)
def test_a_name_that_is_no_classifier_there(name: str, fix: str) -> None:
    with pytest.raises(ModelError) as caught:
        random(name)
    expected = "expected the name of a classifier in torchvision, got none of its names"
    assert str(caught.value).startswith(f"model torchvision:{name}: {expected}; {fix}")


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("TORCH_HOME", "/dev/null/nowhere")
    with pytest.raises(ModelError) as caught:
        load(Request("torchvision:resnet18", "resnet18"))
    text = str(caught.value)
    assert "expected its pretrained weights, cached or downloaded, got " in text
    assert text.endswith("connect once to download them, or pass weights=FILE or pretrained=False")
