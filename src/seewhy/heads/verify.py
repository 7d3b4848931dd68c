"""A head that was read is believed only once its maps add up, on two different inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seewhy import evidence
from seewhy.errors import ModelError
from seewhy.heads.head import Head, run
from seewhy.heads.refusals import Refusal
from seewhy.observe import copied, find_tensors

Inputs = tuple[tuple[Any, ...], Mapping[str, Any]]


def verified(
    model: nn.Module, head: Head, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Head:
    """The head with its certificate.

    Raises:
        Refusal: it is not certain that its maps are exact.
    """
    worst = _certificate(model, head, *_pass(model, head, (args, kwargs)))
    others = list(_other_inputs((args, kwargs)))
    if others:
        worst = max(worst, _certificate(model, head, *_first_pass(model, head, others)))
    return replace(head, certificate=worst)


def first_line(error: Exception) -> str:
    """What an error says, in one line of a bearable length."""
    said = (str(error).strip().splitlines() or ["no message"])[0][:200]
    return f"{type(error).__name__}: {said}"


def _pass(model: nn.Module, head: Head, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """One pass over a copy of the inputs: logits and features."""
    args, kwargs = inputs
    with torch.no_grad():
        return run(model, head, copied(args), copied(dict(kwargs)))


def _first_pass(model: nn.Module, head: Head, others: list[Inputs]) -> tuple[Tensor, Tensor]:
    """A pass over the first of several inputs that the model accepts."""
    said = "logits that are not finite"
    for inputs in others:
        try:
            logits, features = _pass(model, head, inputs)
        except ModelError as error:
            raise Refusal(f"is not the same for another input: {error.got}") from error
        except Exception as error:  # whatever a model says to an input that it did not expect
            said = first_line(error)
            continue
        if torch.isfinite(logits).all():
            return logits, features
    raise Refusal(
        f"can be checked on the example alone, for the model fails on others ({said})",
        "try an example like its own pictures",
    )


def _certificate(model: nn.Module, head: Head, logits: Tensor, features: Tensor) -> float:
    """The largest deviation over all classes; a refusal if it is not what rounding explains."""
    if not torch.isfinite(logits).all():
        raise Refusal(
            "gives logits that are not finite (NaN or infinite)", "check weights and input for NaN"
        )
    with torch.no_grad():
        deviation, disturbed = _deviations(model, head, logits, features)
    tolerance = head.tolerance(logits, features)
    if not deviation <= tolerance:
        raise Refusal(f"does not add up: off by {deviation:.1e}, allowed {tolerance:.0e}")
    if not disturbed > max(10 * deviation, 2 * torch.finfo(logits.dtype).eps):
        raise Refusal(
            "gives evidence of (nearly) zero, for which any map would add up",
            "initialise or train it first, or try an example like its own pictures",
        )
    return deviation


def _deviations(
    model: nn.Module, head: Head, logits: Tensor, features: Tensor
) -> tuple[float, float]:
    """The largest certificate over all classes: of the features, and of disturbed ones."""
    wide = logits.to(evidence.accumulation_dtype(logits.dtype))
    batch, count = wide.shape
    classes = torch.arange(count, device=wide.device).expand(batch, -1)
    rows, bias = head.rows(model, features, classes)
    scale = evidence.logit_scale(wide)

    def deviation(maps: Tensor) -> float:
        return float(evidence.certificate(maps, bias, wide, scale).max())

    maps = evidence.evidence_maps(rows, features.to(rows.dtype))
    disturbed = maps.flatten(2).clone()
    disturbed[:, :, disturbed.shape[2] // 2 :] = 0.0
    return deviation(maps), deviation(disturbed)


def _other_inputs(inputs: Inputs) -> Iterator[Inputs]:
    """Different inputs of the same shape, the boldest first; the others hold the same values."""
    args, kwargs = inputs
    for change in (_noisy, _mirrored, _shuffled):

        def other(value: Any, change: Callable[[Tensor], Tensor] = change) -> Any:
            is_picture = isinstance(value, Tensor) and value.ndim > 1 and _is_numeric(value)
            return change(value) if is_picture else value

        changed = tuple(map(other, args)), {key: other(value) for key, value in kwargs.items()}
        if any(map(_differ, find_tensors(inputs), find_tensors(changed))):
            yield changed


def _is_numeric(value: Tensor) -> bool:
    return value.is_floating_point() or value.dtype == torch.uint8


def _differ(one: tuple[Any, Tensor], other: tuple[Any, Tensor]) -> bool:
    return not torch.equal(one[1], other[1])


def _noisy(value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(0))
    scale = value.std(correction=0)
    return value.flip(-1) + torch.where(scale > 0, 0.5 * scale, 1.0) * noise.to(value)


def _mirrored(value: Tensor) -> Tensor:
    return value.flip(-1)


def _shuffled(value: Tensor) -> Tensor:
    flat = value.flatten(1)
    order = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(0))
    return flat[:, order.to(value.device)].view(value.shape)
