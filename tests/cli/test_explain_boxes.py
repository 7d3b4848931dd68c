"""`seewhy explain` with boxes: in lines, in JSON, on pictures, in files of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from tests.cli.materials import make_network

from seewhy import explain, locate
from seewhy.cli import main
from seewhy.preprocess import Preprocess

NET = ("--model", "nets.py:make", "--size", "32")


def document(capsys: pytest.CaptureFixture[str], *typed: str) -> Any:
    assert main(["explain", *typed, *NET, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def truth(**options: Any) -> Any:
    result = explain(make_network(), "good.jpg", preprocess=Preprocess(size=(32, 32)))
    return locate(result, **options)[0][0]


def boxes(data: Any) -> list[list[float]]:
    return [each["box"] for each in data["results"][0]["classes"][0]["boxes"]]


def test_json_has_the_boxes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (expected,) = truth()
    data = document(capsys, "good.jpg", "--boxes")
    (found,) = data["results"][0]["classes"][0]["boxes"]
    assert found == {
        "box": list(expected.box),
        "peak": pytest.approx(expected.peak),
        "share": pytest.approx(expected.share),
    }
    assert "boxes" not in document(capsys, "good.jpg")["results"][0]["classes"][0]


def test_thresholds_and_all_boxes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = truth(threshold=0.7, components="all")
    assert len(many) > 1
    asked = document(capsys, "good.jpg", "--all-boxes", "--box-threshold", "0.7")
    assert boxes(asked) == [list(each.box) for each in many]
    one = truth(threshold=0.7)
    assert boxes(document(capsys, "good.jpg", "--box-threshold", "0.7")) == [list(one[0].box)]
    peak = explain(make_network(), "good.jpg", preprocess=Preprocess(size=(32, 32))).maps.max()
    above = f"{0.5 * float(peak):.6f}logits"
    expected = truth(threshold=float(above[:-6]), unit="logits")
    assert boxes(document(capsys, "good.jpg", "--box-threshold", above)) == [list(expected[0].box)]


def test_a_line_names_the_box(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = " ".join(f"{side:.0f}" for side in truth()[0].box)
    assert main(["explain", "good.jpg", "--boxes", *NET]) == 0
    assert capsys.readouterr().out.endswith(f"   box {box}\n")
    assert main(["explain", "good.jpg", "--box-threshold", "9999logits", *NET]) == 0
    assert capsys.readouterr().out.endswith("   no box\n")


def test_a_turned_picture_has_upright_boxes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = document(capsys, "turned.jpg", "--boxes")["results"][0]
    width, height = result["size"]
    x0, y0, x1, y1 = result["classes"][0]["boxes"][0]["box"]
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height


def test_files_of_other_tools(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco, voc = tmp_path / "boxes.json", tmp_path / "voc"
    typed = ["explain", "mixed", "--coco", str(coco), "--voc", str(voc), "--classes", "top2"]
    assert main([*typed, *NET, "--class-names", "names.txt"]) == 1  # one of them is no picture
    assert f"wrote {coco}" in capsys.readouterr().err
    data = json.loads(coco.read_text())
    assert [each["file_name"] for each in data["images"]] == ["0.png", "2.png"]
    assert {each["name"] for each in data["categories"]} <= {"cat", "dog", "catfish"}
    assert {each["image_id"] for each in data["annotations"]} == {1, 2}
    assert sorted(path.name for path in voc.iterdir()) == ["0.xml", "2.xml"]
    root = ET.fromstring((voc / "0.xml").read_bytes())
    found = [each for each in data["annotations"] if each["image_id"] == 1]
    assert len(root.findall("object")) == len(found)


def test_boxes_are_drawn(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same overlay, but for a white line within dark ones where the box is."""
    drawn = []
    for name, more in (("plain", ()), ("boxed", ("--boxes",))):
        folder = tmp_path / name
        typed = ("explain", "good.jpg", "--out", str(folder), "--classes", "predicted")
        assert main([*typed, *NET, *more]) == 0
        (file,) = folder.glob("good*")
        drawn.append(np.asarray(Image.open(file), dtype=int))
    plain, boxed = drawn
    assert plain.shape == boxed.shape
    different = np.abs(plain - boxed).max(2) > 60
    rows, columns = np.nonzero(different)
    factor = 240 / 48  # the picture of 48 x 40 pixels is enlarged to a cell
    x0, y0, x1, y1 = (side * factor for side in truth()[0].box)
    assert columns.min() == pytest.approx(x0, abs=2)
    assert columns.max() == pytest.approx(x1, abs=2)
    assert rows.max() == pytest.approx(y1, abs=2)
    inside = different[round(y0) + 25 : round(y1) - 5, round(x0) + 5 : round(x1) - 5]
    assert not inside.any()


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (("--box-threshold", "big"), "--box-threshold: expected a share of the maximum, as in 0.2"),
        (("--box-threshold", "1.2"), "threshold: expected a share of the maximum from 0, below 1"),
        (("--box-threshold", "-3logits"), "threshold: expected logits from 0, got -3.0"),
        (("--coco", "."), ".: expected a file in a folder that is there, got a folder"),
        (("--coco", "no/such.json"), "no/such.json: expected a file in a folder that is there"),
        (("--voc", "good.jpg"), "good.jpg: expected a folder to write to, got a file"),
    ],
)
def test_bad_use(
    here: Path, capsys: pytest.CaptureFixture[str], typed: tuple[str, ...], line: str
) -> None:
    assert main(["explain", "good.jpg", *NET, *typed]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"seewhy: {line}")
    assert said.err.count("\n") == 1
    assert not said.out
