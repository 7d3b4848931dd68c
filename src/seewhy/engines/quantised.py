"""The exported network in 8-bit integers, by ONNX Runtime's own static quantisation.

Weights and activations become integers, each layer's range of activations being that of the
pictures shown (Jacob et al., CVPR 2018). What follows the features stays in float32: logits and
maps are made from the same features, so the certificate says of the maps what it always says. What
it cannot say is how far this network has moved from the one it was made of: `account` tells, of
each engine by itself, for two may run the same integers and one of them badly.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.engines import parts
from seewhy.engines.engine import Engine, Order
from seewhy.engines.exported import INPUT, OUTPUTS, Exported, exported, run_in_onnxruntime
from seewhy.errors import ModelError
from seewhy.heads import Seen
from seewhy.models.parts import import_extra
from seewhy.wording import complaint


def quantised(made: Exported, order: Order) -> Exported:
    """A network in 8-bit integers, calibrated on the example pictures.

    Raises:
        ModelError: it cannot be quantised.
    """
    try:
        return Exported(_quantised(made.serialised(), _pieces(order)), made.size)
    except Exception as problem:  # the tool raises whatever it likes
        raise ModelError(
            "precision int8",
            expected="a network that onnxruntime.quantization takes",
            got=complaint(problem),
            fix='use the precision "float32"',
        ) from problem


def _quantised(model: bytes, pieces: list[Tensor]) -> Any:
    import onnx

    tool = import_extra("onnxruntime.quantization", "onnx")
    preparing = import_extra("onnxruntime.quantization.shape_inference", "onnx")
    with tempfile.TemporaryDirectory(prefix="seewhy-") as folder:
        whole, prepared, result = (Path(folder, f"{n}.onnx") for n in ("whole", "ready", "int8"))
        whole.write_bytes(model)
        preparing.quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        tool.quantize_static(
            onnx.load(prepared),
            result,
            _Pictures(pieces),
            quant_format=tool.QuantFormat.QDQ,
            per_channel=True,
            weight_type=tool.QuantType.QInt8,
            activation_type=tool.QuantType.QUInt8,
            reduce_range=_overflows(),
            nodes_to_exclude=_after_features(onnx.load(prepared).graph),
        )
        return onnx.load(result)


def _overflows() -> bool:
    """Whether this processor adds pairs of 8-bit products in 16 bits, where full ranges overflow.

    ONNX Runtime's documentation asks for weights of 7 bits then.
    """
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", bool)()
    return platform.machine() in ("x86_64", "AMD64") and not has_vnni


class _Pictures:
    """Calibration pictures, as the tool asks for them: part by part, then None."""

    def __init__(self, pieces: list[Tensor]) -> None:
        self._rest: Iterator[Tensor] = iter(pieces)

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        piece = next(self._rest, None)
        return None if piece is None else {INPUT: piece.numpy()}


def _after_features(graph: Any) -> list[str]:
    """The names of the nodes that read the features, or what is made of them."""
    reached = {OUTPUTS[1]}
    for node in reversed(graph.node):  # the output may be another name for what the head reads
        if node.op_type == "Identity" and node.output[0] in reached:
            reached.add(node.input[0])
    names = []
    for node in graph.node:  # in topological order
        if reached.intersection(node.input):
            reached.update(node.output)
            names.append(node.name)
    return names


def account(engine: Engine, order: Order) -> dict[str, str]:
    """What an engine has to say of its integers; nothing if it has none."""
    if order.precision != "int8":
        return {}
    count = len(order.example)
    same = kept(order, engine(order.example))
    return {"calibrated": f"on {count} pictures, of which {same} keep their top-1"}


def kept(order: Order, seen: Seen) -> int:
    """How many of the calibration pictures the integers decide as float32 does."""
    run = run_in_onnxruntime(exported(order).serialised(), threads=order.threads)
    exact = torch.cat([run(piece)[0].flatten(1) for piece in _pieces(order)])
    return int((exact.argmax(1) == seen.logits.argmax(1)).sum())


def _pieces(order: Order) -> list[Tensor]:
    return parts.split(order.example, parts.size(order.precision))
