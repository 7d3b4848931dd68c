"""Model folders: what is written comes back, and what is damaged says so in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from seewhy import find_head
from seewhy.errors import FileError, InputError, ModelError, SeewhyError
from seewhy.models import load_model
from seewhy.models.folder import find_folder, read_card, save_model, shipped
from seewhy.models.nets import NETS
from seewhy.models.to_gap import to_gap
from seewhy.preprocess import Preprocess

NAMES = ("plane", "car", "bird", "cat", "deer")
HOW = Preprocess((32, 24), 1.0, "pad", "bilinear", (0.5, 0.4, 0.3), (0.3, 0.2, 0.1))


def net(classes: int = 5, seed: int = 0) -> nn.Module:
    """A ResNet-20 whose norms have seen something, as after training."""
    torch.manual_seed(seed)
    module = NETS["resnet20"].build(classes)
    module(torch.randn(8, 3, 32, 32))
    return module.eval()


def saved(folder: Path, module: nn.Module | None = None, **changes: Any) -> Path:
    given: dict[str, Any] = {
        "net": "resnet20",
        "module": module or net(),
        "num_classes": 5,
        "class_names": NAMES,
        "preprocess": HOW,
        **changes,
    }
    return save_model(folder, **given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("runs") / "mine", trained={"epochs": 3, "who": "Zoë"})


def test_a_model_comes_back_as_it_was(folder: Path) -> None:
    classifier, module = load_model(folder), net()
    assert classifier.class_names == NAMES
    assert classifier.preprocess == HOW
    assert classifier.num_classes == 5
    assert classifier.name == str(folder)
    assert not classifier.module.training
    found = classifier.module.state_dict()
    assert all(torch.equal(found[name], each) for name, each in module.state_dict().items())


def test_a_folder_may_be_named_by_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert load_model(str(folder)).name == str(folder)
    assert load_model("mine").class_names == load_model("./mine/").class_names == NAMES


def test_the_card_is_text_that_people_can_read(folder: Path) -> None:
    text = (folder / "model.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert len(document.pop("sha256")) == 64
    assert document == {
        "format": "seewhy-model",
        "version": 1,
        "net": "resnet20",
        "num_classes": 5,
        "class_names": list(NAMES),
        "preprocess": {
            "size": [32, 24],
            "crop": 1.0,
            "mode": "pad",
            "interpolation": "bilinear",
            "mean": [0.5, 0.4, 0.3],
            "std": [0.3, 0.2, 0.1],
        },
        "gap": None,
        "trained": {"epochs": 3, "who": "Zoë"},
    }
    assert "Zoë" in text
    assert text.endswith("}\n")
    assert read_card(folder).trained == {"epochs": 3, "who": "Zoë"}


def test_saving_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = saved(tmp_path / "again", trained={"epochs": 3, "who": "Zoë"})
    for name in ("model.json", "model.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_nothing_else_is_left_in_the_folder(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]


def test_options_still_override(folder: Path) -> None:
    classifier = load_model(folder, size=40, mean=(0, 0, 0), class_names=list("abcde"))
    assert classifier.preprocess.size == (40, 40)
    assert classifier.preprocess.mean == (0, 0, 0)
    assert classifier.preprocess.std == HOW.std
    assert classifier.class_names == tuple("abcde")


def test_other_weights_can_be_put_into_it(folder: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "other", net(3, seed=1), num_classes=3, class_names=None)
    classifier = load_model(folder, weights=other / "model.safetensors", num_classes=3)
    assert classifier.num_classes == 3
    assert classifier.class_names is None
    assert classifier.preprocess == HOW


def test_random_weights_where_they_are_asked_for(folder: Path) -> None:
    torch.manual_seed(9)
    found = load_model(folder, pretrained=False).module.state_dict()
    torch.manual_seed(9)
    wanted = NETS["resnet20"].build(5).state_dict()
    assert torch.equal(found["conv1.weight"], wanted["conv1.weight"])


def test_channels_last_and_shared_tensors_are_stored_plainly(tmp_path: Path) -> None:
    module = net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.tied = module.linear
    stored = load_file(saved(tmp_path, module) / "model.safetensors")
    assert stored["layer1.0.conv1.weight"].is_contiguous()
    assert torch.equal(stored["tied.weight"], stored["linear.weight"])


def test_half_precision_halves_the_file_and_spares_norms_and_biases(
    folder: Path, tmp_path: Path
) -> None:
    half = saved(tmp_path / "half", dtype=torch.float16)
    whole, stored = (load_file(path / "model.safetensors") for path in (folder, half))
    module = load_model(half).module.state_dict()
    for name, tensor in whole.items():
        rounded = tensor.half() if tensor.ndim > 1 else tensor
        assert stored[name].dtype == rounded.dtype
        assert torch.equal(module[name], rounded.to(tensor.dtype))
    sizes = [(path / "model.safetensors").stat().st_size for path in (half, folder)]
    assert sizes[0] < 0.55 * sizes[1]


def test_a_users_own_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())"
    (tmp_path / "mine.py").write_text(f"from torch import nn\n\ndef make():\n    return {code}\n")
    monkeypatch.chdir(tmp_path)
    module = load_model("mine.py:make").module
    found = load_model(saved(tmp_path / "run", module, net="mine.py:make")).module
    assert torch.equal(found.state_dict()["0.weight"], module.state_dict()["0.weight"])


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("vgg-cifar", {"width": 16, "keep_grid": True}, "linear"),
        ("alexnet-cifar", {"width": None, "keep_grid": False, "pool": "max"}, None),
        ("resnet20", {}, "linear"),  # pooled already: other classes, and nothing else
    ],
)
def test_a_net_whose_head_to_gap_exchanged(
    tmp_path: Path, name: str, options: dict[str, Any], kind: str | None
) -> None:
    model = load_model(name, pretrained=False)
    module = to_gap(model.module, 5, example=model.example(), **options).eval()
    saved(tmp_path, module, net=name, gap=options, preprocess=model.preprocess)
    classifier = load_model(tmp_path)
    with torch.inference_mode():
        pictures = model.example()
        assert torch.allclose(classifier.module(pictures), module(pictures), atol=1e-6)
    if kind:
        assert find_head(classifier.module, pictures).kind == kind
    assert load_model(tmp_path, pretrained=False, num_classes=7).num_classes == 7


def test_options_that_to_gap_does_not_have(tmp_path: Path) -> None:
    saved(tmp_path, gap={"wide": 3})
    text = _complaint(tmp_path)
    assert "expected gap: the arguments of to_gap, got TypeError: " in text
    assert "'wide'" in text


# Names


def test_models_under_the_root_are_found_by_name(tmp_path: Path) -> None:
    mine = saved(tmp_path / "resnet20-mine")
    (tmp_path / "no-model").mkdir()
    assert shipped(tmp_path) == {"resnet20-mine": mine}
    assert find_folder("resnet20-mine", tmp_path) == mine
    assert find_folder("resnet20-other", tmp_path) is None
    assert find_folder(mine, Path("nowhere")) == mine


def test_a_shipped_model_loads_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "resnet20-mine")
    monkeypatch.setattr(shipped, "__defaults__", (tmp_path,))
    monkeypatch.setattr(find_folder, "__defaults__", (tmp_path,))
    assert load_model("resnet20-mine").class_names == NAMES
    with pytest.raises(ModelError, match=r"resnet20-mine, timm:NAME.*mean resnet20-mine or"):
        load_model("resnet20-mime")
    with pytest.raises(
        ModelError, match="; load resnet20-mine, train it by `seewhy train resnet20"
    ):
        load_model("resnet20")


def test_every_shipped_model_loads() -> None:
    for name in shipped():
        assert load_model(name).name == name


def test_a_net_is_not_mistaken_for_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "resnet20")
    monkeypatch.chdir(tmp_path)
    assert load_model("resnet20", pretrained=False).num_classes == 10
    assert load_model("./resnet20").class_names == NAMES
    assert load_model(Path("resnet20")).class_names == NAMES


# What is wrong is told in one line


def _without(key: str) -> Any:
    return lambda document: {name: value for name, value in document.items() if name != key}


def _with(**changes: Any) -> Any:
    return lambda document: {**document, **changes}


def _prepared(**changes: Any) -> Any:
    return lambda document: {**document, "preprocess": {**document["preprocess"], **changes}}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda _: [], 'expected "format": "seewhy-model", got list; save the model again'),
        (_without("format"), 'expected "format": "seewhy-model", got none; save'),
        (_with(format="other"), 'expected "format": "seewhy-model", got \'other\'; save'),
        (_with(version=2), "expected version 1, got version 2; update seewhy"),
        (_without("version"), "expected version 1, got version None; update seewhy"),
        (_without("net"), "expected net: what to build, as in resnet20, got none; save"),
        (_with(net=" "), "expected net: what to build, as in resnet20, got ' '; save"),
        (_with(num_classes=0), "expected num_classes: a number of 1 or more, got 0; save"),
        (_with(num_classes=True), "expected num_classes: a number of 1 or more, got True; save"),
        (_with(class_names="abcde"), "expected class_names: a list of names, or null, got 'abcde'"),
        (_with(class_names=[1] * 5), "expected class_names: a list of names, or null, got [1, 1"),
        (_with(class_names=["a"]), "expected class_names: as many as num_classes, 5, got 1; save"),
        (_with(preprocess=None), "expected preprocess: size, mean, std and so on, got None; save"),
        (_prepared(size=[0, 1]), "expected preprocess: size: (width, height) above 0, got (0, 1)"),
        (_prepared(crop=2), "expected preprocess: crop: a share above 0, at most 1, got 2; save"),
        (_prepared(size=32), "expected preprocess: numbers, and names of a mode and an interpol"),
        (_prepared(mean=["a"]), "expected preprocess: numbers, and names of a mode and an interp"),
        (_with(preprocess={}), "expected preprocess: size, crop, mode, interpolation, mean, std"),
        (_prepared(mode=["a"]), "expected preprocess: mode: 'crop' or 'squash' or 'pad', got"),
        (_prepared(means=[0]), "expected preprocess: size, crop, mode, interpolation, mean, std"),
        (_with(gap=[1]), "expected gap: what to_gap was called with, or null, got [1]; save"),
        (_with(trained=3), "expected trained: an account, or null, got 3; save"),
        (_with(sha256=3), "expected sha256: of the weights, or null, got 3; save"),
    ],
)
def test_a_card_that_cannot_be_used(folder: Path, tmp_path: Path, change: Any, text: str) -> None:
    document = change(json.loads((folder / "model.json").read_text()))
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(FileError) as caught:
        load_model(tmp_path)
    assert str(caught.value).startswith(f"model {tmp_path / 'model.json'}: {text}")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "expected JSON, got JSONDecodeError: Expecting value: line 1 column 1"),
        (b'{"format": "seewhy-mo', "expected JSON, got JSONDecodeError: Unterminated string"),
        (b"[" * 100_000, "expected JSON, got RecursionError"),
        (b"\xff\xfe\x00", "expected a model's description, got UnicodeDecodeError"),
    ],
)
def test_a_damaged_card(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(FileError) as caught:
        load_model(tmp_path)
    assert str(caught.value).startswith(f"model {tmp_path / 'model.json'}: {text}")
    assert "\n" not in str(caught.value)


def _complaint(spec: str | Path, **options: Any) -> str:
    with pytest.raises(SeewhyError) as caught:
        load_model(spec, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_that_are_missing_or_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path) / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    assert f"weights {path}: expected a safetensors file" in _complaint(tmp_path)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "expected the file that model.json speaks of, SHA-256" in _complaint(tmp_path)
    path.unlink()
    assert _complaint(tmp_path).startswith(f"weights {path}: expected a file, got no such file")


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    saved(tmp_path, net(4))
    text = _complaint(tmp_path)
    assert f"expected the 116 tensors of resnet20 (in {tmp_path / 'model.json'}), got" in text
    assert "wrong shape: linear.weight (4, 64) for (5, 64), linear.bias (4,) for (5,)" in text
    saved(tmp_path, nn.Sequential(nn.Conv2d(3, 5, 1)))
    assert "missing: conv1.weight, bn1.weight" in _complaint(tmp_path)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    module = net()
    module.get_parameter("layer2.1.conv1.weight").data[0, 0, 0, 0] = torch.nan
    saved(tmp_path, module)
    assert "expected finite numbers, got NaN or infinity in layer2.1.conv1.weight" in _complaint(
        tmp_path
    )


@pytest.mark.parametrize("name", ["resnet21", ".", "./again", "timm:"])
def test_a_net_that_cannot_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, net=name)
    assert f"{name} (in " in _complaint(tmp_path)


def test_folders_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    what = "expected a folder with model.json, as `seewhy train` writes it"
    assert _complaint("./mime") == f"model mime: {what}, got no such folder; did you mean mine?"
    assert _complaint(tmp_path / "empty").endswith(
        f"{what}, got one without model.json; check the path; a hub's model is hf:NAME"
    )
    assert "got a folder without model.json; " in _complaint("empty")
    assert "got none of these; did you mean mine? for a network of timm" in _complaint("mime")


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"num_classes": 4}, "got 5; pass"),
        ({"trained": {"loss": float("nan")}}, "got ValueError: Out of range float values"),
        ({"trained": {"data": Path("x")}}, "got TypeError: Object of type"),
        ({"net": ""}, "got ''; pass"),
    ],
)
def test_a_card_that_could_not_be_read_back_is_not_written(
    tmp_path: Path, changes: dict[str, Any], got: str
) -> None:
    with pytest.raises(InputError) as caught:
        saved(tmp_path / "new", **changes)
    assert got in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_place_that_takes_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="expected a folder to write to, got a file"):
        saved(tmp_path / "file")


def test_a_crash_between_the_two_files_is_noticed(tmp_path: Path) -> None:
    saved(tmp_path)
    other = net(seed=1).state_dict()
    save_file(
        {name: each.contiguous() for name, each in other.items()}, tmp_path / "model.safetensors"
    )
    assert "expected the file that model.json speaks of" in _complaint(tmp_path)
