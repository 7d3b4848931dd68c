"""`seewhy figure`: what is typed, what is said, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
import pytest
from tests.cli.materials import photo

from seewhy.cli import main

NET = ("--model", "nets.py:make", "--size", "32")


@pytest.fixture
def zoo(here: Path, tmp_path: Path) -> Path:
    """A data set of three classes, with a test part, beside the network."""
    for part, count in (("train", 2), ("test", 4)):
        for number, name in enumerate(("ant", "bee", "cat")):
            folder = tmp_path / "zoo" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                photo(32, 32, seed=10 * number + index).save(folder / f"{index}.png")
    return tmp_path / "zoo"


def test_a_figure_of_a_data_set(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures" / "why.png"
    assert main(["figure", *NET, "--data", str(zoo), "--rows", "2", "--out", str(out)]) == 0
    said = capsys.readouterr()
    caption, where = said.out.splitlines()
    assert caption.startswith("nets.py:make · 10 of 12 test pictures of zoo, at random (seed 0) · ")
    assert "evidence + bias = logit, to " in caption
    assert where == f"figure     {out}"
    assert not said.err
    with PIL.Image.open(out) as image:
        assert image.width == 1444
    assert [path.name for path in out.parent.iterdir()] == ["why.png"]


def test_one_json_document(zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "why.svg"
    typed = ["figure", *NET, "--data", str(zoo), "--show", "narrowest", "--json"]
    assert main([*typed, "--rows", "1", "--out", str(out)]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["file"] == str(out)
    assert document["model"] == "nets.py:make"
    assert document["chosen"] == "the 5 narrowest margins of 12 test pictures of zoo"
    assert len(document["pictures"]) == 5
    margins = [each["margin"] for each in document["pictures"]]
    assert margins == sorted(margins)
    assert {each["true"] for each in document["pictures"]} <= {"ant", "bee", "cat"}
    assert document["limit"] > 0
    assert document["certificate"] < 1e-5
    assert not said.err


def test_the_other_split_and_one_class(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["figure", *NET, "--data", str(zoo), "--split", "train", "--show", "bee", "--json"]
    assert main([*typed, "--out", str(tmp_path / "a.png")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["chosen"] == "all 2 train pictures of zoo, class bee"
    assert [each["true"] for each in document["pictures"]] == ["bee"] * 2


def test_pictures_without_labels_the_broken_one_left_out(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "why.pdf"
    assert main(["figure", "mixed", "good.jpg", *NET, "--out", str(out), "--dark"]) == 0
    said = capsys.readouterr()
    assert said.err == (
        "left out mixed/1.png: expected a picture, got text that begins 'no picture'; check where"
        " it came from\n"
    )
    assert "1 that could not be read left out" in said.out
    assert out.read_bytes().startswith(b"%PDF")


def test_with_nothing_named_it_shows_what_foolbox_carries_and_says_so(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("foolbox")
    (here / "ten.py").write_text(
        "import torch\nfrom torch import nn\n\ndef make():\n    torch.manual_seed(0)\n"
        "    body = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]\n"
        "    return nn.Sequential(*body, nn.Linear(8, 10))\n"
    )
    out = tmp_path / "why.png"
    typed = ["figure", "--model", "ten.py:make", "--size", "32", "--out", str(out), "--json"]
    assert main(typed) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["chosen"] == "all 20 CIFAR-10 pictures that foolbox carries"
    assert document["pictures"][0]["true"] == "cat"


BAD = {
    "jpeg": (
        ("good.jpg", "--out", "why.jpg"),
        "why.jpg: expected a name that ends in .png, .pdf, .svg, got '.jpg'; choose one of these"
        " formats",
    ),
    "out below a file": (
        ("good.jpg", "--out", "good.jpg/why.png"),
        "good.jpg: expected a folder to write to, got a file; choose another folder, or make room"
        " in this one",
    ),
    "both": (
        ("good.jpg", "--data", "mixed"),
        "figure: expected --data or pictures, got both; name the data set, or the pictures",
    ),
    "no data": (
        ("--data", "nowhere"),
        "data nowhere: expected ...",
    ),
    "no pictures": (
        ("empty",),
        "empty: expected pictures, got a folder without any; check the path",
    ),
    "no samples": (
        (),
        "pictures: expected some to show, for only models of 10 or 1000 classes have samples, got"
        " none, and a model of 3 classes; name pictures, or a data set with --data",
    ),
    "only broken ones": (
        ("letter.jpg",),
        "picture: expected pictures that can be read, got none of 1: letter.jpg: expected a"
        " picture, got text that begins 'Dear model, why?'; check where it came from; check the"
        " data",
    ),
    "mistakes without labels": (
        ("good.jpg", "--show", "mistakes"),
        "show mistakes: expected pictures with labels, got pictures without; choose random instead",
    ),
    "a class that there is not": (
        ("good.jpg", "--class-names", "names.txt", "--show", "bird"),
        "show 'bird': expected random, mistakes, narrowest, or one of the model's 3 classes, got"
        " an unknown name; choose a class that the model has, by name or id",
    ),
    "no rows": (
        ("good.jpg", "--rows", "0"),
        "Invalid value for '--rows': ...",
    ),
    "a style": (
        ("good.jpg", "--style", "loud"),
        "Invalid value for '--style': ...",
    ),
    "a split": (
        ("good.jpg", "--split", "val"),
        "Invalid value for '--split': ...",
    ),
    "against nobody": (
        ("good.jpg", "--class-names", "names.txt", "--against", "bird"),
        "class 'bird': expected one of the model's 3 classes, got an unknown name; ...",
    ),
    "no exact head": (
        ("good.jpg", "--model", "nets.py:no_features"),
        "Sequential: expected a head of kind linear, class-maps, normalised, pooled,"
        " first-order, none, got its head flattens the grid...",
    ),
}


@pytest.mark.parametrize(("typed", "line"), BAD.values(), ids=BAD.keys())
def test_bad_use_gets_one_line_and_leaves_nothing(
    typed: tuple[str, ...], line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    assert main(["figure", *NET, *typed]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert not said.out
    if line.endswith("..."):
        assert said.err.startswith(f"seewhy: {line[:-3]}")
    else:
        assert said.err == f"seewhy: {line}\n"
    assert sorted(path for path in here.rglob("*") if "__pycache__" not in str(path)) == [
        path for path in before if "__pycache__" not in str(path)
    ]


def test_labels_of_another_task(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["figure", *NET, "--class-names", "names.txt", "--data", str(zoo)]
    assert main([*typed, "--out", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr().err == (
        "seewhy: labels of the test pictures of zoo: expected classes of nets.py:make, such as"
        " cat, dog, catfish, got 2 that it does not have: ant, bee; take a model of these classes,"
        " or give it the data's names as its class names\n"
    )
