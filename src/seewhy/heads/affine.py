"""A classifier's head as a short program of affine steps, and the algebra that runs it backwards.

A head takes the pooled features `x (B, K)` to the logits. Here it is a list of `Step`s over
numbered slots: slot 0 holds `x`, step `i` writes slot `i + 1`, the last slot holds the logits.
Pulling a row back through the steps gives, for class `c`, the weights `r (K,)` and the bias `b`
with `logit[c] == r @ x + b`: for one linear layer its own weights and bias, for anything longer
their product. A step that divides by a norm of the features is affine once that norm is frozen;
`pull_back` freezes it, image by image, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy.observe import submodule


@dataclass(frozen=True)
class Parameter:
    """A parameter or buffer of the model, looked up by name each time: always the live one."""

    name: str


@dataclass(frozen=True, eq=False)
class Computed:
    """A tensor that the model computes from its parameters alone, computed again each time."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)


Weight = Parameter | Computed | Tensor | float | int | None


def evaluate(weight: Any, model: nn.Module) -> Any:
    """The present value of a weight of `model`."""
    match weight:
        case Parameter(name):
            return _present(model, name)
        case Computed(func, args, kwargs):
            keywords = {key: evaluate(value, model) for key, value in kwargs.items()}
            return func(*(evaluate(value, model) for value in args), **keywords)
        case tuple():
            return tuple(evaluate(part, model) for part in weight)
    return weight


def _present(model: nn.Module, name: str) -> Any:
    """The parameter or buffer of that name."""
    path, _, last = name.rpartition(".")
    module = submodule(model, path)
    tensor = module._parameters.get(last)  # noqa: SLF001  (attributes take a slow way around)
    return getattr(module, last) if tensor is None else tensor


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a head: `kind` names an entry of `KINDS`.

    Attributes:
        kind: what it computes.
        inputs: the slots it reads.
        weights: its parameters, in the order that its kind expects.
        number: its one number, where it has one: an epsilon, an exponent, a factor.
    """

    kind: str
    inputs: tuple[int, ...]
    weights: tuple[Weight, ...] = ()
    number: float = 0.0


Rows = Float[Tensor, "#batch classes channel"]
Vector = Float[Tensor, "batch channel"]
Weights = Sequence[Any]
PulledBack = tuple[tuple[Tensor | None, ...], Tensor | float]


@dataclass(frozen=True)
class Kind:
    """How a kind of step runs forwards, and how rows are pulled back through it.

    Attributes:
        forward: `(values, weights, number)` to the step's value, shape (B, n).
        pull_back: `(rows, values, weights, number)` to one row tensor for each input, `None` where
            nothing flows, and what the step adds to the bias, shape (B, classes). `None` if the
            step is not affine: it may only feed a frozen scale.
        reads: whether pulling back needs the values that the step read.
        freezes: whether pulling back holds a scale fixed that depends on the features.
    """

    forward: Callable[[Sequence[Tensor], Weights, float], Tensor]
    pull_back: Callable[[Tensor, Sequence[Tensor], Weights, float], PulledBack] | None = None
    reads: bool = False
    freezes: bool = False


def is_frozen(steps: Sequence[Step]) -> bool:
    """Whether the head divides by a norm of its features, so that its rows differ by image."""
    return any(KINDS[step.kind].freezes for step in steps)


def run(steps: Sequence[Step], pooled: Vector, model: nn.Module) -> list[Tensor]:
    """The values of all slots, the logits last."""
    values = [pooled]
    for step in steps:
        weights = [_wide(evaluate(weight, model)) for weight in step.weights]
        inputs = [values[slot] for slot in step.inputs]
        values.append(KINDS[step.kind].forward(inputs, weights, step.number))
    return values


def rows_of_classes(
    steps: Sequence[Step], classes: Int[Tensor, "batch k"], model: nn.Module, pooled: Vector
) -> tuple[Rows, Float[Tensor, "#batch k"]]:
    """The row and the bias of each class asked for: `logit == rows @ pooled + bias`.

    A head that ends in a linear layer gives up just the rows asked for.
    """
    if not steps:
        return F.one_hot(classes, pooled.shape[1]).to(pooled.dtype), pooled.new_zeros(classes.shape)
    if steps[-1].kind != "linear":
        width = run(steps, pooled[:1], model)[-1].shape[1]
        return pull_back(steps, F.one_hot(classes, width).to(pooled.dtype), model, pooled)
    rows, bias = rows_of_linear(steps[-1], classes, model, pooled.dtype)
    rest, offset = pull_back(steps[:-1], rows, model, pooled, slot=steps[-1].inputs[0])
    return rest, bias + offset


def rows_of_linear(
    step: Step, classes: Int[Tensor, "batch k"], model: nn.Module, dtype: torch.dtype
) -> tuple[Rows, Float[Tensor, "#batch k"]]:
    """The rows and biases of one linear layer, in `dtype`: all that most heads need."""
    weight, bias = (evaluate(weight, model) for weight in step.weights)
    matrix = weight if weight.ndim == 2 else weight.flatten(1)
    rows = torch.embedding(matrix, classes).to(dtype)
    return rows, rows.new_zeros(classes.shape) if bias is None else bias.take(classes).to(dtype)


def pull_back(
    steps: Sequence[Step],
    rows: Float[Tensor, "#batch classes width"],
    model: nn.Module,
    pooled: Vector,
    slot: int | None = None,
) -> tuple[Rows, Float[Tensor, "#batch classes"]]:
    """Rows over the last slot (or `slot`), turned into rows over the pooled features, and a bias.

    This is reverse accumulation, written out for affine steps: each step hands the rows that
    reach its output on to its inputs, and keeps what its constants contribute.
    """
    reads = any(KINDS[step.kind].reads for step in steps)
    values = run(steps, pooled, model) if reads else []
    reached: dict[int, Tensor] = {len(steps) if slot is None else slot: rows}
    bias = rows.new_zeros(rows.shape[:2])
    for output, step in reversed(list(enumerate(steps, start=1))):
        if output not in reached:
            continue
        kind = KINDS[step.kind]
        assert kind.pull_back is not None, f"{step.kind} only feeds frozen scales"
        weights = [_wide(evaluate(weight, model)) for weight in step.weights]
        inputs = [values[slot] for slot in step.inputs] if reads else []
        parts, constant = kind.pull_back(reached.pop(output), inputs, weights, step.number)
        bias = bias + constant
        for slot_, part in zip(step.inputs, parts, strict=True):
            if part is not None:
                reached[slot_] = reached[slot_] + part if slot_ in reached else part
    return reached[0], bias


def _wide(value: Any) -> Any:
    """Half precision is accumulated in float32; everything else stays as it is."""
    is_half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if is_half else value


# The kinds. Rows have shape (B, classes, n); values (B, n), where n may be 1 and then broadcasts.


def _linear(values: Sequence[Tensor], weights: Weights, _: float) -> Tensor:
    weight, bias = weights
    return F.linear(values[0], weight.flatten(1).to(values[0].dtype), bias)


def _linear_back(rows: Tensor, _: Sequence[Tensor], weights: Weights, __: float) -> PulledBack:
    weight, bias = weights
    return (rows @ weight.flatten(1).to(rows.dtype),), 0.0 if bias is None else _dot(rows, bias)


def _scale(values: Sequence[Tensor], weights: Weights, _: float) -> Tensor:
    return torch.mul(values[0], _flat(weights[0]))


def _scale_back(rows: Tensor, _: Sequence[Tensor], weights: Weights, __: float) -> PulledBack:
    return (rows * _flat(weights[0]),), 0.0


def _shift(values: Sequence[Tensor], weights: Weights, factor: float) -> Tensor:
    return torch.add(values[0], factor * _flat(weights[0]))


def _shift_back(rows: Tensor, _: Sequence[Tensor], weights: Weights, factor: float) -> PulledBack:
    return (rows,), factor * _dot(rows, _flat(weights[0]))


def _batch_norm(values: Sequence[Tensor], weights: Weights, epsilon: float) -> Tensor:
    scale, shift = _folded(weights, epsilon)
    return values[0] * scale + shift


def _batch_norm_back(rows: Tensor, _: Sequence[Tensor], ws: Weights, epsilon: float) -> PulledBack:
    scale, shift = _folded(ws, epsilon)
    return (rows * scale,), _dot(rows, shift)


def _folded(weights: Weights, epsilon: float) -> tuple[Tensor, Tensor]:
    """Evaluation-mode batch normalisation as one scale and one shift."""
    weight, bias, mean, variance = weights
    scale = torch.rsqrt(variance + epsilon) * (1.0 if weight is None else weight)
    return scale, (0.0 if bias is None else bias) - mean * scale


def _layer_norm(values: Sequence[Tensor], weights: Weights, epsilon: float) -> Tensor:
    x = values[0]
    weight, bias = (None if w is None else w.flatten().to(x.dtype) for w in weights)
    return F.layer_norm(x, x.shape[1:], weight, bias, epsilon)


def _layer_norm_back(
    rows: Tensor, values: Sequence[Tensor], weights: Weights, epsilon: float
) -> PulledBack:
    """Sigma is frozen; the mean is linear and is taken out of the rows instead."""
    weight, bias = weights
    sigma = torch.sqrt(values[0].var(1, correction=0) + epsilon)[:, None, None]
    scaled = (rows if weight is None else rows * weight.flatten()) / sigma
    centred = scaled - scaled.mean(2, keepdim=True)
    return (centred,), 0.0 if bias is None else _dot(rows, bias.flatten())


def _rms_norm(values: Sequence[Tensor], weights: Weights, epsilon: float) -> Tensor:
    weight = None if weights[0] is None else weights[0].flatten()
    return F.rms_norm(values[0], values[0].shape[1:], weight, epsilon)


def _rms_norm_back(
    rows: Tensor, values: Sequence[Tensor], weights: Weights, epsilon: float
) -> PulledBack:
    rms = torch.sqrt(values[0].square().mean(1) + epsilon)[:, None, None]
    return ((rows if weights[0] is None else rows * weights[0].flatten()) / rms,), 0.0


def _add(values: Sequence[Tensor], _: Weights, factor: float) -> Tensor:
    return values[0] + factor * values[1]


def _add_back(rows: Tensor, values: Sequence[Tensor], _: Weights, factor: float) -> PulledBack:
    return (_to_width(rows, values[0]), _to_width(factor * rows, values[1])), 0.0


def _mean(values: Sequence[Tensor], _: Weights, __: float) -> Tensor:
    return values[0].mean(1, keepdim=True)


def _mean_back(rows: Tensor, values: Sequence[Tensor], _: Weights, __: float) -> PulledBack:
    width = values[0].shape[1]
    return (rows.expand(-1, -1, width) / width,), 0.0


def _sum(values: Sequence[Tensor], _: Weights, __: float) -> Tensor:
    return values[0].sum(1, keepdim=True)


def _sum_back(rows: Tensor, values: Sequence[Tensor], _: Weights, __: float) -> PulledBack:
    return (rows.expand(-1, -1, values[0].shape[1]),), 0.0


def _spread(values: Sequence[Tensor], _: Weights, width: float) -> Tensor:
    return values[0].expand(-1, int(width))


def _spread_back(rows: Tensor, _: Sequence[Tensor], __: Weights, ___: float) -> PulledBack:
    return (rows.sum(2, keepdim=True),), 0.0


def _take(values: Sequence[Tensor], weights: Weights, _: float) -> Tensor:
    start, stop = weights
    return values[0][:, int(start) : int(stop)]


def _take_back(rows: Tensor, values: Sequence[Tensor], ws: Weights, _: float) -> PulledBack:
    start, stop = (int(w) for w in ws)
    return (F.pad(rows, (start, values[0].shape[1] - stop)),), 0.0


def _times_frozen(values: Sequence[Tensor], _: Weights, __: float) -> Tensor:
    return values[0] * values[1]


def _times_frozen_back(rows: Tensor, values: Sequence[Tensor], _: Weights, __: float) -> PulledBack:
    return (rows * values[1][:, None, :], None), 0.0


def _over_frozen(values: Sequence[Tensor], _: Weights, __: float) -> Tensor:
    return values[0] / values[1]


def _over_frozen_back(rows: Tensor, values: Sequence[Tensor], _: Weights, __: float) -> PulledBack:
    return (rows / values[1][:, None, :], None), 0.0


def _dot(rows: Tensor, vector: Any) -> Tensor:
    """Rows (B, k, n) times a vector (n,) or a number."""
    return torch.mul(rows, vector).sum(2)


def _flat(weight: Any) -> Any:
    return weight.flatten() if isinstance(weight, Tensor) else weight


def _to_width(rows: Tensor, value: Tensor) -> Tensor:
    """Undo a broadcast: what was added to every channel receives the sum over the channels."""
    return rows.sum(2, keepdim=True) if value.shape[1] == 1 < rows.shape[2] else rows


KINDS: Mapping[str, Kind] = {
    "linear": Kind(_linear, _linear_back),
    "scale": Kind(_scale, _scale_back),
    "shift": Kind(_shift, _shift_back),
    "batch_norm": Kind(_batch_norm, _batch_norm_back),
    "layer_norm": Kind(_layer_norm, _layer_norm_back, reads=True, freezes=True),
    "rms_norm": Kind(_rms_norm, _rms_norm_back, reads=True, freezes=True),
    "add": Kind(_add, _add_back, reads=True),
    "mean": Kind(_mean, _mean_back, reads=True),
    "sum": Kind(_sum, _sum_back, reads=True),
    "spread": Kind(_spread, _spread_back),
    "take": Kind(_take, _take_back, reads=True),
    "times_frozen": Kind(_times_frozen, _times_frozen_back, reads=True, freezes=True),
    "over_frozen": Kind(_over_frozen, _over_frozen_back, reads=True, freezes=True),
    # What norms are made of. They are never pulled back through: only frozen scales read them.
    "pow": Kind(lambda values, _, exponent: values[0].pow(exponent)),
    "sqrt": Kind(lambda values, _, __: values[0].sqrt()),
    "rsqrt": Kind(lambda values, _, __: values[0].rsqrt()),
    "reciprocal": Kind(lambda values, _, __: values[0].reciprocal()),
    "clamp_min": Kind(lambda values, _, least: values[0].clamp_min(least)),
    "norm": Kind(lambda values, _, p: torch.linalg.vector_norm(values[0], p, 1, keepdim=True)),
    "variance": Kind(lambda values, _, n: values[0].var(1, correction=int(n), keepdim=True)),
}
