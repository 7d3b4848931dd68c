"""A head that was read is believed only once its maps add up, on two different inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seewhy import evidence
from seewhy.errors import ModelError
from seewhy.heads.head import Head, Seen, look, seen_in
from seewhy.heads.refusals import Refusal
from seewhy.heads.tail import Tail
from seewhy.observe import copied, find_tensors

Inputs = tuple[tuple[Any, ...], Mapping[str, Any]]


def verified(
    model: nn.Module,
    head: Head,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    tail: Tail | None = None,
) -> Head:
    """The head with its certificate.

    Args:
        model: the network.
        head: what was found.
        args: of the example.
        kwargs: of the example.
        tail: recorded of a pass of that very example, if there is one already.

    Raises:
        Refusal: it is not certain that its maps are exact.
    """
    seen = _pass(model, head, (args, kwargs)) if tail is None else seen_in(head, tail)
    worst = _certificate(model, head, seen)
    others = list(_other_inputs((args, kwargs)))
    if others:
        worst = max(worst, _certificate(model, head, _first_pass(model, head, others)))
    return replace(head, certificate=worst)


def first_line(error: Exception) -> str:
    """What an error says, in one line of a bearable length."""
    said = (str(error).strip().splitlines() or ["no message"])[0][:200]
    return f"{type(error).__name__}: {said}"


def _pass(model: nn.Module, head: Head, inputs: Inputs) -> Seen:
    """One pass over a copy of the inputs."""
    args, kwargs = inputs
    with torch.no_grad():
        return look(model, head, copied(args), copied(dict(kwargs)))


def _first_pass(model: nn.Module, head: Head, others: list[Inputs]) -> Seen:
    """A pass over the first of several inputs that the model accepts."""
    said = "logits that are not finite"
    for inputs in others:
        try:
            seen = _pass(model, head, inputs)
        except ModelError as error:
            raise Refusal(f"is not the same for another input: {error.got}") from error
        except Exception as error:  # whatever a model says to an input that it did not expect
            said = first_line(error)
            continue
        if torch.isfinite(seen.logits).all():
            return seen
    raise Refusal(
        f"can be checked on the example alone, for the model fails on others ({said})",
        "try an example like its own pictures",
    )


def _certificate(model: nn.Module, head: Head, seen: Seen) -> float:
    """The largest deviation; a refusal if it is not what rounding explains.

    Of kinds that do not promise to add up, it is what they leave.
    """
    if not torch.isfinite(seen.logits).all():
        raise Refusal(
            "gives logits that are not finite (NaN or infinite)", "check weights and input for NaN"
        )
    with torch.no_grad():
        deviation, disturbed = _deviations(model, head, seen)
    tolerance = head.tolerance(seen.logits, seen.features)
    if not math.isfinite(deviation):
        raise Refusal("gives evidence that is not finite (NaN or infinite)")
    if head.is_exact and not deviation <= tolerance:
        raise Refusal(f"does not add up: off by {deviation:.1e}, allowed {tolerance:.0e}")
    least = 2 * torch.finfo(seen.logits.dtype).eps
    if not disturbed > (max(10 * deviation, least) if head.is_exact else least):
        raise Refusal(
            "gives evidence of (nearly) zero, for which any map would add up",
            "initialise or train it first, or try an example like its own pictures",
        )
    return deviation


def _deviations(model: nn.Module, head: Head, seen: Seen) -> tuple[float, float]:
    """The largest certificate over the classes: of the features, and of disturbed ones.

    Where nothing has to add up, the second is how much the evidence is, in the same unit.
    """
    wide = seen.logits.to(evidence.accumulation_dtype(seen.logits.dtype))
    maps, bias, target = _of_classes(model, head, seen, wide)
    scale = evidence.logit_scale(wide)

    def deviation(maps: Tensor) -> float:
        return float(evidence.certificate(maps, bias, target, scale).max())

    if not head.is_exact:
        return deviation(maps), float((maps.flatten(2).abs().mean(2) / scale).max())
    half = maps[0, 0].numel() // 2
    disturbed = maps.flatten(2).clone()
    disturbed[:, :, half:] = 0.0
    if head.plan is None:
        return deviation(maps), deviation(disturbed)
    other = maps.flatten(2) - disturbed  # all may lie in one half, as a maximum does
    return deviation(maps), max(deviation(disturbed), deviation(other))


def _of_classes(
    model: nn.Module, head: Head, seen: Seen, logits: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps and bias of some classes, and their logits."""
    classes = _classes(head, logits)
    target = logits.gather(1, classes)
    if seen.tail is not None:
        mixtures = F.one_hot(classes, logits.shape[1]).to(logits)
        return *head.maps(seen.tail, mixtures), target
    rows, bias = head.rows(model, seen.features, classes)
    return evidence.evidence_maps(rows, seen.features.to(rows.dtype)), bias, target


def _classes(head: Head, logits: Tensor) -> Tensor:
    """All classes; of a head whose every class takes a backward pass, a few, the best first."""
    batch, count = logits.shape
    few = _FEW if head.is_exact else _FEWER
    if head.plan is None or count <= few:
        return torch.arange(count, device=logits.device).expand(batch, -1)
    return logits.topk(count).indices[:, :: -(-count // few)]


_FEW = 8  # classes of a head whose every class takes a backward pass
_FEWER = 2  # where nothing has to add up: the best one, and one in the middle


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
