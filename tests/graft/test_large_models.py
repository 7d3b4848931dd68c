"""A model of more than 2 GB, whose weights no message of protobuf can hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

CHANNELS, CLASSES, GRID = 16_640, 4, (2, 2)
LARGE = ("second", "third")  # two of 1.1 GB: ONNX Runtime takes none of 2 GB by itself
EACH = 4 * CHANNELS**2  # bytes
NEEDED = 8 * 2**30  # of memory; it takes 5.3
PROGRAM = """
import resource, sys
from seewhy.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
sys.exit(code)
"""


def lay_out(folder: Path) -> Path:
    """Write a model whose weights lie beside it, nearly all of them zero, and take no space."""
    draw = np.random.default_rng(0)
    with (folder / "net.data").open("wb") as file:
        file.truncate(len(LARGE) * EACH)
        for row in range(0, len(LARGE) * CHANNELS, 64):
            file.seek(4 * CHANNELS * row)
            file.write(draw.standard_normal(CHANNELS, dtype=np.float32).tobytes())
    nodes = [
        node
        for each, before in zip(("first", *LARGE), ("x", "first.relu", "second.relu"), strict=True)
        for node in (
            helper.make_node("Conv", [before, each], [f"{each}.conv"]),
            helper.make_node("Relu", [f"{each}.conv"], [f"{each}.relu"]),
        )
    ]
    nodes += [
        helper.make_node("GlobalAveragePool", ["third.relu"], ["p"]),
        helper.make_node("Flatten", ["p"], ["pooled"]),
        helper.make_node("Gemm", ["pooled", "fc"], ["logits"], transB=1),
    ]
    shapes = {"first": (CHANNELS, 3, 1, 1), "fc": (CLASSES, CHANNELS)}
    weights = [
        numpy_helper.from_array(draw.standard_normal(shape, dtype=np.float32), name)
        for name, shape in shapes.items()
    ]
    weights += [beside(name, place * EACH) for place, name in enumerate(LARGE)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, *GRID])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    graph = helper.make_graph(nodes, "large", [x], [logits], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "net.onnx")
    return folder / "net.onnx"


def beside(name: str, offset: int) -> TensorProto:
    """A square weight in the other file."""
    made = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[CHANNELS, CHANNELS, 1, 1])
    made.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "net.data"), ("offset", offset), ("length", EACH)):
        made.external_data.add(key=key, value=str(value))
    return made


@pytest.mark.slow
def test_more_than_2_gb(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("says how much memory it took on Linux only")
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < NEEDED:
        pytest.skip("less than 8 GB of memory are free")
    path = lay_out(tmp_path)
    assert (tmp_path / "net.data").stat().st_size > 2**31
    typed = ["graft", str(path), "-o", str(tmp_path / "net.why.onnx"), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *typed], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    document, _, peak = done.stdout.strip().rpartition("\n")
    told = json.loads(document)
    assert told["certificate"]["is_identical"]  # it was run, before and after
    assert told["certificate"]["deviation"] <= 1e-5
    assert told["bytes"] < 1e6
    assert (
        int(peak) < 3 * len(LARGE) * EACH
    )  # a session packs its weights anew; two at once do not fit
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "net.data",
        "net.onnx",
        "net.why.onnx",
    ]
