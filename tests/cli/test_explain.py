"""`seewhy explain`, through the entry point, with a small network of one's own."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.cli.materials import NETS, make_network, photo

from seewhy import explain
from seewhy.cli import main
from seewhy.preprocess import Preprocess

NET = ("--model", "nets.py:make", "--size", "32")
LIGHT = """
from torch import nn
def make():
    net = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1),
                        nn.Flatten(), nn.Linear(2, 2))
    for p in net.parameters(): nn.init.eye_(p) if p.ndim == 2 else nn.init.ones_(p)
    return net
"""


def asked(capsys: pytest.CaptureFixture[str], *typed: str, code: int = 0) -> str:
    """What stdout says when this is typed; nothing may be on stderr."""
    assert main(["explain", *typed, *NET]) == code
    said = capsys.readouterr()
    assert not said.err
    return said.out


def document(capsys: pytest.CaptureFixture[str], *typed: str, code: int = 0) -> dict[str, Any]:
    assert main(["explain", *typed, *NET, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def pixels(path: Path) -> NDArray[np.int_]:
    with Image.open(path) as image:
        return np.asarray(image, dtype=int)


def test_a_line_says_how_the_logit_adds_up(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = asked(capsys, "good.jpg", "--class-names", "names.txt")
    network = make_network()
    truth = explain(network, str(here / "good.jpg"), preprocess=Preprocess(size=(32, 32)))
    logit, evidence, bias = (float(x) for x in (truth.target, truth.evidence, truth.bias))
    assert int(truth.classes) == 1
    assert line.startswith(
        f"good.jpg   dog {100 * float(truth.probabilities.max()):.1f} %   logit "
    )
    assert f"logit {logit:.3f} = evidence {evidence:.3f} + bias {bias:.3f}   adds up " in line
    assert line.count("\n") == 1


def test_lines_are_aligned_and_in_order(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = asked(
        capsys, "turned.jpg", "dot.png", "--class-names", "names.txt", "--classes", "top2"
    ).splitlines()
    assert [line.split()[0] for line in lines] == ["dot.png"] * 2 + ["turned.jpg"] * 2
    for mark in ("   logit ", " = evidence ", " + bias ", "   adds up "):
        assert len({line.index(mark) for line in lines}) == 1, mark


def test_classes_may_be_numbers_names_and_names_with_commas(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("crane, bird\ncrane, machine\ncat\n", encoding="utf-8")
    given = ("good.jpg", "--class-names", str(names), "--classes")

    def ids(classes: str) -> list[int]:
        found = document(capsys, *given, classes)["results"][0]["classes"]
        return [entry["id"] for entry in found]

    assert ids("crane, machine") == [1]
    assert ids("2, 0,cat") == [2, 0]
    assert sorted(ids("all")) == [0, 1, 2]
    assert len(ids("top2")) == 2


def test_json_is_one_document_of_the_promised_shape(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "good.jpg", "letter.jpg", "--classes", "all", code=1)
    assert list(found) == ["version", "model", "against", "adds_up_to", "results"]
    assert list(found.values())[:4] == [1, "nets.py:make", None, "logit"]
    good, bad = found["results"]
    assert list(good) == list(bad) == ["path", "size", "classes", "files", "error"]
    assert (good["path"], good["size"], good["files"], good["error"]) == (
        "good.jpg",
        [48, 40],
        [],
        None,
    )
    assert (bad["path"], bad["size"], bad["classes"], bad["files"]) == ("letter.jpg", None, [], [])
    assert bad["error"].startswith("letter.jpg: expected a picture, got text")
    for entry in good["classes"]:
        assert list(entry) == [
            "id",
            "name",
            "probability",
            "logit",
            "evidence",
            "bias",
            "certificate",
            "kind",
            "residual",
            "residual_share",
        ]
        assert entry["kind"] == "linear"
        assert math.isclose(entry["evidence"] + entry["bias"], entry["logit"], abs_tol=1e-6)
    shares = [entry["probability"] for entry in good["classes"]]
    assert math.isclose(sum(shares), 1, abs_tol=1e-6)
    assert shares == sorted(shares, reverse=True)


def test_against_explains_the_margin(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = document(capsys, "good.jpg", "--classes", "all")["results"][0]["classes"]
    logits = {entry["id"]: entry["logit"] for entry in plain}
    names = ("--class-names", "names.txt")
    found = document(capsys, "good.jpg", "--classes", "1", "--against", "2", *names)
    assert (found["against"], found["adds_up_to"]) == ("catfish", "margin")
    (margin,) = found["results"][0]["classes"]
    assert math.isclose(margin["logit"], logits[1] - logits[2], abs_tol=1e-6)
    found = document(capsys, "good.jpg", "--against", "others")
    assert (found["against"], found["adds_up_to"]) == ("others", "log-odds + entropy")
    assert "   log-odds + entropy " in asked(capsys, "good.jpg", "--against", "others")
    assert "class 1 over class 2 " in asked(capsys, "good.jpg", "--classes", "1", "--against", "2")


def test_a_broken_picture_stops_nothing_and_is_listed_at_the_end(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "mixed", *NET]) == 1
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["0.png", "2.png"]
    assert said.err == (
        "1 of 3 pictures failed:\n"
        "  mixed/1.png: expected a picture, got text that begins 'no picture'; "
        "check where it came from\n"
    )


@pytest.mark.parametrize("batch_size", ["1", "2", "64"])
def test_results_do_not_depend_on_the_batch(
    here: Path, capsys: pytest.CaptureFixture[str], batch_size: str
) -> None:
    usual = document(capsys, "*.jpg", "mixed", code=1)["results"]
    other = document(capsys, "*.jpg", "mixed", "--batch-size", batch_size, code=1)["results"]
    assert [each["path"] for each in usual] == [each["path"] for each in other]
    assert len(usual) > 8
    for one, two in zip(usual, other, strict=True):
        assert one["error"] == two["error"]
        for a, b in zip(one["classes"], two["classes"], strict=True):
            assert a["id"] == b["id"]
            assert math.isclose(a["logit"], b["logit"], rel_tol=1e-5, abs_tol=1e-6)


def test_out_gets_an_overlay_a_class_and_a_contact_sheet(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "maps"
    typed = ("good.jpg", "alpha.png", "--class-names", "names.txt", "--classes", "top2")
    found = document(capsys, *typed, "--out", str(out))["results"]
    files = {Path(file).name for each in found for file in each["files"]}
    assert len(files) == 4
    assert {f.name for f in out.iterdir()} == files | {"contact-sheet.png"}
    assert "good.1-dog.jpg" in files
    assert all(name.startswith("alpha.") for name in files if name.endswith(".png"))
    # 48 x 40 pixels five times as large, below them a bar and two lines of text
    assert pixels(out / "good.1-dog.jpg").shape == (5 * 40 + 6 + 27 + 6 + 34, 256, 3)


def test_an_overlay_of_a_large_picture_is_reduced(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document(capsys, "wide.png", "--out", str(tmp_path))
    assert pixels(tmp_path / "wide.1.png").shape == (1 + 3 * (6 + 27 + 6 + 34), 1600, 3)


def test_what_is_drawn_has_the_top_five_and_the_lines_have_the_decision(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["explain", "good.jpg", *NET, "--html", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    assert said.err == (
        f"wrote {tmp_path / 'contact-sheet.png'}\nwrote {tmp_path / 'report.html'}\n"
    )
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('<span class="probability">') == 3  # the network has no more
    assert pixels(tmp_path / "contact-sheet.png").shape[1] == 16 + 4 * 272
    assert len(list(tmp_path.glob("good.*.jpg"))) == 3


def test_many_pictures_get_several_contact_sheets(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for index in range(25):
        photo(seed=index).save(tmp_path / f"{index:02}.png")
    assert main(["explain", str(tmp_path), *NET, "--out", str(tmp_path / "out")]) == 0
    sheets = [tmp_path / "out" / f"contact-sheet-{page}.png" for page in (1, 2)]
    assert capsys.readouterr().err == "".join(f"wrote {sheet}\n" for sheet in sheets)
    first, second = (pixels(sheet).shape[0] for sheet in sheets)
    assert 23 <= first / second <= 25


def test_one_scale_for_all_pictures(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A dim and a bright picture, and a network that counts light: same map, other strength."""
    (tmp_path / "light.py").write_text(LIGHT)
    for name, level in (("dim", 40), ("bright", 200)):
        Image.new("RGB", (256, 256), (level,) * 3).save(tmp_path / f"{name}.png")
    model = ("--model", f"{tmp_path}/light.py:make", "--size", "64", "--crop", "1")
    typed = ("explain", f"{tmp_path}/*.png", *model, "--mean", "0,0,0", "--std", "1,1,1")
    change = {}
    for scale in ("picture", "all"):
        out = tmp_path / scale
        assert main([*typed, "--classes", "0", "--out", str(out), "--scale", scale]) == 0
        for name in ("dim", "bright"):
            drawn, plain = pixels(out / f"{name}.0.png"), pixels(tmp_path / f"{name}.png")
            change[scale, name] = np.abs(drawn[128, 128] - plain[128, 128]).sum()
    assert change["all", "bright"] == change["picture", "bright"]
    assert change["all", "dim"] < change["picture", "dim"] / 2


def test_a_picture_that_is_lost_before_it_is_drawn_has_failed(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The network itself removes one picture and overwrites another, after they were read."""
    for name in ("a", "b", "c"):
        photo().save(tmp_path / f"{name}.png")
    (tmp_path / "thief.py").write_text(
        f"{NETS}\nfrom pathlib import Path\n"
        "class Thief(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.net = make()\n"
        "    def forward(self, x):\n"
        "        if len(x) == 3:\n"
        "            here = Path(__file__).parent\n"
        "            (here / 'a.png').unlink(missing_ok=True)\n"
        "            (here / 'b.png').write_bytes(Path('good.jpg').read_bytes())\n"
        "        return self.net(x)\n"
    )
    typed = ("explain", f"{tmp_path}/*.png", "--model", f"{tmp_path}/thief.py:Thief")
    code = main([*typed, "--size", "32", "--html", "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert code == 1, said.err
    assert said.err.splitlines()[:3] == [
        "2 of 3 pictures failed:",
        f"  {tmp_path}/a.png: expected a picture, got no such file; check the path",
        f"  {tmp_path}/b.png: expected the picture that was explained, got one that was changed "
        "since; explain it again",
    ]
    assert [line.split()[0] for line in said.out.splitlines()] == ["c.png"]
    assert "2 pictures could not be read" in (tmp_path / "out" / "report.html").read_text()


def test_html_writes_a_report_with_the_failures_in_it(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    typed = ["explain", "mixed", *NET, "--html", "--out", str(tmp_path), "--classes", "all"]
    assert main(typed) == 1
    said = capsys.readouterr()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "0.png" in page
    assert "text that begins" in page
    assert f"wrote {tmp_path / 'report.html'}\n" in said.err


def test_the_same_bytes_each_run(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def once(name: str) -> dict[str, bytes]:
        out = tmp_path / name
        main(["explain", "*.jpg", "*.png", *NET, "--html", "--out", str(out)])
        return {file.name: file.read_bytes() for file in out.iterdir()}

    first, second = once("first"), once("second")
    assert len(first) > 8
    assert first == second


def test_the_hottest_spot_of_an_overlay_is_where_the_evidence_is(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A network that counts white: the white corner has to be coloured, the dark rest not."""
    (tmp_path / "light.py").write_text(LIGHT)
    picture = Image.new("RGB", (256, 256), (30, 30, 30))
    picture.paste((200, 200, 200), (160, 32, 224, 96))
    picture.save(tmp_path / "spot.png")
    spot, out = str(tmp_path / "spot.png"), tmp_path / "out"
    model = ("--model", f"{tmp_path}/light.py:make", "--size", "64", "--crop", "1")
    scale = ("--mean", "0.5,0.5,0.5", "--std", "1,1,1")
    assert main(["explain", spot, *model, *scale, "--classes", "0", "--out", str(out)]) == 0
    drawn = pixels(out / "spot.0.png")[:256]  # below lies its scale
    change = np.abs(drawn - pixels(tmp_path / "spot.png")).sum(2)
    assert change[64, 192] > 50
    assert change[200, 40] == change[64, 40] == change[200, 192] == 0


def test_a_map_that_does_not_add_up_fails(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A network whose head changes with its input: no map of it can be exact."""
    (tmp_path / "fickle.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Fickle(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        torch.manual_seed(0)\n"
        "        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)\n"
        "    def forward(self, x):\n"
        "        y = self.fc(self.conv(x).mean((2, 3)))\n"
        "        return (9 * y).floor() if float(x.max()) == float(x.min()) else y\n"
    )
    Image.new("RGB", (40, 40), "white").save(tmp_path / "flat.png")
    photo().save(tmp_path / "photo.png")
    model = ("--model", f"{tmp_path}/fickle.py:Fickle", "--size", "32", "--batch-size", "1")
    code = main(["explain", str(tmp_path), *model, "--mean", "0,0,0", "--std", "1,1,1"])
    said = capsys.readouterr()
    assert code == 1
    assert "flat.png" in said.out
    assert "DOES NOT ADD UP: off by" in said.out
    assert said.err == "1 of 2 pictures have maps that do not add up\n"


def test_the_model_may_be_on_another_device_type(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    (a,) = document(capsys, "good.jpg", "--device", "cpu")["results"][0]["classes"]
    (b,) = document(capsys, "good.jpg", "--device", "cuda")["results"][0]["classes"]
    assert math.isclose(a["logit"], b["logit"], abs_tol=1e-4)


def test_what_is_left_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ("--model", "nets.py:mlp", "--size", "32")
    assert main(["explain", "good.jpg", *model]) == 0
    line = capsys.readouterr().out
    assert " ~ evidence " in line
    assert re.search(r"first-order: leaves -?[0-9.]+ \([0-9]+ %\)$", line.strip())
    assert main(["explain", "good.jpg", *model, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["results"][0]["classes"][:1]
    assert entry["kind"] == "first-order"
    left = entry["logit"] - entry["evidence"] - entry["bias"]
    assert math.isclose(entry["residual"], left, abs_tol=1e-6)
    share = abs(left / (entry["logit"] - entry["bias"]))
    assert math.isclose(entry["residual_share"], share, rel_tol=1e-4)
