"""Evidence from a recorded tail: gradients times features, and what they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from seewhy import evidence, rounding
from seewhy.heads.channels import Channels
from seewhy.heads.held import Holding
from seewhy.heads.held_rules import RULES, WITH_GATES
from seewhy.heads.layout import BATCH, CHANNEL, Layout
from seewhy.heads.refusals import Refusal
from seewhy.heads.tail import Tail, gradients, require_gradient

How = Literal["held", "held with gates", "gradient"]


@dataclass(frozen=True)
class Plan:
    """How evidence is read from a tail.

    Attributes:
        how: "held": with the weights of pooling, attention and norms held the tail is affine;
            "held with gates": the same, activations and products held too; "gradient": the tail
            as it is, to first order.
        with_others: whether values that the tail reads beside the features hold the picture, too.
        words: the method, for people.
    """

    how: How
    with_others: bool = False
    words: str = ""


@dataclass(frozen=True, eq=False)
class Spread:
    """How a tail's logits depend on its features.

    Attributes:
        logits: as they come out of the probe, with a gradient, shape (B, C).
        probe: the features that the gradient is taken at.
        bias: the logits of features that are zero, shape (B, C).
    """

    logits: Tensor
    probe: Tensor
    bias: Tensor
    used: tuple[str, ...] = ()


def spread(tail: Tail, layout: Layout, plan: Plan) -> Spread:
    """Run the tail with gradients: on its features, or, where weights are held, on a probe.

    Raises:
        Refusal: it is not affine, though it should be with its weights held.
    """
    features = tail.value(tail.features)
    others = tail.entering() if plan.with_others else []
    with torch.inference_mode(mode=False):
        zeros = {n: torch.zeros_like(tail.value(n)) for n in (tail.features, *others)}
        if plan.how == "gradient":
            probe = features.detach().clone().requires_grad_()
            with torch.no_grad():
                bias = tail.rerun(zeros)
            with torch.enable_grad():
                return Spread(
                    _flat(tail.rerun({tail.features: probe}), probe), probe, _flat(bias, probe)
                )
        probe = zeros[tail.features].requires_grad_()
        holding = held(tail, layout, gates=plan.how == "held with gates")
        with torch.enable_grad():
            logits = _flat(holding.logits(zeros), probe)
        return Spread(logits, probe, logits.detach(), tuple(holding.used))


def held(tail: Tail, layout: Layout, *, gates: bool) -> Holding:
    """The tail with its weights held; what the features' channels are is known."""
    axes = frozenset(axis for axis, label in enumerate(layout.axes) if label == CHANNEL)
    batch = tail.trace.shape(tail.features)[0]
    rules = WITH_GATES if gates else RULES
    return Holding(tail, Channels(tail.trace, {tail.features: axes}), batch, rules, gates)


def _flat(logits: Tensor, features: Tensor) -> Tensor:
    return logits.reshape(features.shape[0], -1)


def tail_evidence(
    tail: Tail, layout: Layout, plan: Plan, mixtures: Float[Tensor, "batch k all_classes"]
) -> tuple[evidence.Maps, evidence.PerClass]:
    """Maps (B, k, *S) and biases (B, k) of mixtures of the logits.

    `M[s] = N sum_k G[k, s] F[k, s]`, with G the gradient of the mixture.
    """
    found = spread(tail, layout, plan)
    dtype = evidence.accumulation_dtype(found.logits.dtype)
    slopes = gradients(found.logits, found.probe, mixtures)
    features = layout.read(tail.value(tail.features)).to(dtype)
    maps = torch.stack([(layout.read(slope).to(dtype) * features).sum(1) for slope in slopes], 1)
    positions = maps[0, 0].numel()
    bias = torch.einsum("bkc,bc->bk", mixtures.to(dtype), found.bias.to(dtype))
    return maps * positions, bias


def shares_carried(tail: Tail, layouts: Mapping[int, Layout], batch: int) -> list[float]:
    """The shares of the first logits that lie in what layouts read of features, 0 to 1.

    All features lie on one way, which is run once with its gates held. It is affine then: what the
    layouts leave out carries the rest, and the bias is nobody's.

    Args:
        tail: from the first of the features on.
        layouts: of the features, by their numbers in the tail.
        batch: the number of pictures.

    Raises:
        Refusal: it is not affine, or reads values that come by no feature.
    """
    if tail.entering():
        raise Refusal("reads other values, too")
    with torch.inference_mode(mode=False), torch.enable_grad():
        probe = torch.zeros_like(tail.value(tail.features)).requires_grad_()
        holding = held(tail, layouts[tail.features], gates=True)
        logits = holding.logits({tail.features: probe}).reshape(batch, -1)
        best = tail.value(tail.logits).reshape(batch, -1).argmax(1, keepdim=True)
        probes = [_probe(holding, number) for number in layouts]
        require_gradient(logits)
        slopes = torch.autograd.grad(logits.gather(1, best).sum(), probes)
    return [
        _share(tail.value(number) * slope, layout)
        for (number, layout), slope in zip(layouts.items(), slopes, strict=True)
    ]


def _probe(holding: Holding, number: int) -> Tensor:
    value = holding.values.get(number)
    if value is None or value.probe is None or not value.is_plain:
        raise Refusal("is not affine up to there")
    return value.probe


def _share(evidence: Tensor, layout: Layout) -> float:
    read = layout.read(evidence).flatten(1).sum(1)
    left = evidence.movedim(layout.axes.index(BATCH), 0).flatten(1).sum(1) - read
    return float((read.abs() / (read.abs() + left.abs())).mean())


def require_rerun(tail: Tail, layout: Layout, plan: Plan) -> None:
    """See that the tail, run again on its own features, gives the logits that it gave.

    Raises:
        Refusal: it does not, or has no form as the plan wants it.
    """
    numbers = [tail.features, *(tail.entering() if plan.with_others else [])]
    given = {n: tail.value(n) for n in numbers}
    with torch.inference_mode(mode=False), torch.no_grad():
        if plan.how == "gradient":
            again = tail.rerun(given)
        else:
            again = held(tail, layout, gates=plan.how == "held with gates").logits(given)
    logits = _flat(tail.value(tail.logits), given[tail.features])
    scale = evidence.logit_scale(logits.float())
    allowed = 10 * rounding.tolerance(logits.dtype, given[tail.features].dtype)
    deviation = float(((_flat(again, logits) - logits).abs() / scale).max())
    if not deviation <= allowed:
        raise Refusal(f"does not give the same when it is run again: off by {deviation:.1e}")


@dataclass(frozen=True, eq=False)
class Reach:
    """How strongly a batch's logits depend on features, and those of its first picture alone.

    Attributes:
        slopes: the magnitude of a gradient, in the shape of the features.
        of_first: the same for the first picture's logits.
    """

    slopes: Tensor
    of_first: Tensor

    def split(self, layout: Layout) -> tuple[Tensor, Tensor]:
        """The magnitude at each position, (N,), and that of what the layout leaves out.

        Raises:
            Refusal: it is not finite, or one picture's logits depend on other pictures.
        """
        if not bool(torch.isfinite(self.slopes).all()):
            raise Refusal("gives gradients that are not finite (NaN or infinite)")
        if bool(layout.read(self.of_first)[1:].any()):
            raise Refusal("mixes the pictures of a batch")
        within = layout.read(self.slopes).flatten(2).sum((0, 1))
        return within, self.slopes.sum() - within.sum()


def reach(tail: Tail, features: Sequence[int]) -> dict[int, Reach]:
    """How the logits depend on several features on the way, by their numbers in the tail.

    Raises:
        Refusal: there is no gradient.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        given = {n: tail.value(n).clone().requires_grad_() for n in features}
        values = tail.values_from(given)
        logits, probes = values[tail.logits], [values[n] for n in features]
        flat = _flat(logits, probes[0])
        generator = torch.Generator().manual_seed(0)
        every = torch.randn(flat.shape, generator=generator).to(flat)
        first = torch.zeros_like(every)
        first[0] = every[0]
        slopes, of_first = (
            _slopes_at(logits, probes, one.reshape(logits.shape)) for one in (every, first)
        )
    return dict(zip(features, map(Reach, slopes, of_first), strict=True))


def _slopes_at(logits: Tensor, features: Sequence[Tensor], of: Tensor) -> list[Tensor]:
    """The magnitudes of the gradients of the logits, each times a number of `of`.

    Raises:
        Refusal: there are none.
    """
    require_gradient(logits)
    found = torch.autograd.grad(
        logits, features, of, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return [slope.abs() for slope in found]
