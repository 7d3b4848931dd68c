"""Rules: how each ATen operation between the pooling and the logits becomes a step of the head.

Every operation on the way must have a rule here. One without ends the walk with a refusal that
names it and says what it usually means, for a head that is merely similar to an affine one would
give a map that does not add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from seewhy.heads.affine import Computed, Parameter, Step, Weight
from seewhy.heads.pooling import SILENT
from seewhy.heads.reading import Reading, Rule
from seewhy.heads.refusals import Refusal, reason
from seewhy.observe import Operation, Value


def _same(reading: Reading, operation: Operation, width: int) -> int:
    """A view, a copy or a cast: the same numbers, so the same slot."""
    source = operation.args[0]
    if not reading.is_data(source):
        raise Refusal("depends on the model's parameters only")
    if not reading.is_vector(source.number):
        raise Refusal(reason(operation))
    slot = reading.slot(source.number)
    if reading.widths[slot] not in (1, width):
        raise Refusal(reason(operation))
    return slot


def _linear(reading: Reading, operation: Operation, width: int) -> int:
    """`mm`, `addmm`, `bmm`: features times a matrix of weights, plus a bias."""
    *bias, x, matrix = operation.args[:3]
    if not reading.is_data(x) or reading.is_data(matrix) or any(map(reading.is_data, bias)):
        raise Refusal("multiplies two values that both depend on the picture (attention?)")
    if any(operation.kwargs.get(key, 1) != 1 for key in ("alpha", "beta")):
        raise Refusal("scales a matrix product")
    slot = reading.slot(x.number)
    if math.prod(reading.trace.shape(matrix.number)) != reading.widths[slot] * width:
        raise Refusal("multiplies by a different matrix for each picture")
    weight = _transposed(reading, matrix)
    own = _bias(reading, bias[0], width) if bias else None
    return reading.add(width, Step("linear", (slot,), (weight, own)))


def _bias(reading: Reading, bias: Value, width: int) -> Weight:
    """The bias of a matrix product, (C,); one that is the same for all may be broadcast."""
    extent = math.prod(reading.trace.shape(bias.number))
    if extent not in (1, width):
        raise Refusal("adds a different bias for each picture")
    recipe: Weight = reading.weight(bias)
    is_vector = reading.trace.shape(bias.number) == (width,)
    return recipe if is_vector else Computed(_to_width, (recipe, width))


def _to_width(bias: Tensor, width: int) -> Tensor:
    return bias.flatten().expand(width)


def _transposed(reading: Reading, matrix: Value) -> Weight:
    """The weight (C, K) of a matrix product that is given its transpose (K, C)."""
    recipe = reading.weight(matrix)
    if isinstance(recipe, Computed) and str(recipe.func) == "aten.t.default":
        weight: Weight = recipe.args[0]
        return weight
    return Computed(_transpose, (recipe,))


def _transpose(matrix: Tensor) -> Tensor:
    return matrix.flatten(0, -2).t()


def _convolution(reading: Reading, operation: Operation, width: int) -> int:
    """A convolution whose kernel has one position is a linear layer."""
    x, weight, bias, *_, groups = operation.args
    if not reading.is_data(x) or reading.is_data(weight):
        raise Refusal("convolves with a kernel that depends on the picture")
    kernel = reading.trace.shape(weight.number)
    if math.prod(kernel[2:]) != 1 or groups != 1:
        raise Refusal("convolves after the pooling")
    slot = reading.slot(x.number)
    weights = (reading.weight(weight), reading.weight(bias))
    return reading.add(width, Step("linear", (slot,), weights))


def _batch_norm(reading: Reading, operation: Operation, width: int) -> int:
    x, weight, bias, mean, variance, *_ = operation.args
    training = operation.args[5] if operation.name == "native_batch_norm" else False
    if training is True or mean is None:
        raise Refusal("normalises with the statistics of the batch")
    weights = tuple(reading.weight(argument) for argument in (weight, bias, mean, variance))
    slot = reading.spread(reading.slot(x.number), width)
    return reading.add(width, Step("batch_norm", (slot,), weights, float(operation.args[-1])))


def _layer_norm(reading: Reading, operation: Operation, width: int) -> int:
    x, normalised, weight, bias, epsilon = operation.args
    if math.prod(normalised) != width:
        raise Refusal("normalises over more than the channels")
    weights = (reading.weight(weight), reading.weight(bias))
    slot = reading.spread(reading.slot(x.number), width)
    return reading.add(width, Step("layer_norm", (slot,), weights, float(epsilon)))


def _rms_norm(reading: Reading, operation: Operation, width: int) -> int:
    x, normalised, weight, epsilon = operation.args
    if math.prod(normalised) != width or epsilon is None:
        raise Refusal("normalises over more than the channels")
    slot = reading.spread(reading.slot(x.number), width)
    return reading.add(width, Step("rms_norm", (slot,), (reading.weight(weight),), epsilon))


def _multiply(reading: Reading, operation: Operation, width: int) -> int:
    left, right = operation.args[:2]
    if reading.is_data(left) and reading.is_data(right):
        return _multiply_data(reading, left.number, right.number, width)
    x, factor = (left, right) if reading.is_data(left) else (right, left)
    slot = reading.spread(reading.slot(x.number), width)
    return reading.add(width, Step("scale", (slot,), (reading.weight(factor),)))


def _multiply_data(reading: Reading, left: int, right: int, width: int) -> int:
    """A product of two values: a square, or a vector times a frozen scale."""
    a, b = reading.slot(left), reading.slot(right)
    if a == b:
        return reading.add(width, Step("pow", (a,), number=2.0))
    x, scale = (a, b) if reading.widths[b] == 1 else (b, a)
    if reading.widths[scale] != 1 or not _is_norm_of(reading, scale, x):
        raise Refusal("multiplies the pooled features by a gate that depends on the picture")
    return reading.add(width, Step("times_frozen", (x, scale)))


def _divide(reading: Reading, operation: Operation, width: int) -> int:
    x, divisor = operation.args[:2]
    if not reading.is_data(x):
        raise Refusal("divides by the pooled features")
    slot = reading.slot(x.number)
    if not reading.is_data(divisor):
        inverse = Computed(_invert, (reading.weight(divisor),))
        return reading.add(width, Step("scale", (reading.spread(slot, width),), (inverse,)))
    scale = reading.slot(divisor.number)
    if reading.widths[scale] != 1 or not _is_norm_of(reading, scale, slot):
        raise Refusal("divides the pooled features by something else than one norm a picture")
    return reading.add(width, Step("over_frozen", (slot, scale)))


def _invert(value: Tensor | float) -> Tensor | float:
    return 1.0 / value


_NORMS = frozenset({"pow", "sqrt", "rsqrt", "norm", "variance"})
_PARTS_OF_NORMS = _NORMS | {"reciprocal", "clamp_min", "mean", "sum", "add", "shift", "scale"}


def _is_norm_of(reading: Reading, scale: int, vector: int) -> bool:
    """Whether a slot holds a norm of the vector: roots, powers and fixed numbers.

    With parameters of its own it would be a gate, which depends on what is in the picture.
    """
    steps = reading.between(scale, vector)
    kinds = {step.kind for step in steps}
    is_fixed = not any(map(_has_parameters, [weight for step in steps for weight in step.weights]))
    return not _NORMS.isdisjoint(kinds) and kinds <= _PARTS_OF_NORMS and is_fixed


def _has_parameters(weight: Any) -> bool:
    match weight:
        case Parameter():
            return True
        case Computed(_, args, kwargs):
            return _has_parameters((*args, *kwargs.values()))
        case tuple():
            return any(map(_has_parameters, weight))
    return False


def _add(reading: Reading, operation: Operation, width: int) -> int:
    left, right = operation.args[:2]
    sign = -1.0 if operation.name in {"sub", "rsub"} else 1.0
    factor = sign * operation.kwargs.get("alpha", 1)
    if operation.name == "rsub":
        left, right = right, left
    if reading.is_data(left) and reading.is_data(right):
        slots = reading.slot(left.number), reading.slot(right.number)
        return reading.add(width, Step("add", slots, number=factor))
    if reading.is_data(left):
        slot = reading.spread(reading.slot(left.number), width)
        return reading.add(width, Step("shift", (slot,), (reading.weight(right),), factor))
    slot = reading.spread(reading.slot(right.number), width)
    scaled = reading.add(width, Step("scale", (slot,), (factor,))) if factor != 1 else slot
    return reading.add(width, Step("shift", (scaled,), (reading.weight(left),), 1.0))


def _negate(reading: Reading, operation: Operation, width: int) -> int:
    slot = reading.slot(operation.args[0].number)
    return reading.add(width, Step("scale", (slot,), (-1.0,)))


def _slice(reading: Reading, operation: Operation, width: int) -> int:
    """A part of the logits, or of the channels; the whole is the same value."""
    x, axis, start, stop, *step = (*operation.args, None)[:5]
    shape = reading.trace.shape(x.number)
    if reading.trace.shape(x.number) == _result_shape(shape, axis, start, stop):
        return _same(reading, operation, width)
    if not reading.is_vector(x.number):
        raise Refusal(reason(operation))
    slot = reading.slot(x.number)
    if shape[axis] != reading.widths[slot] or step not in ([1], [None]):
        raise Refusal("takes some of the values in a way that is not understood")
    begin, end, _ = slice(start, stop).indices(shape[axis])
    return reading.add(width, Step("take", (slot,), (float(begin), float(end))))


def _result_shape(
    shape: tuple[int, ...], axis: int, start: int | None, stop: int | None
) -> tuple[int, ...]:
    extent = len(range(*slice(start, stop).indices(shape[axis])))
    return (*shape[:axis], extent, *shape[axis:][1:])


def _channel_mean(reading: Reading, operation: Operation, width: int) -> int:
    slot = reading.slot(operation.args[0].number)
    if width != 1:
        return _same(reading, operation, width)
    return reading.add(1, Step(operation.name, (slot,)))


def _power(reading: Reading, operation: Operation, width: int) -> int:
    x, exponent = operation.args
    if not isinstance(exponent, int | float) or not reading.is_data(x):
        raise Refusal(reason(operation))
    slot = reading.slot(x.number)
    return reading.add(width, Step("pow", (slot,), number=float(exponent)))


def _part_of_a_norm(kind: str) -> Callable[[Reading, Operation, int], int]:
    def rule(reading: Reading, operation: Operation, width: int) -> int:
        slot = reading.slot(operation.args[0].number)
        return reading.add(width, Step(kind, (slot,)))

    return rule


def _norm(reading: Reading, operation: Operation, width: int) -> int:
    exponent = operation.args[1] if len(operation.args) > 1 else 2
    if width != 1:
        raise Refusal("takes a norm over something else than the channels")
    slot = reading.slot(operation.args[0].number)
    return reading.add(1, Step("norm", (slot,), number=float(exponent)))


def _variance(reading: Reading, operation: Operation, width: int) -> int:
    correction = operation.kwargs.get("correction", 1)
    if width != 1:
        raise Refusal("takes a variance over something else than the channels")
    slot = reading.slot(operation.args[0].number)
    return reading.add(1, Step("variance", (slot,), number=float(correction)))


def _clamp(reading: Reading, operation: Operation, width: int) -> int:
    """A lower bound on a norm, as in `F.normalize`; on a vector it is no affine step."""
    x, least, *most = (*operation.args, None)[:3]
    slot = reading.slot(x.number)
    bounded = any(bound is not None for bound in most)
    is_norm = any(step.kind in _NORMS for step in reading.between(slot, 0))
    is_number = isinstance(least, int | float)
    if reading.widths[slot] != 1 or bounded or not is_norm or not is_number:
        raise Refusal(reason(operation))
    return reading.add(width, Step("clamp_min", (slot,), number=float(least)))


RULES: Mapping[str, Rule] = {
    **dict.fromkeys((*SILENT, "select"), _same),
    **dict.fromkeys(("mm", "addmm", "bmm"), _linear),
    "convolution": _convolution,
    **dict.fromkeys(
        (
            "native_batch_norm _native_batch_norm_legit_no_training _batch_norm_no_update "
            "cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit"
        ).split(),
        _batch_norm,
    ),
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _rms_norm,
    "mul": _multiply,
    "div": _divide,
    **dict.fromkeys(("add", "sub", "rsub"), _add),
    "neg": _negate,
    "slice": _slice,
    "mean": _channel_mean,
    "sum": _channel_mean,
    "pow": _power,
    "sqrt": _part_of_a_norm("sqrt"),
    "rsqrt": _part_of_a_norm("rsqrt"),
    "reciprocal": _part_of_a_norm("reciprocal"),
    "linalg_vector_norm": _norm,
    "norm": _norm,
    "var": _variance,
    "clamp_min": _clamp,
    "clamp": _clamp,
}
