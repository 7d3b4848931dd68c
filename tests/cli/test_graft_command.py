"""`seewhy graft` and `seewhy export`, through the entry point."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch._inductor
from tests.graft import graphs

from seewhy.cli import main
from seewhy.models import load_model


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(graphs.torchscript(), "model.onnx")
    return Path("model.onnx")


def test_it_tells_what_it_did(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graft", str(model)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[:4] == [
        "head       linear, 4 classes, float32",
        "path       GlobalAveragePool -> Flatten -> Gemm",
        "features   features: 6 channels on a grid of 5 x 7, channels first",
        "logits     logits",
    ]
    added = "classes int64 (batch, 4), maps float32 (batch, 4, 5, 7), bias float32 (batch, 4)"
    assert lines[4] == f"added      {added}"
    assert lines[5].startswith("maps       add up to ")
    assert lines[6] == "outputs    the very same bits as before, in ONNX Runtime"
    assert lines[7].startswith("wrote      model.why.onnx, ")
    assert not said.err
    assert sorted(path.name for path in Path().iterdir()) == ["model.onnx", "model.why.onnx"]


def test_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["graft", "model.onnx", "-o", "x.onnx", "--classes", "2,0", "--json"]
    assert main([*arguments, "--upsampled", "uint8"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["outputs"]) == ["classes", "maps", "bias", "upsampled", "upsampled_scale"]
    assert found["head"]["kind"] == "linear"
    assert found["certificate"]["is_identical"] is True
    assert found["bytes"] == Path("x.onnx").stat().st_size


@pytest.mark.parametrize("as_json", [False, True])
def test_a_refusal(model: Path, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    onnx.save(graphs.max_pooling(), "max.onnx")
    assert main(["graft", "max.onnx", *(["--json"] if as_json else [])]) == 1
    said = capsys.readouterr()
    line = json.loads(said.out)["error"] if as_json else said.err
    assert "max.onnx: expected global average pooling" in line
    assert "got max pooling: GlobalMaxPool p;" in line
    assert not Path("max.why.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-o", "model.onnx"], "model.onnx: expected another file than the model itself, got"),
        (["--classes", "cat"], "--classes: expected ids, as in 281,282, got 'cat'"),
        (["--classes", "9"], "classes: expected classes from 0 to 3, got 9"),
        (["--upsampled", "int4"], "--upsampled: expected float32 or uint8, got 'int4'"),
        (["-o", "nowhere/x.onnx"], "nowhere/x.onnx: expected a file that can be written"),
        (["--output", "age"], "model.onnx, output age: expected one of logits"),
    ],
)
def test_bad_use(
    model: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    before = model.read_bytes()
    assert main(["graft", "model.onnx", *arguments]) == 2
    assert line in capsys.readouterr().err
    assert model.read_bytes() == before


def test_what_is_no_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.onnx").write_text("no model")
    assert main(["graft", "text.onnx"]) == 1
    assert "text.onnx: expected an ONNX model" in capsys.readouterr().err
    assert main(["graft", "none.onnx"]) == 2
    assert "none.onnx: expected an ONNX file, got no such file" in capsys.readouterr().err
    assert main(["graft", "."]) == 2


def test_grafting_twice(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graft", "model.onnx"]) == 0
    assert main(["graft", "model.why.onnx"]) == 1
    assert "one that is grafted already; graft the original" in capsys.readouterr().err


def test_export_and_graft_in_one_step(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "net.onnx"
    options = ["--size", "32", "--class-names", "names.txt"]
    assert main(["export", "nets.py:make", *options, "-o", str(to), "--graft", "--top", "2"]) == 0
    assert "the very same bits" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    session = onnxruntime.InferenceSession(to)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["seewhy.preprocess"])["size"] == [32, 32]
    assert len(json.loads(facts["seewhy.class_names"])) == 3
    for batch in (1, 3):
        x = np.random.default_rng(0).standard_normal((batch, 3, 32, 32)).astype(np.float32)
        logits, classes, maps, bias = session.run(None, {"pixels": x})
        chosen = np.take_along_axis(logits, classes, 1)
        np.testing.assert_allclose(maps.mean((2, 3)) + bias, chosen, atol=1e-5)


def test_export_alone_and_its_opset(here: Path, tmp_path: Path) -> None:
    to = tmp_path / "net.onnx"
    arguments = ["export", "nets.py:make", "--size", "32", "-o", str(to)]
    assert main([*arguments, "--opset", "18"]) == 0
    made = onnx.load(to)
    assert [value.name for value in made.graph.output] == ["logits"]
    assert made.opset_import[0].version == 18


def test_export_refuses_what_has_no_head(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "net.onnx"
    arguments = ["export", "nets.py:mlp", "--size", "32", "-o", str(to), "--graft"]
    assert main(arguments) == 1
    assert "an activation between pooling and logits" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main(["export", "nets.py:make", "-o", str(tmp_path / "net.txt")]) == 2
    assert "expected a name that ends in .onnx or .pt2, got .txt" in capsys.readouterr().err


def test_a_package_of_torch_export(here: Path, tmp_path: Path) -> None:
    to = tmp_path / "net.pt2"
    assert main(["export", "nets.py:make", "--size", "32", "-o", str(to), "--classes", "1"]) == 0
    module = torch.export.load(to).module()
    seen = module(torch.randn(2, 3, 32, 32))
    assert seen.classes.tolist() == [[1], [1]]
    total = seen.maps.mean((2, 3)) + seen.bias
    torch.testing.assert_close(total, seen.logits[:, 1:2], atol=1e-5, rtol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]


@pytest.mark.slow
def test_a_package_that_is_compiled(here: Path, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    to = tmp_path / "net.pt2"
    typed = f"export nets.py:make --size 32 -o {to} --classes 1 --compile"
    subprocess.run([sys.executable, "-m", "seewhy", *typed.split()], check=True, timeout=300)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits, classes, maps, bias = torch._inductor.aoti_load_package(str(to))(x)
    assert classes.tolist() == [[1], [1]]
    torch.testing.assert_close(maps.mean((2, 3)) + bias, logits[:, 1:2], atol=1e-5, rtol=0)
    eager = load_model("nets.py:make", size=(32, 32)).module(x)
    torch.testing.assert_close(logits, eager, atol=1e-5, rtol=1e-5)
