"""What the maps cost a deployed model: a grafted file beside the original, in two runtimes.

python -m benchmarks.graft                      # writes the table into docs/graft.md
python -m benchmarks.graft --net MobileNetV2    # one network of it
python -m benchmarks graft --quick              # prints only
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.nets import NETS, SIZE, Net, main
from benchmarks.page import keep_rows, machine
from benchmarks.timing import Ratio, race
from seewhy.graft import graft

ABOUT = """## What a graft costs

`seewhy graft` adds the maps of the five most probable classes to an ONNX file. Throughput of the
grafted file over that of the original, so that 1.0 means that maps are free: float32, the same
threads for both, and to be at least 0.97 in batches of 16 and 0.93 for single pictures. `logits`
says whether the original output kept its very bits in that runtime, or by how much it is off, over
the largest logit."""

Pixels = NDArray[np.float32]
Run = Callable[[Pixels], Pixels]  # the logits; what else there is has been computed, too
GOALS = {16: 0.97, 1: 0.93}
COLUMNS = ("network", "runtime", "batch", "grafted over original", "met", "logits", "MB added")


HEAD = (f"| {' | '.join(COLUMNS)} |", f"| {' | '.join(['---'] * len(COLUMNS))} |")


def rows(*, quick: bool, nets: Sequence[Net] = NETS) -> Iterator[str]:
    """The table, a line as each result comes in; the page has each network when it is whole."""
    yield from HEAD
    for net in nets:
        lines = []
        with tempfile.TemporaryDirectory() as folder:
            for line in _of(net, Path(folder), seconds=3 if quick else 30):
                lines.append(line)
                yield line
        if not quick:
            keep_rows("graft.md", "graft", [machine(), "", *HEAD], lines, [n.name for n in NETS])


def _of(net: Net, folder: Path, *, seconds: float) -> Iterator[str]:
    plain, why = folder / "net.onnx", folder / "net.why.onnx"
    _export(net, plain)
    graft(plain).save(why)
    added = (why.stat().st_size - plain.stat().st_size) / 1e6
    for runtime, load in RUNTIMES.items():
        original, grafted = load(plain), load(why)
        for batch, goal in GOALS.items():
            x = np.random.default_rng(0).standard_normal((batch, 3, SIZE, SIZE)).astype(np.float32)
            logits = _compared(original(x), grafted(x))
            ratio = _ratio(original, grafted, x, seconds=seconds)
            met = "yes" if ratio.value >= goal else "**no**"
            yield f"| {net.name} | {runtime} | {batch} | {ratio} | {met} | {logits} | {added:.3f} |"


def _compared(before: Pixels, after: Pixels) -> str:
    if np.array_equal(before, after):
        return "the same bits"
    return f"off by {np.abs(before - after).max() / np.abs(before).max():.0e}"


def _ratio(original: Run, grafted: Run, x: Pixels, *, seconds: float) -> Ratio:
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
    name = session.get_inputs()[0].name

    def run(x: Pixels) -> Pixels:
        logits: Pixels = session.run(None, {name: x})[0]
        return logits

    return run


def _openvino(path: Path) -> Run:
    import openvino

    how = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    model = openvino.Core().compile_model(path, "CPU", how)

    def run(x: Pixels) -> Pixels:
        logits: Pixels = model(x)[0].copy()  # what it returns is written to in the next run
        return logits

    return run


RUNTIMES: dict[str, Callable[[Path], Run]] = {"ONNX Runtime": _onnx_runtime, "OpenVINO": _openvino}

if __name__ == "__main__":
    main(rows)
