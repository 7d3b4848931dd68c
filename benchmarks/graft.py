"""What the maps cost a deployed model: a grafted file beside the original, in two runtimes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.nets import NETS, SIZE, Net
from benchmarks.timing import Ratio, race
from seewhy.graft import graft

ABOUT = """## What a graft costs

`seewhy graft` adds the maps of the five most probable classes to an ONNX file. Throughput of the
grafted file over that of the original, so that 1.0 means that maps are free: float32, the same
threads for both. `same` says whether the original outputs kept their very bits in ONNX Runtime."""

Run = Callable[[NDArray[np.float32]], object]


def rows(*, quick: bool) -> Iterator[str]:
    """The table, a line as each result comes in."""
    yield "| network | runtime | batch | grafted over original | same | MB added |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for net in NETS:
        with tempfile.TemporaryDirectory() as folder:
            yield from _of(net, Path(folder), seconds=3 if quick else 30)


def _of(net: Net, folder: Path, *, seconds: float) -> Iterator[str]:
    plain, why = folder / "net.onnx", folder / "net.why.onnx"
    _export(net, plain)
    made = graft(plain)
    made.save(why)
    same = "yes" if made.certificate.is_identical else f"to {made.certificate.difference:.0e}"
    added = (why.stat().st_size - plain.stat().st_size) / 1e6
    for runtime, load in RUNTIMES.items():
        original, grafted = load(plain), load(why)
        for batch in (16, 1):
            ratio = _ratio(original, grafted, batch, seconds=seconds)
            yield f"| {net.name} | {runtime} | {batch} | {ratio} | {same} | {added:.2f} |"


def _ratio(original: Run, grafted: Run, batch: int, *, seconds: float) -> Ratio:
    x = np.random.default_rng(0).standard_normal((batch, 3, SIZE, SIZE)).astype(np.float32)
    contenders = {"original": lambda: original(x), "grafted": lambda: grafted(x)}
    return race(contenders, seconds=seconds).speed("grafted", "original")


def _export(net: Net, path: Path) -> None:
    shapes = ({0: torch.export.Dim("batch")},)
    example = (torch.randn(2, 3, SIZE, SIZE),)
    torch.onnx.export(
        net.build(),
        example,
        str(path),
        input_names=["pixels"],
        dynamo=True,
        dynamic_shapes=shapes,
        external_data=False,
        verbose=False,
    )


def _onnx_runtime(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})


def _openvino(path: Path) -> Run:
    import openvino

    how = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    model = openvino.Core().compile_model(path, "CPU", how)
    return lambda x: model(x)


RUNTIMES: dict[str, Callable[[Path], Run]] = {"ONNX Runtime": _onnx_runtime, "OpenVINO": _openvino}
