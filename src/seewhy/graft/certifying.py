"""Prove a graft by running it: the old outputs are the same, and the maps add up for every class.

The head alone is run on features too: once as noise in the picture made them, once perturbed cell
by cell, which tells an average from any other pooling. And maps of other features must *not* add
up, for a check that any map passes proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seewhy.errors import CertificateError, GraftError
from seewhy.graft.graph import Graph
from seewhy.graft.head import OnnxHead
from seewhy.graft.opening import Opened, import_onnx
from seewhy.graft.running import Observed, Runner, observe
from seewhy.graft.writing import Plan, write

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
_TELLING = 10.0  # a wrong map must be off by as many tolerances


@dataclass(frozen=True)
class Certificate:
    """How a graft held when it was run.

    Attributes:
        deviation: the largest of `mean(map) + bias` from the logit, over the scale of the logits:
            all classes, features of two noises, and the same perturbed.
        tolerance: what rounding explains.
        is_identical: whether every original output has the very same bits.
        difference: the largest difference of an original output, over the output's scale.
    """

    deviation: float
    tolerance: float
    is_identical: bool
    difference: float


def certify(
    grafted: Opened, plan: Plan, names: Mapping[str, str], before: Sequence[Observed]
) -> Certificate:
    """Run the grafted model and its head.

    Args:
        grafted: the model with the nodes that were written.
        plan: what was to be written.
        names: of the new outputs.
        before: runs of the original, with its outputs and the tensors of the head.

    Raises:
        CertificateError: maps do not add up, or the check would have passed any map.
        GraftError: ONNX Runtime does not run it, or an original output changed.
    """
    head = plan.head
    outputs = [value.name for value in head.graph.model.graph.output]
    after = observe(Graph(grafted), [*outputs, *names.values()])
    alone = observe(head.graph, outputs)  # to look at a tensor may change how others are made
    difference, is_identical = _unchanged(outputs, alone, after)
    if difference > head.tolerance:
        raise GraftError(
            grafted.name,
            expected="outputs that stay what they were",
            got=f"a difference of {difference:.0e}",
            fix="report this model: the runtime computes it differently beside the maps",
        )
    deviation = max(_wired(head, names, before, after), _head_alone(grafted.name, head, before))
    _require(grafted.name, deviation, head)
    return Certificate(deviation, head.tolerance, is_identical, difference)


def _unchanged(
    outputs: Sequence[str], before: Sequence[Observed], after: Sequence[Observed]
) -> tuple[float, bool]:
    pairs = [
        (old.tensors[name], new.tensors[name])
        for old, new in zip(before, after, strict=True)
        for name in outputs
    ]
    is_identical = all(old.tobytes() == new.tobytes() for old, new in pairs)
    return (0.0 if is_identical else max(_off(new, old) for old, new in pairs)), is_identical


def _wired(
    head: OnnxHead, names: Mapping[str, str], before: Sequence[Observed], after: Sequence[Observed]
) -> float:
    """The deviation of the outputs as a user gets them, for the classes that they name."""
    worst = 0.0
    for old, new in zip(before, after, strict=True):
        classes, maps, bias = (new.tensors[names[each]] for each in ("classes", "maps", "bias"))
        logits = _flat(old.tensors[head.logits])
        chosen = np.take_along_axis(logits, classes, axis=1)
        worst = max(worst, _deviation(maps, bias, chosen, logits))
    return worst


def _head_alone(name: str, head: OnnxHead, before: Sequence[Observed]) -> float:
    """The deviation of all classes' maps over features as they were, and perturbed."""
    run = _tail(head, before)
    worst, sums = 0.0, []
    for seed, seen in enumerate(before):
        for features in (seen.tensors[head.features], _perturbed(head, seen, seed)):
            logits, maps, bias = run(seen, features)
            worst = max(worst, _deviation(maps, bias, logits, logits))
            sums.append((maps, bias, logits))
    (maps, bias, _), (*_, logits) = sums[0], sums[-1]
    _require(name, worst, head)
    if _deviation(maps, bias, logits, logits) < _TELLING * head.tolerance:
        raise CertificateError(
            name,
            expected="logits that tell one picture's maps from another's",
            got="logits that hardly depend on the features",
            fix="graft it with trained weights",
        )
    return worst


def _tail(head: OnnxHead, before: Sequence[Observed]) -> Any:
    """Return a function of a run and features: their logits, maps and bias, of all classes."""
    onnx = import_onnx()
    graph = head.graph
    part = onnx.load_from_string(graph.part([head.logits], [head.features]))
    features = before[0].tensors[head.features]
    kind = onnx.helper.np_dtype_to_tensor_dtype(features.dtype)
    shape = [None] * features.ndim
    part.graph.input.append(onnx.helper.make_tensor_value_info(head.features, kind, shape))
    opened = Opened(part, graph.name, graph.folder)
    inner = replace(head, graph=Graph(opened))
    types = {name: value.dtype for name, value in before[0].tensors.items()}
    every = tuple(range(head.num_classes))
    names = write(part, Plan(inner, types | weight_types(graph), len(every), every))
    return _runner(part, head, names, graph)


def _runner(part: onnx.ModelProto, head: OnnxHead, names: Mapping[str, str], graph: Graph) -> Any:
    runner = Runner(part.SerializeToString(), graph.folder)
    given = {value.name for value in part.graph.input} - {t.name for t in part.graph.initializer}

    def run(seen: Observed, features: Array) -> tuple[Array, Array, Array]:
        feeds = {**seen.feeds, head.features: features}
        feeds = {name: value for name, value in feeds.items() if name in given}
        logits, maps, bias = runner(feeds, [head.logits, names["maps"], names["bias"]])
        return _flat(logits), maps, bias

    return run


def weight_types(graph: Graph) -> dict[str, np.dtype[Any]]:
    """Return the element types of the initializers of floating-point numbers."""
    onnx = import_onnx()
    kinds = {each.FLOAT: np.float32, each.FLOAT16: np.float16} if (each := onnx.TensorProto) else {}
    return {
        name: np.dtype(kinds[tensor.data_type])
        for name, tensor in graph.initializers.items()
        if tensor.data_type in kinds
    }


def _perturbed(head: OnnxHead, seen: Observed, seed: int) -> Array:
    """Return features with every cell weakened at random; noise where they are all zero."""
    features = seen.tensors[head.features]
    draw = np.random.default_rng(seed)
    if not features.any():
        return draw.standard_normal(features.shape).astype(features.dtype)
    return (features * draw.random(features.shape)).astype(features.dtype)


def _deviation(maps: Array, bias: Array, target: Array, logits: Array) -> float:
    """The largest deviation over the scale of each picture's logits; infinite where one is NaN."""
    mean = maps.astype(np.float64).reshape(*maps.shape[:2], -1).mean(axis=2)
    scale = np.abs(logits).max(axis=1, keepdims=True).astype(np.float64)
    off = np.abs(mean + bias - target.astype(np.float64)) / np.where(scale == 0, 1, scale)
    return float(np.nan_to_num(off, nan=np.inf).max())


def _off(new: Array, old: Array) -> float:
    if new.shape != old.shape or new.dtype != old.dtype:
        return float("inf")
    new, old = new.astype(np.float64), old.astype(np.float64)
    scale = float(np.abs(old).max(initial=0.0)) or 1.0
    return float(np.nan_to_num(np.abs(new - old) / scale, nan=np.inf).max(initial=0.0))


def _flat(logits: Array) -> Array:
    return logits.reshape(len(logits), -1).astype(np.float64)


def _require(name: str, deviation: float, head: OnnxHead) -> None:
    if not deviation <= head.tolerance:
        raise CertificateError(
            name,
            expected=f"maps that add up to the logits within {head.tolerance:.0e}",
            got=f"a deviation of {deviation:.0e}",
            fix=f"{_OVERFLOWS if head.precision == 'int8' else _UNKNOWN}; nothing was written",
        )


_UNKNOWN = "this is no head of a kind that is known"
_OVERFLOWS = (
    "on processors without VNNI products of 8 bits overflow: quantise with reduce_range=True"
)
