"""What becomes of a probe in each operation of a tail, with what the picture decided held.

max        w = 1 / (number of positions that share the maximum) there, 0 elsewhere
power      x ** p = (x ** (p - 1)) * x, the first factor held: a GeM is affine
exp, log   their tangents; log-sum-exp is then sum_s w_s x_s + entropy(w), w the softmax
softmax    over positions: attention weights, held
norms      the mean goes with the probe, the scale is held
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seewhy.heads.held import Held, Holding, Outcome, Rule
from seewhy.heads.pooling import SILENT
from seewhy.heads.windows import adaptive, sliding
from seewhy.observe import Operation, Value

TANGENT = 0.0  # the degree of what an exponential made


# Views, sums and means: of powers and exponentials, too.


def _linear(holding: Holding, operation: Operation) -> Outcome:
    """What keeps the degree: the result is a sum of the numbers that went in."""
    inputs = holding.inputs(operation)
    if len({(held.degree, held.is_clamped) for held in inputs}) > 1:
        return None
    if any(held.probe is None for held in inputs):
        return None
    return [replace(inputs[0], probe=probe) for probe in holding.with_probes(operation)]


def _affine(holding: Holding, operation: Operation) -> Outcome:
    """What the probe simply goes through."""
    if not all(held.is_plain for held in holding.inputs(operation)):
        return None
    return [Held(probe) for probe in holding.with_probes(operation)]


def _product(holding: Holding, operation: Operation) -> Outcome:
    """A product in which one factor depends on the probe; or a vector times a norm, held."""
    if len(holding.inputs(operation)) == 1:
        return _linear(holding, operation)
    left, right = operation.args[:2]
    for x, scale in ((left, right), (right, left)):
        if _is_norm_of(holding, scale, x):
            return _scaled(holding, x, holding.real(scale))
    return _halves(holding, operation, torch.mul) if holding.gates else None


def _quotient(holding: Holding, operation: Operation) -> Outcome:
    x, divisor = operation.args[:2]
    if holding.of(divisor) is None:
        return _linear(holding, operation)
    if _is_norm_of(holding, divisor, x) or holding.gates:
        return _scaled(holding, x, holding.real(divisor).reciprocal())
    return None


def _scaled(holding: Holding, x: Any, scale: Tensor) -> Outcome:
    held = holding.of(x)
    if held is None or not held.is_plain:
        return None
    holding.used["norms"] = None
    return [replace(held, probe=torch.mul(held.affine(), scale))]


_ROOTS = frozenset("pow sqrt rsqrt norm linalg_vector_norm var".split())
_PARTS_OF_NORMS = _ROOTS | SILENT | frozenset("reciprocal clamp clamp_min mean sum add mul".split())


def _is_norm_of(holding: Holding, scale: Any, x: Any) -> bool:
    """Whether a factor is one norm for all channels of x: roots, powers and fixed numbers.

    With parameters of its own it would be a gate, which depends on what is in the picture.
    """
    if holding.of(scale) is None or holding.of(x) is None:
        return False
    trace = holding.tail.trace
    between = trace.leading_to(scale.number) | {scale.number}
    made_by = [trace.producers[n] for n in between - trace.leading_to(x.number) - {x.number}]
    names = {operation.name for operation in made_by if operation is not None}
    is_smaller = trace.tensors[scale.number].numel() < trace.tensors[x.number].numel()
    return is_smaller and None not in made_by and bool(names & _ROOTS) and names <= _PARTS_OF_NORMS


def _matrix_product(holding: Holding, operation: Operation) -> Outcome:
    """`mm`, `bmm`, `addmm`, `baddbmm`: one factor may depend on the probe, and the summand."""
    *summand, left, right = operation.args[: 3 if "add" in operation.name else 2]
    if holding.of(left) is None or holding.of(right) is None:
        return _affine(holding, operation)
    return _halves(holding, operation, torch.matmul) if holding.gates and not summand else None


def _weighed(holding: Holding, operation: Operation) -> Outcome:
    """Convolutions and batch norms, whose weights must not depend on the probe."""
    weights = operation.args[1:]
    return None if any(holding.of(w) for w in weights) else _affine(holding, operation)


def _halves(
    holding: Holding, operation: Operation, product: Callable[[Tensor, Tensor], Tensor]
) -> Outcome:
    """A product of two values that both depend on the probe: half of it goes with each.

    Source: Achtibat et al., AttnLRP, ICML 2024, section 3.3.2 (the uniform rule).
    """
    left, right = operation.args[:2]
    one, other = holding.of(left), holding.of(right)
    if one is None or other is None or not one.is_plain or not other.is_plain:
        return None
    if product is torch.mul:
        holding.used["gates"] = None
    whole = product(one.affine(), holding.real(right)) + product(holding.real(left), other.affine())
    return [Held(whole / 2)]


# Maxima.


def _extremum(holding: Holding, operation: Operation) -> Outcome:
    """`amax`, `amin`, `max` and `min` along axes."""
    held = holding.of(operation.args[0])
    if held is None or not held.is_plain or len(operation.args) < 2:
        return None
    if isinstance(operation.args[1], Value):
        return None
    real = holding.real(operation.args[0])
    axes = operation.args[1] if isinstance(operation.args[1], tuple) else (operation.args[1],)
    axes = tuple(axis % real.ndim for axis in axes) or tuple(range(real.ndim))
    keeps = len(operation.args) > 2 and bool(operation.args[2])
    most = torch.amin if operation.name in ("amin", "min") else torch.amax
    holding.used["max pooling"] = None
    return [Held(_at_most(real, held.affine(), axes, keeps, most)), None]


def _at_most(
    real: Tensor,
    probe: Tensor,
    axes: tuple[int, ...],
    keeps: bool,
    most: Callable[..., Tensor] = torch.amax,
) -> Tensor:
    """The mean of the probe over the positions that share the maximum of the real values."""
    shares = (real == most(real, axes, keepdim=True)).to(probe.dtype)
    return (shares * probe).sum(axes, keepdim=keeps) / shares.sum(axes, keepdim=keeps)


def _window_maximum(holding: Holding, operation: Operation) -> Outcome:
    """Max pooling by windows: the maximum of each window, its ties shared."""
    held = holding.of(operation.args[0])
    if held is None or not held.is_plain:
        return None
    real = holding.real(operation.args[0])
    windows = adaptive if operation.name.startswith("adaptive") else sliding
    grid = windows(operation, tuple(real.shape))
    holding.used["max pooling"] = None
    return [Held(_over_windows(real, held.affine(), grid)), None]


def _over_windows(real: Tensor, probe: Tensor, grid: list[list[slice]]) -> Tensor:
    """The outermost axis first: for each window, the maximum over all of them."""
    first = real.ndim - len(grid)
    axes = tuple(range(first, real.ndim))

    def cells(chosen: tuple[slice, ...], rest: list[list[slice]]) -> Tensor:
        if not rest:
            part: tuple[Any, ...] = (..., *chosen)
            return _at_most(real[part], probe[part], axes, keeps=True)
        parts = [cells((*chosen, window), rest[1:]) for window in rest[0]]
        return torch.cat(parts, first + len(chosen))

    return cells((), grid)


def _picked(holding: Holding, operation: Operation) -> Outcome:
    """`topk`, `sort`: the same values again, from where they were found."""
    held = holding.of(operation.args[0])
    if held is None or not held.is_plain:
        return None
    places = holding.tail.run(operation, {})[1]
    arguments = operation.args[2:] if operation.name == "topk" else operation.args[1:]
    given = [a for a in arguments if isinstance(a, int) and not isinstance(a, bool)]
    axis = given[0] if given else operation.kwargs.get("dim", -1)
    holding.used["max pooling"] = None
    return [Held(torch.gather(held.affine(), axis, places)), None]


# Powers and exponentials.


def _power(exponent: float | None = None) -> Rule:
    def rule(holding: Holding, operation: Operation) -> Outcome:
        held = holding.of(operation.args[0])
        given = operation.args[1] if exponent is None else exponent
        if held is None or holding.of(given) is not None or held.degree == TANGENT:
            return None
        number = holding.real(given)
        if isinstance(number, Tensor):
            if number.numel() != 1:
                return None
            number = float(number)
        if held.probe is None:
            return None
        degree = held.degree * number
        if abs(degree - 1.0) < 1e-5:
            degree = 1.0
            holding.used["generalised mean"] = None
        real = holding.real(operation.args[0])
        factor = torch.where(real == 0, 0.0, real.pow(number - 1))
        return [Held(factor * held.probe, degree)]

    return rule


def _clamped(holding: Holding, operation: Operation) -> Outcome:
    """A clamp: where it acts the probe stands still. Only a power mean or a norm may have one."""
    held = holding.of(operation.args[0])
    if held is None or held.probe is None:
        return None
    real = holding.real(operation.args[0])
    after = holding.tail.run(operation, {})[0]
    probe = torch.where(real == after, held.probe, after)
    return [replace(held, probe=probe, is_clamped=held.degree == 1.0)]


def _exponential(holding: Holding, operation: Operation) -> Outcome:
    held = holding.of(operation.args[0])
    if held is None or not held.is_plain:
        return None
    real = holding.real(operation.args[0])
    return [Held(real.exp() * (1 + held.affine() - real), TANGENT)]


def _logarithm(holding: Holding, operation: Operation) -> Outcome:
    held = holding.of(operation.args[0])
    if held is None or held.probe is None or held.degree != TANGENT:
        return None
    real = holding.real(operation.args[0])
    holding.used["log-sum-exp"] = None
    return [Held(real.log() + held.probe / real - 1)]


def _log_sum_exp(holding: Holding, operation: Operation) -> Outcome:
    """`sum_s w_s x_s + entropy(w)`, where w is the softmax of x."""
    held = holding.of(operation.args[0])
    if held is None or not held.is_plain:
        return None
    real = holding.real(operation.args[0])
    axes = operation.args[1]
    keeps = len(operation.args) > 2 and bool(operation.args[2])
    whole = torch.logsumexp(real, axes, keepdim=True)
    weights = torch.exp(real - whole)
    tangent = (weights * (held.affine() - real)).sum(axes, keepdim=True) + whole
    holding.used["log-sum-exp"] = None
    return [Held(tangent if keeps else tangent.squeeze(axes))]


# Attention.


def _softmax(holding: Holding, operation: Operation) -> Outcome:
    """A softmax over positions gives weights, which are held: nothing goes with it."""
    number = operation.args[0].number
    axis = operation.args[1] % len(holding.channels.shape(number))
    is_over_positions = axis in holding.channels.positions(number, holding.batch)
    if not is_over_positions and not holding.gates:
        return None
    holding.used["attention"] = None
    return [None]


def _attention(holding: Holding, operation: Operation) -> Outcome:
    """Scaled dot-product attention: what the queries and keys made of it is held."""
    query, key, value = operation.args[:3]
    held = holding.of(value)
    if held is not None and not held.is_plain:
        return None
    holding.used["attention"] = None
    if held is None:
        return [None]
    q, k = holding.real(query), holding.real(key)
    scores = q @ k.transpose(-2, -1) * (operation.kwargs.get("scale") or q.shape[-1] ** -0.5)
    mask = holding.real(operation.kwargs.get("attn_mask", _mask_of(operation)))
    if _is_causal(operation):
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(future, float("-inf"))
    if mask is not None:
        scores = (
            scores.masked_fill(~mask, float("-inf"))
            if mask.dtype == torch.bool
            else (scores + mask)
        )
    return [Held(scores.softmax(-1) @ held.affine())]


def _mask_of(operation: Operation) -> Any:
    has_mask = operation.name == "_scaled_dot_product_efficient_attention"
    return operation.args[3] if has_mask and len(operation.args) > 3 else None


def _is_causal(operation: Operation) -> bool:
    place = 5 if operation.name == "_scaled_dot_product_efficient_attention" else 4
    return bool(operation.kwargs.get("is_causal", (*operation.args, *(False,) * 6)[place]))


# Norms.


def _layer_norm(holding: Holding, operation: Operation) -> Outcome:
    """The mean goes with the probe; sigma is held."""
    x, _, weight, bias, _ = operation.args
    held = holding.of(x)
    if held is None or not held.is_plain or holding.of(weight) or holding.of(bias):
        return None
    holding.used["norms"] = None
    return [Held(holding.tail.layer_norm(operation, held.affine()))]


def _rms_norm(holding: Holding, operation: Operation) -> Outcome:
    x, normalised, weight, epsilon = operation.args
    held = holding.of(x)
    if held is None or not held.is_plain or holding.of(weight) or epsilon is None:
        return None
    real = holding.real(x)
    axes = tuple(range(real.ndim - len(normalised), real.ndim))
    probe = held.affine() / torch.sqrt(real.square().mean(axes, keepdim=True) + epsilon)
    holding.used["norms"] = None
    return [Held(probe if weight is None else probe * holding.real(weight))]


# What only attention blocks hold.


def _activation(holding: Holding, operation: Operation) -> Outcome:
    """f(x) = (f(x) / x) * x, the first factor held (AttnLRP, equation 9)."""
    held = holding.of(operation.args[0])
    if held is None or not held.is_plain:
        return None
    real = holding.real(operation.args[0])
    after = holding.tail.run(operation, {})[0]
    holding.used["gates"] = None
    return [Held(torch.where(real == 0, 0.0, after / real) * held.affine())]


def _gate(holding: Holding, _: Operation) -> Outcome:
    holding.used["gates"] = None
    return [None]


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            *SILENT,
            *"select slice split split_with_sizes unbind index gather flip roll repeat".split(),
            *"mean sum avg_pool1d avg_pool2d avg_pool3d cat stack neg add sub rsub".split(),
            *"_adaptive_avg_pool2d _adaptive_avg_pool3d constant_pad_nd copy".split(),
            *"narrow diagonal unfold index_select movedim masked_fill".split(),
        ),
        _linear,
    ),
    **dict.fromkeys(
        "upsample_bilinear2d upsample_nearest2d upsample_bicubic2d im2col col2im".split(), _affine
    ),
    "mul": _product,
    "div": _quotient,
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), _matrix_product),
    **dict.fromkeys(
        (
            "convolution native_batch_norm _native_batch_norm_legit_no_training "
            "_batch_norm_no_update cudnn_batch_norm miopen_batch_norm"
        ).split(),
        _weighed,
    ),
    **dict.fromkeys(("amax", "amin", "max", "min"), _extremum),
    **dict.fromkeys(
        (
            "max_pool2d_with_indices max_pool3d_with_indices max_pool1d max_pool2d"
            " adaptive_max_pool2d adaptive_max_pool3d"
        ).split(),
        _window_maximum,
    ),
    **dict.fromkeys(("topk", "sort"), _picked),
    "pow": _power(),
    "sqrt": _power(0.5),
    "rsqrt": _power(-0.5),
    "reciprocal": _power(-1.0),
    **dict.fromkeys(("clamp", "clamp_min"), _clamped),
    "exp": _exponential,
    "log": _logarithm,
    "logsumexp": _log_sum_exp,
    "_softmax": _softmax,
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention"
            " _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"
        ).split(),
        _attention,
    ),
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _rms_norm,
}

_GATES: dict[str, Rule] = {
    **dict.fromkeys(
        "relu gelu silu hardswish hardtanh leaky_relu elu tanh mish celu selu".split(), _activation
    ),
    **dict.fromkeys(("sigmoid", "hardsigmoid"), _gate),
}

WITH_GATES: Mapping[str, Rule] = {**_GATES, **RULES}
