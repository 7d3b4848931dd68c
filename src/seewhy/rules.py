"""Rules: how each ATen operation between the pooling and the logits becomes a step of the head.

`Reading` walks the graph of one observed pass backwards from the logits. Every operation on the
way must have a rule here; the walk ends where features with positions are averaged. An operation
without a rule ends it with a refusal that names the operation and what it usually means, for a
head that is merely similar to an affine one would give a map that does not add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from seewhy.affine import KINDS, Computed, Parameter, Step, Weight
from seewhy.observe import Operation, Trace, Value


class Refusal(Exception):  # noqa: N818 -- it never leaves the package; `HeadNotFound` does
    """Why a model has no head, as the end of the sentence "its head ...".

    Args:
        reason: the end of that sentence.
        fix: what the user can do, where there is something better than another model.
    """

    def __init__(self, reason: str, fix: str | None = None) -> None:
        super().__init__(reason)
        self.fix = fix


@dataclass(frozen=True)
class Pooling:
    """The operation that averages (or sums) features over their positions.

    Attributes:
        features: the number of the value that is pooled.
        axes: the axes of that value that are pooled away.
        kind: "mean", or "sum" for N times the mean.
    """

    features: int
    axes: tuple[int, ...]
    kind: Literal["mean", "sum"]


@dataclass
class Reading:
    """A walk from the logits back to the pooling: what it has found so far.

    Attributes:
        trace: the observed pass.
        batch: the number of pictures in it.
        pooling: the pooling, once the walk has come to it.
        steps: the head's steps from the pooled features on.
        widths: the length of the vector in each slot.
        path: the operations from the pooling to the logits, in order.
    """

    trace: Trace
    batch: int
    pooling: Pooling | None = None
    steps: list[Step] = field(default_factory=list)
    widths: list[int] = field(default_factory=lambda: [0])
    path: list[str] = field(default_factory=list)
    _visited: list[str] = field(default_factory=list)
    _slots: dict[int, int] = field(default_factory=dict)

    def read(self, logits: int) -> None:
        """Read the head that leads to the value `logits`.

        Raises:
            Refusal: the head is of no kind that has an exact map.
        """
        try:
            last = self.slot(logits)
            if self.pooling is None:
                raise Refusal("pools no features")
            _require_affine(self.steps, last)
        except Refusal as refusal:
            seen = [name for name in self._visited if name not in SILENT][:6]
            looks = f" (it ends in {' -> '.join(reversed(seen))})" if seen else ""
            raise Refusal(f"{refusal}{looks}", refusal.fix) from None

    def slot(self, number: int) -> int:
        """The slot that holds a value, reading what leads to it first."""
        if number not in self._slots:
            self._slots[number] = self._read(number)
        return self._slots[number]

    def add(self, width: int, step: Step) -> int:
        """Append a step; its output's slot."""
        self.steps.append(step)
        self.widths.append(width)
        return len(self.steps)

    def is_data(self, argument: Any) -> bool:
        """Whether an argument depends on the model's input."""
        return isinstance(argument, Value) and argument.number in self.trace.from_input

    def weight(self, argument: Any) -> Any:
        """A live recipe for an argument that depends on the model's parameters only."""
        if isinstance(argument, tuple):
            return tuple(self.weight(part) for part in argument)
        if not isinstance(argument, Value):
            return argument
        name, made_by = (
            self.trace.names.get(argument.number),
            self.trace.producers[argument.number],
        )
        if name is not None:
            return Parameter(name)
        if made_by is None or self.trace.places[argument.number] > 0:
            return self.trace.tensors[argument.number]
        keywords = {key: self.weight(value) for key, value in made_by.kwargs.items()}
        return Computed(made_by.func, self.weight(made_by.args), keywords)

    def is_vector(self, number: int) -> bool:
        """Whether a value holds one vector a picture, axes of extent one aside."""
        return len(_extents(self.trace.shape(number), self.batch)) <= 1

    def width(self, number: int) -> int:
        """The length of the vector that each picture has in a value."""
        return math.prod(self.trace.shape(number)) // self.batch

    def _read(self, number: int) -> int:
        operation = self.trace.producers[number]
        if operation is None:
            raise Refusal("reads the model's input without pooling any features")
        self._visited.append(operation.name)
        slot = self._apply(operation, number)
        self.path.append(operation.name)
        return slot

    def _apply(self, operation: Operation, number: int) -> int:
        pooling = find_pooling(self.trace, operation, self.batch)
        if pooling is not None:
            return self._begin(pooling)
        if self.trace.places[number] > 0:
            raise Refusal(f"uses a by-product of {operation.name}")
        rule = RULES.get(operation.name)
        if rule is None:
            raise Refusal(_reason(operation))
        if not self.is_vector(number):
            shape = self.trace.shape(number)
            raise Refusal(f"has values of shape {shape} after which it no longer pools")
        return rule(self, operation, self.width(number))

    def _begin(self, pooling: Pooling) -> int:
        if self.pooling not in (None, pooling):
            raise Refusal("combines several pooled feature maps")
        shape = self.trace.shape(pooling.features)
        self.pooling = pooling
        self.widths[0] = (
            math.prod(extent for axis, extent in enumerate(shape) if axis not in pooling.axes)
            // self.batch
        )
        return 0


def _require_affine(steps: Sequence[Step], slot: int) -> None:
    """Powers and roots may only feed a frozen scale; met elsewhere, the head is not affine."""
    if slot == 0:
        return
    step = steps[slot - 1]
    if KINDS[step.kind].pull_back is None:
        pattern = _REASONS.get(step.kind, "is not affine: it uses {name}")
        raise Refusal(pattern.format(name=step.kind))
    frozen = step.kind in {"times_frozen", "over_frozen"}
    for source in step.inputs[:1] if frozen else step.inputs:
        _require_affine(steps, source)


def find_pooling(trace: Trace, operation: Operation, batch: int) -> Pooling | None:
    """The pooling that an operation is, or None. One position alone is no pooling."""
    find = POOLINGS.get(operation.name)
    if find is None or not isinstance(operation.args[0], Value):
        return None
    features = operation.args[0].number
    axes = find(operation, trace.shape(features))
    if axes is None:
        return None
    shape = trace.shape(features)
    if math.prod(shape[axis] for axis in axes) == 1:
        raise Refusal("pools a feature grid of a single position", "try larger pictures")
    if len(_extents(shape, batch)) <= 1:
        return None  # a mean over the channels of a vector
    return Pooling(features, axes, "sum" if operation.name == "sum" else "mean")


def _extents(shape: tuple[int, ...], batch: int) -> list[int]:
    """The extents of a value's axes, without the batch and without axes of extent one."""
    extents = [extent for extent in shape if extent != 1]
    if batch > 1 and batch in extents:
        extents.remove(batch)
    return extents


def _reduced_axes(operation: Operation, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    if len(operation.args) < 2 or not isinstance(operation.args[1], tuple):
        return None
    axes = tuple(sorted(axis % len(shape) for axis in operation.args[1]))
    return axes or None


def _global_window(operation: Operation, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """An average-pooling window that covers the whole grid, without padding."""
    window = tuple(operation.args[1])
    grid = shape[2:]
    window = window * len(grid) if len(window) == 1 else window
    padding = operation.args[3] if len(operation.args) > 3 else (0,)
    divisor = operation.args[6] if len(operation.args) > 6 else None
    if window != grid or any(padding) or divisor is not None:
        return None
    return tuple(range(2, len(shape)))


def _adaptive_to_one(operation: Operation, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    is_one = all(extent == 1 for extent in operation.args[1])
    return tuple(range(len(shape) - len(operation.args[1]), len(shape))) if is_one else None


POOLINGS: Mapping[str, Callable[[Operation, tuple[int, ...]], tuple[int, ...] | None]] = {
    "mean": _reduced_axes,
    "sum": _reduced_axes,
    "avg_pool1d": _global_window,
    "avg_pool2d": _global_window,
    "avg_pool3d": _global_window,
    "_adaptive_avg_pool2d": _adaptive_to_one,
    "_adaptive_avg_pool3d": _adaptive_to_one,
}


# Rules: (reading, operation, width of its result) -> slot of its result.


def _same(reading: Reading, operation: Operation, width: int) -> int:
    """A view, a copy or a cast: the same numbers, so the same slot."""
    source = operation.args[0]
    if not reading.is_data(source):
        raise Refusal("depends on the model's parameters only")
    if not reading.is_vector(source.number):
        raise Refusal(_reason(operation))
    slot = reading.slot(source.number)
    if reading.widths[slot] not in (1, width):
        raise Refusal(_reason(operation))
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
    own = reading.weight(bias[0]) if bias else None
    return reading.add(width, Step("linear", (slot,), (weight, own)))


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
    slot = reading.slot(x.number)
    return reading.add(width, Step("batch_norm", (slot,), weights, float(operation.args[-1])))


def _layer_norm(reading: Reading, operation: Operation, width: int) -> int:
    x, normalised, weight, bias, epsilon = operation.args
    if math.prod(normalised) != width:
        raise Refusal("normalises over more than the channels")
    weights = (reading.weight(weight), reading.weight(bias))
    slot = reading.slot(x.number)
    return reading.add(width, Step("layer_norm", (slot,), weights, float(epsilon)))


def _rms_norm(reading: Reading, operation: Operation, width: int) -> int:
    x, normalised, weight, epsilon = operation.args
    if math.prod(normalised) != width or epsilon is None:
        raise Refusal("normalises over more than the channels")
    slot = reading.slot(x.number)
    return reading.add(width, Step("rms_norm", (slot,), (reading.weight(weight),), epsilon))


def _multiply(reading: Reading, operation: Operation, width: int) -> int:
    left, right = operation.args[:2]
    if reading.is_data(left) and reading.is_data(right):
        return _multiply_data(reading, left.number, right.number, width)
    x, factor = (left, right) if reading.is_data(left) else (right, left)
    slot = reading.slot(x.number)
    return reading.add(width, Step("scale", (slot,), (reading.weight(factor),)))


def _multiply_data(reading: Reading, left: int, right: int, width: int) -> int:
    """A product of two values: a square, or a vector times a frozen scale."""
    a, b = reading.slot(left), reading.slot(right)
    if a == b:
        return reading.add(width, Step("pow", (a,), number=2.0))
    x, scale = (a, b) if reading.widths[b] == 1 else (b, a)
    if reading.widths[scale] != 1 or not _is_scale(reading, scale):
        raise Refusal("multiplies the pooled features by a gate that depends on the picture")
    return reading.add(width, Step("times_frozen", (x, scale)))


def _divide(reading: Reading, operation: Operation, width: int) -> int:
    x, divisor = operation.args[:2]
    if not reading.is_data(x):
        raise Refusal("divides by the pooled features")
    slot = reading.slot(x.number)
    if not reading.is_data(divisor):
        recipe = reading.weight(divisor)
        inverse = Computed(_invert, (recipe,))
        return reading.add(width, Step("scale", (slot,), (inverse,)))
    scale = reading.slot(divisor.number)
    if reading.widths[scale] != 1 or not _is_scale(reading, scale):
        raise Refusal("divides the pooled features by something else than one norm a picture")
    return reading.add(width, Step("over_frozen", (slot, scale)))


def _invert(value: Tensor | float) -> Tensor | float:
    return 1.0 / value


def _is_scale(reading: Reading, slot: int) -> bool:
    """Whether a slot holds a norm: something that a power, a root or a norm was taken for."""
    if slot == 0:
        return False
    step = reading.steps[slot - 1]
    is_norm = step.kind in {"pow", "sqrt", "rsqrt", "norm", "variance"}
    return is_norm or any(_is_scale(reading, source) for source in step.inputs)


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
        shift = Step("shift", (reading.slot(left.number),), (reading.weight(right),), factor)
        return reading.add(width, shift)
    slot = reading.slot(right.number)
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
        raise Refusal(_reason(operation))
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
        raise Refusal(_reason(operation))
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
    if reading.widths[slot] != 1 or bounded or not _is_scale(reading, slot):
        raise Refusal(_reason(operation))
    return reading.add(width, Step("clamp_min", (slot,), number=float(least)))


Rule = Callable[[Reading, Operation, int], int]

# Operations that change how numbers lie in memory and not the numbers: not worth a word.
SILENT = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "transpose",
        "t",
        "as_strided",
        "clone",
        "_to_copy",
    ]
)

_SAME = [
    "view",
    "_unsafe_view",
    "reshape",
    "_reshape_alias",
    "permute",
    "transpose",
    "t",
    "squeeze",
    "unsqueeze",
    "clone",
    "contiguous",
    "_to_copy",
    "detach",
    "alias",
    "as_strided",
    "expand",
    "lift_fresh",
    "select",
    "copy",
]

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(("mm", "addmm", "bmm"), _linear),
    "convolution": _convolution,
    **dict.fromkeys(
        [
            "native_batch_norm",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_no_update",
            "cudnn_batch_norm",
            "miopen_batch_norm",
            "_native_batch_norm_legit",
        ],
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

_MLP = [
    "relu",
    "gelu",
    "silu",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "elu",
    "tanh",
    "sigmoid",
    "hardsigmoid",
    "mish",
    "celu",
    "selu",
    "softplus",
    "prelu",
    "_prelu_kernel",
]

_REASONS: Mapping[str, str] = {
    **dict.fromkeys(_MLP, "is an MLP or gated: it applies {name} to the pooled features"),
    **dict.fromkeys(
        [
            "max",
            "amax",
            "max_pool2d_with_indices",
            "max_pool3d_with_indices",
            "adaptive_max_pool2d",
            "adaptive_max_pool3d",
        ],
        "uses max pooling ({name})",
    ),
    **dict.fromkeys(("pow", "clamp", "clamp_min"), "pools by a power mean (GeM) ({name})"),
    **dict.fromkeys(("logsumexp", "exp", "log"), "pools by log-sum-exp ({name})"),
    **dict.fromkeys(("cat", "stack"), "joins several vectors ({name})"),
    **dict.fromkeys(
        [
            "_softmax",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_cudnn_attention",
        ],
        "pools by attention ({name})",
    ),
    **dict.fromkeys(
        ("avg_pool1d", "avg_pool2d", "avg_pool3d"),
        "averages over a window that does not cover the whole grid ({name})",
    ),
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape"),
        "flattens the grid, so that each position has weights of its own",
    ),
    **dict.fromkeys(("select", "slice", "index"), "reads one token (a class token?)"),
}


def _reason(operation: Operation) -> str:
    pattern = _REASONS.get(operation.name, "is not affine: it uses {name}")
    return pattern.format(name=operation.name)
