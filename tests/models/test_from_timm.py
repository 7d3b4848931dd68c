from __future__ import annotations

import pytest
from tests import peers

from seewhy.errors import ModelError
from seewhy.images import Preprocess

peers.register_torchvision_schemas()
timm = pytest.importorskip("timm")

from seewhy.models.from_timm import load  # noqa: E402 -- after the declaration
from seewhy.models.parts import Parts, Request  # noqa: E402


def random(name: str, num_classes: int | None = None) -> Parts:
    return load(Request(f"timm:{name}", name, pretrained=False, num_classes=num_classes))


def refusal(name: str, *, pretrained: bool = False) -> str:
    with pytest.raises(ModelError) as caught:
        load(Request(f"timm:{name}", name, pretrained=pretrained))
    return str(caught.value).removeprefix(f"model timm:{name}: expected ")


def test_the_preprocessing_is_that_of_the_weights() -> None:
    parts = random("resnet18.a1_in1k")
    assert parts.preprocess == Preprocess((224, 224), 0.95, "crop", "bicubic")
    assert parts.class_names is None  # ImageNet's thousand are seewhy's own
    assert type(parts.module).__name__ == "ResNet"


def test_a_stretching_model() -> None:
    preprocess = random("convnextv2_nano.fcmae_ft_in22k_in1k_384").preprocess
    assert preprocess == Preprocess((384, 384), 1.0, "squash", "bicubic")


def test_the_names_of_a_larger_imagenet() -> None:
    names = random("mobilenetv3_large_100.miil_in21k").class_names
    assert names is not None
    assert len(names) == 11221


def test_the_number_of_classes() -> None:
    parts = random("resnet18", num_classes=7)
    assert parts.module.num_classes == 7


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("resnet81", "did you mean resnet18 or "),
        ("resnet18.a1_in2k", "did you mean resnet18.a1_in1k"),
        ("qqqqqqqqqqqqqqqqqqqqqq", "timm.list_models() lists them"),
    ],
)
def test_a_name_that_timm_does_not_have(name: str, fix: str) -> None:
    text = refusal(name)
    assert text.startswith("the name of a model in timm, got none of its names; ")
    assert fix in text


def test_a_network_without_classes_is_refused() -> None:
    assert refusal("vit_small_patch14_dinov2").startswith(
        "a classifier, got a network without classes; choose a tag with classes"
    )


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    text = refusal("test_vit.r160_in1k", pretrained=True)
    assert text.startswith("its pretrained weights, cached or downloaded, got ")
    assert text.endswith("connect once to download them, or pass weights=FILE or pretrained=False")
    assert "\n" not in text
