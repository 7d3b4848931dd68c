"""`Explanation` on disk, upsampled, joined, and as one picture's plain numbers."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.nets import Net
from torch import Tensor

from seewhy import Explanation, FileError, Geometry, explain


def explained(**options: Any) -> Explanation:
    torch.manual_seed(0)
    net, x = Net(lambda n, h: n.fc(h.mean((2, 3)))).eval(), torch.randn(2, 3, 4, 6)
    return explain(net, x, "top2", class_names=tuple("abcde"), **options)


def whole() -> Explanation:
    geometry = Geometry.identity((60, 40)).resize((6, 4))
    return replace(explained(against=3), geometry=(geometry, None))


def assert_same(one: Explanation, other: Explanation) -> None:
    for field in fields(Explanation):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, Tensor):
            assert left.dtype == right.dtype
            assert left.numpy().tobytes() == right.numpy().tobytes()
        else:
            assert left == right, field.name


@pytest.mark.parametrize("make", [whole, explained, lambda: explained(against="others")])
def test_what_is_saved_is_loaded_bit_for_bit(make: Any, tmp_path: Path) -> None:
    path = make().save(tmp_path / "e.safetensors")
    assert_same(make(), Explanation.load(path))
    assert [p.name for p in tmp_path.iterdir()] == ["e.safetensors"]


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (whole().save(tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_logits_keep_their_precision_on_disk(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net(lambda n, h: n.fc(h.mean((2, 3)))).eval().to(dtype)
    result = explain(net, torch.randn(2, 3, 4, 6).to(dtype), "all")
    loaded = Explanation.load(result.save(tmp_path / "e"))
    assert loaded.logits.dtype == dtype
    assert torch.equal(loaded.logits, result.logits)
    assert torch.equal(loaded.maps, result.maps)


def rewritten(path: Path, **header: Any) -> None:
    """The same tensors, with another header."""
    save_file(load_file(path), path, {"seewhy-explanation": json.dumps(header)})


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def not_safetensors(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" * 10)


def newer(path: Path) -> None:
    """What a later version may write: other tensors, too."""
    header = {"format": "seewhy-explanation", "version": 3}
    save_file({"later": torch.zeros(1)}, path, {"seewhy-explanation": json.dumps(header)})


DAMAGES: dict[str, tuple[Any, str]] = {
    "missing": (Path.unlink, "got no such file"),
    "damaged": (damage, "got something else"),
    "empty": (lambda path: path.write_bytes(b""), "got something else"),
    "not safetensors": (not_safetensors, "got something else"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "expected a file"),
    "another's safetensors": (lambda p: save_file({"w": torch.zeros(1)}, p), "something else"),
    "no JSON": (
        lambda p: save_file(load_file(p), p, {"seewhy-explanation": "{"}),
        "got something else",
    ),
    "a JSON list": (
        lambda p: save_file(load_file(p), p, {"seewhy-explanation": "[]"}),
        "got something else",
    ),
    "no version": (lambda p: rewritten(p, kind="linear"), "got something else"),
    "no kind": (lambda p: rewritten(p, version=1), "got something else"),
    "bad geometry": (
        lambda p: rewritten(
            p, version=1, kind="linear", against=None, class_names=None, geometry=[3]
        ),
        "got something else",
    ),
    "newer": (newer, "expected version 2 or older, got version 3; update seewhy"),
}


def test_a_file_of_version_1_is_still_read(tmp_path: Path) -> None:
    """As it was written when maps had neither a method nor a task nor several views."""
    numbers: dict[str, Any] = {
        "logits": torch.tensor([[2.0, -1.0]]),
        "probabilities": torch.tensor([[0.75, 0.25]]),
        "classes": torch.tensor([[0]]),
        "maps": torch.tensor([[[[1.0, 2.0]]]]),
        "bias": torch.tensor([[0.5]]),
        "target": torch.tensor([[2.0]]),
        "certificate": torch.tensor([[0.0]]),
    }
    sides = {"original": [4, 2], "prepared": [2, 1], "scale": [0.5, 0.5], "offset": [0.0, 0.0]}
    header = {
        "format": "seewhy-explanation",
        "version": 1,
        "tolerance": 1e-5,
        "kind": "linear",
        "against": None,
        "geometry": [{**sides, "visible": [0.0, 0.0, 4.0, 2.0]}],
        "class_names": ["cat", "dog"],
    }
    path = tmp_path / "old.safetensors"
    save_file(numbers, path, {"seewhy-explanation": json.dumps(header)})
    numbers.pop("probabilities")
    expected = Explanation(
        **numbers,
        tolerance=1e-5,
        kind="linear",
        geometry=(Geometry.identity((4, 2)).resize((2, 1)),),
        class_names=("cat", "dog"),
        task="single-label",
        method="class activation map",
    )
    assert_same(Explanation.load(path), expected)
    assert_same(Explanation.load(Explanation.load(path).save(tmp_path / "new")), expected)


@pytest.mark.parametrize("name", DAMAGES)
def test_files_that_are_no_explanations(name: str, tmp_path: Path) -> None:
    path = explained().save(tmp_path / "e.safetensors")
    spoil, message = DAMAGES[name]
    spoil(path)
    with pytest.raises(FileError) as error:
        Explanation.load(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file or directory"):
        explained().save(tmp_path / "nowhere" / "e")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = explained().save(tmp_path / "e")
    before = path.read_bytes()
    opened = Path.open

    def full(self: Path, *arguments: Any) -> Any:
        return opened(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(FileError, match="no space left on device"):
        whole().save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["e"]


def test_upsampling_by_hand() -> None:
    """Half-pixel centres: 0 1 becomes 0 1/4 3/4 1."""
    result = replace(explained(), maps=torch.tensor([0.0, 1.0]).expand(2, 2, 1, 2))
    assert result.upsample((1, 4))[1, 1].tolist() == [[0.0, 0.25, 0.75, 1.0]]
    line = replace(explained(), maps=torch.tensor([0.0, 1.0]).expand(2, 2, 2))
    assert line.upsample((4,))[1, 1].tolist() == [0.0, 0.25, 0.75, 1.0]
    volume = replace(explained(), maps=torch.zeros(2, 2, 2, 2, 2))
    assert volume.upsample((4, 4, 4)).shape == (2, 2, 4, 4, 4)


def test_upsampling_keeps_height_and_width_apart() -> None:
    assert explained().upsample((40, 60)).shape == (2, 2, 40, 60)


def test_what_adds_up_does_so_at_its_precision() -> None:
    result = replace(explained(), certificate=torch.tensor([[0.9e-5, 1.1e-5], [torch.nan, 0.0]]))
    assert result.adds_up.tolist() == [[True, False], [False, True]]
    assert result.tolerance == 1e-5


def test_one_picture_as_plain_numbers() -> None:
    result, image = whole(), Image.new("RGB", (60, 40))
    picture = result.picture(0, image, "a.jpg")
    assert (picture.path, picture.geometry, picture.against) == ("a.jpg", result.geometry[0], "d")
    for k, evidence in enumerate(picture.classes):
        assert evidence.id == int(result.classes[0, k])
        assert evidence.name == "abcde"[evidence.id]
        assert evidence.map.dtype == "float32"
        assert evidence.evidence + evidence.bias == pytest.approx(evidence.logit, abs=1e-5)
    assert picture.classes[0].probability >= picture.classes[1].probability
    assert result.picture(1, image).geometry == Geometry.identity((60, 40))


def test_names_of_classes_without_names() -> None:
    result = replace(explained(), class_names=None)
    assert result.name(3) == "class 3"
    assert explained().name(3) == "d"


def test_it_prints_in_one_line() -> None:
    result = explained()
    assert repr(result).startswith("Explanation(predicted ")
    assert "maps (2, 2, " in repr(result)
    assert "\n" not in repr(result)
    assert len(repr(result)) < 250


def test_an_explanation_with_nan_is_not_exact() -> None:
    result = explained()
    holed = replace(result, certificate=torch.tensor([[0.0, float("nan")], [0.0, 0.0]]))
    assert result.is_exact
    assert not holed.is_exact
